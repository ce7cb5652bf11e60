package hosts_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/hosts"
	"github.com/fleetsync/fleetsync/orchestrator/manifest"
	"github.com/fleetsync/fleetsync/transport/rsync"
	"github.com/fleetsync/fleetsync/transport/ssh"
	"github.com/fleetsync/fleetsync/transport/transporttest"
)

// hostile is a name that would do harm on a terminal, and in a shell.
const hostile = "gone \x1b[2J$(id)\n"

// fleet returns who asks a fleet of a master m, which serves its tree, and a host h, both in folders of this machine; and those.
func fleet(t *testing.T) (*hosts.Asker, string) {
	t.Helper()
	for _, program := range []string{"rsync", "flock"} {
		transporttest.Need(t, program)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"m/wikiversions.php": "<?php\n", "m/docroot/index.html": "new", "m/private/key": "excluded",
		"h/docroot/index.html": "old", "h/" + hostile: "x",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	endpoint := strings.TrimSuffix(transporttest.StartRsyncd(t, "common", filepath.Join(dir, "m")), "/common")
	f, err := inventory.ParseFleet("inventory.yaml", []byte(strings.NewReplacer("DIR", dir, "ENDPOINT", endpoint).Replace(`fleet: test
tree: {source: DIR/m, destination: "DIR/{host}", module: common, scratch: DIR/scratch, exclude: [/private]}
defaults: {connection: local}
hosts: {m: {endpoint: "ENDPOINT", destination: DIR/unused}, h: {}}
roles: {masters: [{host: m, serve: true}], canaries: [h]}
`)))
	if err != nil {
		t.Fatal(err)
	}
	return &hosts.Asker{Fleet: f, Dialer: &ssh.Dialer{}}, dir
}

// TestAsker: each question is answered of the right tree, and none changes anything on a host.
//
// Seen to fail with: the destination of a master in place of its source; a listing with hashes that was to have none; what is excluded.
func TestAsker(t *testing.T) {
	a, dir := fleet(t)
	ctx := t.Context()
	before := paths(t, dir)

	d, err := a.DryRun(ctx, "h", "m", nil, 10)
	if err != nil || d.Create != 1 || d.Change != 1 || d.Delete != 1 || !slices.Equal(d.Deleted, []string{hostile}) {
		t.Errorf("a dry run says %+v, %v", d, err)
	}
	d, err = a.DryRun(ctx, "h", "m", []string{"docroot"}, 10)
	if err != nil || d.Create != 0 || d.Change != 1 || d.Delete != 0 {
		t.Errorf("a dry run of a part says %+v, %v", d, err)
	}
	for host, has := range map[string]string{"m": "wikiversions.php", "h": hostile} {
		digest, err := a.Digest(ctx, host, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, content := range []bool{false, true} {
			m, err := a.Manifest(ctx, host, content)
			if err != nil {
				t.Fatal(err)
			}
			e := m.Find(has)
			if e == nil || (e.Hash != manifest.Hash{}) != content || m.Digest(nil) != digest || m.Find("private") != nil {
				t.Errorf("%s: %q is %+v, with content: %v; the digest is %s, and that of the manifest %s", host, has, e, content, digest, m.Digest(nil))
			}
		}
	}
	if r, err := a.Record(ctx, "h"); r != nil || err != nil {
		t.Errorf("a host that was never synced says %+v, %v", r, err)
	}
	if run, err := a.Undoable(ctx, "h", ""); err == nil {
		t.Errorf("run %q of a host that was never synced can be undone", run)
	}
	if _, err := a.PreviewUndo(ctx, "h", "r1", 10); err == nil {
		t.Error("an undo of a host that was never synced would do something")
	}
	if free, err := a.Free(ctx, "h"); free <= 0 || err != nil {
		t.Errorf("free are %d bytes, %v", free, err)
	}
	if p, err := a.Probe(ctx, "h"); err != nil || len(p.Wrong()) > 0 {
		t.Errorf("missing are %q, %v", p.Wrong(), err)
	}
	if err := a.Answers(ctx, "h"); err != nil {
		t.Error(err)
	}
	if after := paths(t, dir); !slices.Equal(before, after) {
		t.Errorf("the questions left %q, and there was %q", after, before)
	}
}

// TestServes: a source serves when its rsync daemon answers.
func TestServes(t *testing.T) {
	a, _ := fleet(t)
	if err := a.Serves(t.Context(), "m"); err != nil {
		t.Error(err)
	}
	if err := a.Serves(t.Context(), "h"); err == nil { // whose endpoint is the default one of its name, which is none
		t.Error("a host without a daemon serves")
	}
}

// TestPullOfAMaster: a co-master gets the tree where it is taken from, and every other host where it is put.
func TestPullOfAMaster(t *testing.T) {
	a, dir := fleet(t)
	for host, want := range map[string]string{"m": dir + "/m", "h": dir + "/h"} {
		p, err := a.Pull(host, "m", []string{"docroot"}, 7)
		if err != nil || p.Destination != want || p.MaxDelete != 7 || !slices.Equal(p.Paths, []string{"docroot"}) ||
			!slices.Equal(p.Exclude, []string{"/private"}) {
			t.Errorf("%s: %+v, %v", host, p, err)
		}
	}
}

// TestGoneHost: a host that the inventory has no more is named, and nobody is asked.
func TestGoneHost(t *testing.T) {
	a, _ := fleet(t)
	for question, ask := range map[string]func(context.Context) error{
		"dial":    func(context.Context) error { _, err := a.Dial("gone"); return err },
		"record":  func(ctx context.Context) error { _, err := a.Record(ctx, "gone"); return err },
		"answers": func(ctx context.Context) error { return a.Answers(ctx, "gone") },
		"serves":  func(ctx context.Context) error { return a.Serves(ctx, "gone") },
		"source":  func(context.Context) error { _, err := a.Pull("h", "gone", nil, rsync.Unlimited); return err },
		"pull":    func(context.Context) error { _, err := a.Pull("gone", "m", nil, rsync.Unlimited); return err },
	} {
		if err := ask(t.Context()); err == nil || !strings.Contains(err.Error(), "gone is in the plan, but not in the inventory any more") {
			t.Errorf("%s: %v", question, err)
		}
	}
}

func paths(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		all = append(all, path+" "+info.Mode().String()+" "+info.ModTime().String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
