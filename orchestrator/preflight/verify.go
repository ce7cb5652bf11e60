package preflight

import (
	"context"

	"github.com/fleetsync/fleetsync/orchestrator/fanout"
	"github.com/fleetsync/fleetsync/orchestrator/manifest"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/orchestrator/tree"
	"github.com/fleetsync/fleetsync/transport"
)

// Same is whether a host still holds what its last run left there.
type Same string

// The answers.
const (
	IsSame   Same = "same"
	Drifted  Same = "drifted"
	NotKnown Same = "unknown"
)

// Drift is a path that is not as it should be.
type Drift struct {
	Path string `json:"path"`
	Kind string `json:"kind"`           // what became of it
	What string `json:"what,omitempty"` // of what has changed: what differs first
}

// Verified is what became known of one host.
type Verified struct {
	Host    string  `json:"host"`
	Run     string  `json:"run,omitempty"` // that it was held against
	Verdict Same    `json:"verdict"`
	Error   string  `json:"error,omitempty"` // unknown: why
	Count   int     `json:"count,omitempty"` // drifted paths; 0 of a drifted host: they cannot be named
	Paths   []Drift `json:"paths,omitempty"` // the first of them
}

// VerifyHosts asks hosts what they hold.
type VerifyHosts interface {
	Digest(ctx context.Context, host string, paths []string) (string, error)
	Record(ctx context.Context, host string) (*tree.Record, error)
	Manifest(ctx context.Context, host string, content bool) (*manifest.Manifest, error)
}

// Verifier compares hosts with what runs left on them.
type Verifier struct {
	Hosts VerifyHosts
	// Manifest returns the manifest of the tree that a run put on its hosts; nil: it is not on this machine. It is asked once for each run.
	Manifest func(run string) *manifest.Manifest
	Content  bool // every file is read, too
	Most     int  // paths that are named of a host
}

// verifyAtOnce is how many hosts are asked at once: a digest is little work for a host, and none for us.
const verifyAtOnce = 64

// Verify compares hosts with what is last known of them, in their order. After ctx has ended the results mean nothing.
func (v *Verifier) Verify(ctx context.Context, last []rollout.LastTree) []Verified {
	manifests := map[string]*manifest.Manifest{}
	for _, l := range last {
		if _, asked := manifests[l.Run]; !asked && l.Tree != nil {
			manifests[l.Run] = v.Manifest(l.Run)
		}
	}
	results := make([]Verified, len(last))
	fanout.Each(ctx, verifyAtOnce, last, func(ctx context.Context, i int, l rollout.LastTree) {
		results[i] = v.verify(ctx, l, manifests[l.Run])
	})
	return results
}

// verify compares one host with what its last run left there, as far as this machine knows: the manifest may be nil. What the host
// itself has recorded counts where that is of a later run: another master may have synced it.
func (v *Verifier) verify(ctx context.Context, last rollout.LastTree, want *manifest.Manifest) Verified {
	r := Verified{Host: last.Host, Run: last.Run}
	known := last.Tree != nil && (last.Standing == rollout.Synced || last.Standing == rollout.Partial)
	if known {
		digest, err := v.Hosts.Digest(ctx, last.Host, last.Paths)
		switch {
		case err != nil:
			return r.unknown(err.Error())
		case digest == last.Tree.Digest && !v.Content:
			r.Verdict = IsSame
			return r
		case digest == last.Tree.Digest:
			return v.differences(ctx, r, last, want, true)
		}
	}
	record, err := v.Hosts.Record(ctx, last.Host)
	switch {
	case err != nil:
		return r.unknown(err.Error())
	case record != nil && record.Run > last.Run && record.Digest != "" && !record.Partial:
		return v.recorded(ctx, r, record)
	case known:
		return v.differences(ctx, r, last, want, false)
	case last.Standing == "":
		return r.unknown("no run is known that synced it")
	default:
		return r.unknown("its last run, " + last.Run + ", left it " + leftAs(last.Standing))
	}
}

func (r Verified) unknown(why string) Verified {
	r.Verdict, r.Error = NotKnown, why
	return r
}

// leftAs says in words how a run has left a host.
func leftAs(s rollout.Standing) string {
	switch s {
	case rollout.Syncing, rollout.Unknowable:
		return "in flight, when it died"
	case rollout.InHooks:
		return "in its post hooks, when it died"
	case rollout.Failed, rollout.Waiting:
		return "failed: its tree may be mixed"
	case rollout.Synced, rollout.Partial, rollout.RolledBack, rollout.Untouched:
		return string(s) + ", with a tree that its journal does not name"
	default:
		return string(s)
	}
}

// recorded compares a host with its own record.
func (v *Verifier) recorded(ctx context.Context, r Verified, record *tree.Record) Verified {
	r.Run = transport.Neutral(record.Run)
	digest, err := v.Hosts.Digest(ctx, r.Host, record.Paths)
	switch {
	case err != nil:
		return r.unknown(err.Error())
	case digest != record.Digest:
		r.Verdict = Drifted // from a run whose manifest is on another master
	case v.Content:
		return r.unknown("the manifest of its run is on another master, so that contents cannot be compared")
	default:
		r.Verdict = IsSame
	}
	return r
}

// differences names what drifted on a host. Its digest may be that of its run: then contents are to be compared.
func (v *Verifier) differences(ctx context.Context, r Verified, last rollout.LastTree, want *manifest.Manifest, sameDigest bool) Verified {
	r.Verdict = Drifted
	if want == nil {
		if sameDigest {
			return r.unknown("the manifest of its run is not here any more, so that contents cannot be compared")
		}
		return r
	}
	is, err := v.Hosts.Manifest(ctx, last.Host, v.Content)
	if err != nil {
		return r.unknown(err.Error())
	}
	changes := manifest.Diff(want, is, last.Paths)
	if len(manifest.NotLeft(changes)) == 0 { // what the sync had to leave is no drift
		if len(changes) == 0 && !sameDigest {
			return r.unknown("its tree changed while it was looked at")
		}
		r.Verdict = IsSame
		return r
	}
	r.Count, r.Paths = len(changes), driftOf(changes, v.Most)
	return r
}

// driftOf names the first of some changes.
func driftOf(changes []manifest.Change, most int) []Drift {
	var drift []Drift
	for _, c := range changes[:min(len(changes), most)] {
		drift = append(drift, Drift{Path: c.Path, Kind: string(c.Kind), What: string(c.What)})
	}
	return drift
}
