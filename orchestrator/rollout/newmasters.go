package rollout

import (
	"errors"
	"fmt"

	"github.com/fleetsync/fleetsync/inventory"
)

// ModeMasters is the mode of a run that changes the trees of masters and nothing else.
const ModeMasters inventory.Mode = "masters"

// NewMasterSync makes the plan of a run that puts the tree of r.Origin on the masters r.Selection: what a
// full run does with its co-masters, alone. The origin may be any host: that is how a lost tree is rebuilt.
func NewMasterSync(f *inventory.Fleet, settings inventory.Settings, r Request) (*Plan, error) {
	p := &Plan{
		Run: r.Run, Fleet: f.Name, Mode: ModeMasters, Made: r.Made, Inventory: f.Digest,
		Origin: r.Origin, Tree: r.Tree, Delta: r.Delta, Override: r.Override, Limits: limits(settings, r),
	}
	p.Limits.Drain, p.Limits.MaxFailures = 0, 0
	to := map[string]bool{}
	for _, name := range r.Selection {
		if _, ok := f.Master(name); !ok {
			return nil, fmt.Errorf("%s is not a master", name)
		}
		if name == r.Origin {
			return nil, fmt.Errorf("%s cannot be synced from itself", name)
		}
		to[name] = true
	}
	for _, h := range f.Hosts {
		host := Host{Name: h.Name, Role: RoleMaster, Datacenter: h.Datacenter, Rack: h.Rack}
		switch {
		case h.Name == r.Origin:
			host.Slots = inventory.DefaultSlots
			if _, ok := f.Master(h.Name); !ok {
				host.Role = RoleHost
			}
		case to[h.Name]:
			host.Keep, host.Verify = r.Tree != nil, r.Tree != nil
		default:
			continue
		}
		p.Hosts = append(p.Hosts, host)
	}
	p.stage(Stage{Name: "masters", Kind: StageSync, Hosts: inOrder(f, to), Origin: true,
		Why: "all that is overwritten or deleted is kept there, and can be put back"})
	if len(p.Stages) == 0 {
		return nil, errors.New("no master is named to sync to")
	}
	return p, nil
}

// NewMasterUndo makes the plan of a run that puts back the tree that a master had before the run r.Undoes.
func NewMasterUndo(f *inventory.Fleet, settings inventory.Settings, r Request) (*Plan, error) {
	p := &Plan{
		Run: r.Run, Fleet: f.Name, Mode: ModeMasters, Made: r.Made, Inventory: f.Digest, Undoes: r.Undoes,
		Limits: limits(settings, r),
	}
	p.Limits.Drain, p.Limits.MaxFailures = 0, 0
	to := map[string]bool{}
	for _, name := range r.Selection {
		if _, ok := f.Master(name); !ok {
			return nil, fmt.Errorf("%s is not a master", name)
		}
		to[name] = true
		p.Hosts = append(p.Hosts, Host{Name: name, Role: RoleMaster})
	}
	p.stage(Stage{Name: "masters", Kind: StageUndo, Hosts: inOrder(f, to), Why: "what was overwritten or deleted there comes back"})
	if len(p.Stages) == 0 {
		return nil, errors.New("no master is named to put back")
	}
	return p, nil
}

// inOrder returns the names in the fleet's order.
func inOrder(f *inventory.Fleet, in map[string]bool) []string {
	var names []string
	for _, h := range f.Hosts {
		if in[h.Name] {
			names = append(names, h.Name)
		}
	}
	return names
}
