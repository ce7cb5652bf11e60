package preflight

import (
	"context"
	"slices"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/fanout"
	"github.com/fleetsync/fleetsync/orchestrator/manifest"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// Master is what became known of one master.
type Master struct {
	Host   string        `json:"host"`
	Serve  bool          `json:"serve"`           // may be synced from
	Origin bool          `json:"origin"`          // a run would take its tree from here
	Tree   *rollout.Tree `json:"tree,omitempty"`  // what it holds; nil: see Error
	Drift  *MasterDrift  `json:"drift,omitempty"` // how it differs from the origin; nil: it does not, or that is not known
	Error  string        `json:"error,omitempty"`

	manifest *manifest.Manifest
}

// MasterDrift is how a master's tree differs from the origin's.
type MasterDrift struct {
	Count int     `json:"count"`
	Paths []Drift `json:"paths"` // the first of them
}

// Masters finds out what the masters of a fleet hold, in its order. With full every file is read, whether it looks changed or not. After
// ctx has ended the results mean nothing.
func (s Sources) Masters(ctx context.Context, full bool) []Master {
	masters := make([]Master, len(s.Fleet.Masters))
	fanout.Each(ctx, askAtOnce, s.Fleet.Masters, func(ctx context.Context, i int, m inventory.Master) {
		masters[i] = s.master(ctx, m, full)
	})
	compareMasters(masters)
	return masters
}

func (s Sources) master(ctx context.Context, m inventory.Master, full bool) Master {
	master := Master{Host: m.Host, Serve: m.Serve}
	_, scanned, err := s.scan(ctx, m.Host, full)
	if err != nil {
		master.Error = err.Error()
		return master
	}
	master.manifest, master.Tree = scanned, TreeOf(scanned, nil)
	if last, err := s.Hosts.Record(ctx, m.Host); err == nil {
		if found := recordFindings(last, scanned, true); len(found) > 0 {
			master.Error = found[0].Text
		}
	}
	return master
}

// compareMasters says which of the masters is the origin, and how the others differ from it.
func compareMasters(masters []Master) {
	origin := slices.IndexFunc(masters, func(m Master) bool { return m.Serve })
	if origin < 0 {
		return
	}
	masters[origin].Origin = true
	want := masters[origin].manifest
	for i := range masters {
		m := &masters[i]
		if i == origin || want == nil || m.Error != "" {
			continue
		}
		if changes := manifest.NotLeft(manifest.Diff(want, m.manifest, nil)); len(changes) > 0 {
			m.Drift = &MasterDrift{Count: len(changes), Paths: driftOf(changes, maxDrift)}
		}
	}
}

// maxDrift is how many paths are named in which a master differs.
const maxDrift = 20
