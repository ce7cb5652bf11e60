package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/fleetsync/fleetsync/orchestrator/hosts"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// sampleSize is how many hosts of the fleet are asked for their free space, beside canaries, masters and proxies.
const sampleSize = 16

// room is what is free where a sync writes.
type room struct {
	asked   []rollout.Host
	free    []int64 // bytes, of each that was asked; negative is unknown
	others  int     // hosts that are nothing but hosts, asked or not
	mayFail int     // hosts
}

// room asks hosts what is free on them: all that the run begins with, and some of the others. Of one that cannot be asked nothing is
// known: it cannot be synced either, and is judged then.
func (a *app) room(ctx context.Context, asker *hosts.Asker, draft *rollout.Plan) room {
	r := room{mayFail: draft.Limits.MaxFailures}
	var others []rollout.Host
	for _, h := range draft.Hosts {
		switch {
		case h.Name == draft.Origin:
		case h.Down != "":
			r.mayFail--
		case h.Role == rollout.RoleHost:
			others = append(others, h)
		default:
			r.asked = append(r.asked, h)
		}
	}
	r.others = len(others)
	some := min(r.others, sampleSize)
	for i := range some {
		r.asked = append(r.asked, others[i*len(others)/some])
	}
	names := make([]string, len(r.asked))
	for i, h := range r.asked {
		names[i] = h.Name
	}
	r.free = make([]int64, len(names))
	a.each(ctx, names, func(i int, name string) error {
		var err error
		if r.free[i], err = asker.Free(ctx, name); err != nil {
			r.free[i] = -1
		}
		return nil
	})
	return r
}

// judge names the hosts that have fewer bytes free than are needed, if there are any. Such a canary or master is refused, and so
// are more than may fail; of two and more it is taken that those that were not asked are as those that were. Fewer are no reason
// not to sync all others.
func (r room) judge(need int64) (refused bool, text string) {
	var short []string
	vital, proxies, hosts, sampled := 0, 0, 0, 0
	for i, h := range r.asked {
		if h.Role == rollout.RoleHost {
			sampled++
		}
		if r.free[i] < 0 || r.free[i] >= need {
			continue
		}
		short = append(short, fmt.Sprintf("%s has %d bytes free", h.Name, r.free[i]))
		switch h.Role {
		case rollout.RoleCanary, rollout.RoleMaster:
			vital++
		case rollout.RoleProxy:
			proxies++
		case rollout.RoleHost:
			hosts++
		}
	}
	if len(short) == 0 {
		return false, ""
	}
	if hosts > 1 { // one says nothing of the others
		hosts = hosts * r.others / sampled
	}
	return vital > 0 || proxies+hosts > r.mayFail, fmt.Sprintf("%d of %d hosts that were asked have too little space, as a sync needs %d bytes: %s",
		len(short), len(r.asked), need, strings.Join(short[:min(len(short), 5)], ", "))
}

// largest returns how many bytes a sync would bring to the host that gets the most.
func largest(d *rollout.Delta) int64 {
	var bytes int64
	for _, h := range d.Hosts {
		bytes = max(bytes, h.Bytes)
	}
	return bytes
}
