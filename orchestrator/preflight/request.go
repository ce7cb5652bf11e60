package preflight

import (
	"fmt"
	"time"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/transport"
)

// Request is what a user asks of one run.
type Request struct {
	Run  string    // the name that it will have
	Made time.Time // now
	Mode inventory.Mode

	// From is the master to take the tree from; empty: the first that may serve, or, in rollout.ModeMasters, To's tree is put back.
	From string

	Limit    string   // the hosts that it is limited to, as the user selected them; empty: all
	Paths    []string // of the tree; none is all of it
	Force    string   // why a gate that does not pass is gone past; empty: it is not
	Override string   // why what the guard refuses is gone past; empty: it is not
	Full     bool     // every file of the origin is read, whether it looks changed or not
	Behind   bool     // only hosts that are not known to hold the origin's tree, or are in quarantine

	Confirmed int // deletions on one host that the user has confirmed; negative: none

	To       string // rollout.ModeMasters: the master whose tree is changed
	FromHost bool   // rollout.ModeMasters: From is no master, but a host that still has the tree that To has lost
	Undoes   string // rollout.ModeRollback: the run; rollout.ModeMasters: the run before which To's tree is put back, empty: the last

	Saved *SavedPlan // the run must be this one; nil: any

	Begin   bool   // the run will begin, under the fleet's lock, unless it is refused; false: somebody only wants to see its plan
	Draft   bool   // who plays which part is all that is asked for: the pools are read, if there are any, and no host is asked anything
	Command string // how the program is called, in what the plan tells people to type
}

// Check refuses what cannot be meant, whatever there is to be found out.
func Check(fleet *inventory.Fleet, r Request) error {
	if r.Mode == rollout.ModeMasters {
		return checkMasters(fleet, r)
	}
	if r.From != "" {
		if _, ok := fleet.Master(r.From); !ok {
			return refuse(UnknownMaster, "%s is not a master", transport.Quoted(r.From))
		}
		if err := MayServe(fleet, r.From); err != nil {
			return refuseByGuard(MayNotServe, "%w", err)
		}
	}
	_, err := selection(fleet, r.Limit)
	return err
}

func checkMasters(fleet *inventory.Fleet, r Request) error {
	if _, ok := fleet.Master(r.To); !ok {
		return refuse(UnknownTarget, "%s is not a master", transport.Quoted(r.To))
	}
	_, isMaster := fleet.Master(r.From)
	_, isHost := fleet.Host(r.From)
	switch {
	case r.From == "":
		return nil
	case r.FromHost && (isMaster || !isHost):
		return refuse(UnknownHost, "%s is no host that is synced to", transport.Quoted(r.From))
	case !r.FromHost && !isMaster:
		return refuse(UnknownSource, "%s is not a master", transport.Quoted(r.From))
	case r.From == r.To:
		return refuse(SameMaster, "%s cannot be synced from itself", r.To)
	case r.FromHost:
		return nil
	}
	if err := MayServe(fleet, r.From); err != nil {
		return refuseByGuard(MayNotServe, "%w", err)
	}
	return nil
}

// selection returns the hosts that an expression selects; nil, of an empty one, is all.
func selection(fleet *inventory.Fleet, limit string) ([]string, error) {
	if limit == "" {
		return nil, nil
	}
	names, err := fleet.Select(limit)
	if err != nil {
		return nil, refuse(BadSelection, "%w", err)
	}
	return names, nil
}

// MayServe says why the inventory does not let a host be synced from: it is no master, or one with serve: false.
func MayServe(fleet *inventory.Fleet, name string) error {
	switch m, ok := fleet.Master(name); {
	case !ok:
		return fmt.Errorf("%s is not a master", name)
	case !m.Serve:
		return fmt.Errorf("master %s may not be synced from: it has serve: false", name)
	default:
		return nil
	}
}
