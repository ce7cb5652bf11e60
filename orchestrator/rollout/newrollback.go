package rollout

import (
	"errors"

	"github.com/fleetsync/fleetsync/inventory"
)

// NewRollback makes the plan of a run that puts back the trees which the hosts of another run, r.Undoes, had
// before it. The hosts are r.Selection: those that kept theirs. The same canaries come first and are judged
// at the same gate; then the fleet follows in batches. Nobody serves, so no host is taken out of its pools.
//
// The hosts of r.Down are named, have failed, and keep what they have. The error is ErrDown, or says what in the request does not
// fit the fleet.
func NewRollback(f *inventory.Fleet, settings inventory.Settings, r Request) (*Plan, error) {
	b := builder{fleet: f, request: r, roles: map[string]Role{}}
	if r.Selection == nil {
		r.Selection, b.request.Selection = []string{}, []string{}
	}
	for _, name := range b.selected() {
		b.roles[name] = RoleHost
	}
	if len(b.roles) == 0 {
		return nil, errors.New("there is no host to roll back")
	}
	b.assignCanaries()
	canaries, fleet := b.there(RoleCanary), b.there(RoleHost)
	if len(canaries) == 0 {
		return nil, errNobody
	}
	p := &Plan{
		Run: r.Run, Fleet: f.Name, Mode: r.Mode, Made: r.Made, Inventory: f.Digest, Undoes: r.Undoes,
		Limit: r.Limit, Force: r.Force, Left: r.Left, Limits: limits(settings, r), Gate: gateOf(settings), Hooks: r.Hooks,
	}
	for _, h := range f.Hosts {
		if role := b.roles[h.Name]; role != "" {
			p.Hosts = append(p.Hosts, Host{Name: h.Name, Role: role, Datacenter: h.Datacenter, Rack: h.Rack, Down: r.Down[h.Name]})
		}
	}
	// Others that are down are no reason to leave those that are there with a bad tree.
	if err := p.allow(settings.Batches.MaxFailures, true, len(p.Hosts)); err != nil {
		return nil, err
	}
	p.hook(MomentPre, "before anything is touched")
	p.stage(Stage{Name: "canaries", Kind: StageUndo, Hosts: canaries, Why: "what they had before is tried on them first, too"})
	p.stage(Stage{Name: "gate", Kind: StageCheck, Hosts: canaries, Why: "no other host is changed before it passes"})
	p.batches(StageUndo, fleet, settings.Batches.Ramp)
	p.hook(MomentPost, "the run is over")
	return p, nil
}

// ModeRollback is the mode of a run that rolls back another.
const ModeRollback inventory.Mode = "rollback"
