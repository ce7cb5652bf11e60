package preflight_test

import (
	"context"
	"reflect"
	"slices"
	"testing"

	"github.com/fleetsync/fleetsync/orchestrator/manifest"
	"github.com/fleetsync/fleetsync/orchestrator/preflight"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/orchestrator/tree"
)

// drifting is what one host has.
type drifting struct {
	holds     *manifest.Manifest
	record    *tree.Record
	recordErr error
	err       error // of everything else
}

func (d drifting) Digest(_ context.Context, _ string, paths []string) (string, error) {
	return d.holds.Digest(paths), d.err
}

func (d drifting) Record(context.Context, string) (*tree.Record, error) { return d.record, d.recordErr }

func (d drifting) Manifest(_ context.Context, _ string, content bool) (*manifest.Manifest, error) {
	m := &manifest.Manifest{Entries: slices.Clone(d.holds.Entries)}
	for i := range m.Entries {
		if !content {
			m.Entries[i].Hash = manifest.Hash{}
		}
	}
	return m, d.err
}

// TestVerify: planted faults seen to fail it: a record that is older counts; one of a sync that did not end well counts; contents that are
// compared without being read; what a sync cannot help is drift; a host of which no run is known is the same.
func TestVerify(t *testing.T) {
	t.Parallel()
	is, other := someTree(4), edited(someTree(4))
	content := &manifest.Manifest{Entries: slices.Clone(is.Entries)}
	content.Entries[1].Hash = manifest.Hash{9} // which its metadata do not show
	left := &manifest.Manifest{Entries: append(slices.Clone(is.Entries), manifest.Entry{Path: "z", Type: manifest.Folder, Mode: 0o755})}
	result := func(run string, verdict preflight.Same, why string, drift ...preflight.Drift) preflight.Verified {
		return preflight.Verified{Host: "h1", Run: run, Verdict: verdict, Error: why, Count: len(drift), Paths: drift}
	}
	synced := rollout.LastTree{Host: "h1", Run: "r5", Standing: rollout.Synced, Tree: preflight.TreeOf(is, nil)}
	digest := func(m *manifest.Manifest) string { return m.Digest(nil) }
	for name, c := range map[string]struct {
		last    rollout.LastTree
		host    drifting
		content bool
		gone    bool // the manifest of its run
		want    preflight.Verified
	}{
		"same": {last: synced, host: drifting{holds: is}, want: result("r5", preflight.IsSame, "")},
		"does not answer": {
			last: synced, host: drifting{holds: is, err: errNo},
			want: result("r5", preflight.NotKnown, "no"),
		},
		"drifted": {
			last: synced, host: drifting{holds: other},
			want: result("r5", preflight.Drifted, "", preflight.Drift{Path: "f000", Kind: "changed", What: "mtime"}),
		},
		"drifted, unnamed": {
			last: synced, host: drifting{holds: other}, gone: true, want: result("r5", preflight.Drifted, ""),
		},
		"content": {
			last: synced, host: drifting{holds: content}, content: true,
			want: result("r5", preflight.Drifted, "", preflight.Drift{Path: "f000", Kind: "changed", What: "content"}),
		},
		"content, not asked": {
			last: synced, host: drifting{holds: content}, want: result("r5", preflight.IsSame, ""),
		},
		"same content": {
			last: synced, host: drifting{holds: is}, content: true, want: result("r5", preflight.IsSame, ""),
		},
		"content, unknown": {
			last: synced, host: drifting{holds: is}, content: true, gone: true,
			want: result("r5", preflight.NotKnown, "the manifest of its run is not here any more, so that contents cannot be compared"),
		},
		"what a sync leaves": {last: synced, host: drifting{holds: left}, want: result("r5", preflight.IsSame, "")},
		"a later run": {
			last: synced, host: drifting{holds: other, record: &tree.Record{Run: "r6", Digest: digest(other)}},
			want: result("r6", preflight.IsSame, ""),
		},
		"drifted since": {
			last: synced, host: drifting{holds: other, record: &tree.Record{Run: "r6", Digest: "d"}},
			want: result("r6", preflight.Drifted, ""),
		},
		"content of a later run": {
			last: synced, host: drifting{holds: other, record: &tree.Record{Run: "r6", Digest: digest(other)}}, content: true,
			want: result("r6", preflight.NotKnown, "the manifest of its run is on another master, so that contents cannot be compared"),
		},
		"an older run": {
			last: synced, host: drifting{holds: other, record: &tree.Record{Run: "r4", Digest: digest(other)}}, gone: true,
			want: result("r5", preflight.Drifted, ""),
		},
		"a partial one": {
			last: synced, host: drifting{holds: other, record: &tree.Record{Run: "r6", Digest: digest(other), Partial: true}}, gone: true,
			want: result("r5", preflight.Drifted, ""),
		},
		"no record": {
			last: synced, host: drifting{holds: other, recordErr: errNo},
			want: result("r5", preflight.NotKnown, "no"),
		},
		"never seen": {
			last: rollout.LastTree{Host: "h1"}, host: drifting{holds: is},
			want: result("", preflight.NotKnown, "no run is known that synced it"),
		},
		"failed": {
			last: rollout.LastTree{Host: "h1", Run: "r5", Standing: rollout.Failed}, host: drifting{holds: is},
			want: result("r5", preflight.NotKnown, "its last run, r5, left it failed: its tree may be mixed"),
		},
		"in flight": {
			last: rollout.LastTree{Host: "h1", Run: "r5", Standing: rollout.Syncing}, host: drifting{holds: is},
			want: result("r5", preflight.NotKnown, "its last run, r5, left it in flight, when it died"),
		},
		"in its hooks": {
			last: rollout.LastTree{Host: "h1", Run: "r5", Standing: rollout.InHooks}, host: drifting{holds: is},
			want: result("r5", preflight.NotKnown, "its last run, r5, left it in its post hooks, when it died"),
		},
		"of another master": {
			last: rollout.LastTree{Host: "h1"}, host: drifting{holds: is, record: &tree.Record{Run: "r1", Digest: digest(is)}},
			want: result("r1", preflight.IsSame, ""),
		},
	} {
		v := preflight.Verifier{Hosts: c.host, Content: c.content, Most: 5, Manifest: func(string) *manifest.Manifest {
			if c.gone {
				return nil
			}
			return is
		}}
		got := v.Verify(t.Context(), []rollout.LastTree{c.last})[0]
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// TestMasters: planted faults seen to fail it: a master that differs only in what a sync leaves; one that nobody knows compared all the
// same; the first master of all as the origin.
func TestMasters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fleet.Masters[0].Serve = false // so that m3 is the origin
	w.trees["m1"] = edited(w.trees["m1"])
	w.trees["m2"].Entries = append(w.trees["m2"].Entries, manifest.Entry{Path: "z", Type: manifest.Folder, Mode: 0o755})
	got := w.sources().Masters(t.Context(), false)
	if len(got) != 3 || got[0].Origin || got[0].Drift == nil || got[0].Drift.Count != 1 || got[0].Drift.Paths[0].Path != "f000" {
		t.Errorf("m1: %+v", got[0])
	}
	if got[1].Serve || got[1].Drift != nil || got[1].Tree == nil {
		t.Errorf("m2: %+v", got[1])
	}
	if !got[2].Serve || !got[2].Origin || got[2].Drift != nil || got[2].Error != "" {
		t.Errorf("m3: %+v", got[2])
	}
	w.records["m1"] = &tree.Record{Run: "r8", Partial: true}
	const partial = "run r8 has changed the tree and did not end well: nobody knows what it is"
	if got = w.sources().Masters(t.Context(), false); got[0].Error != partial || got[0].Drift != nil {
		t.Errorf("m1, left half-way: %+v", got[0])
	}
	w.treeErr = errNo
	for _, m := range w.sources().Masters(t.Context(), false) {
		if m.Error != "no" || m.Tree != nil {
			t.Errorf("%+v", m)
		}
	}
}
