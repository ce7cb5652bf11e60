package rollout_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// TestNewPlanProperties plans generated orders, those that make no sense among them, and works out
// on its own who plays which part. Planted, and seen to fail: one stand-in for all canaries; depool in
// canary mode; no gate; a batch one too big; a ramp of what is left; serve: false that serves; a
// budget of the fleet alone; proxies left out that serve; co-masters outside the selection; canaries that keep
// nothing; an origin that keeps; proxies that are not verified; all for a sample; a sample that may be empty;
// a quarantine without pools; no bound for deletions.
func TestNewPlanProperties(t *testing.T) {
	seen := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		o := anOrder(t, false)
		want := cast(o)
		plan, err := rollout.NewPlan(o.fleet, o.settings, o.request)
		if want.err != "" {
			seen[want.err]++
			if err == nil || !strings.Contains(err.Error(), want.err) {
				t.Fatalf("the error is %v, should say %q", err, want.err)
			}
			if noFit := want.err == rollout.ErrNoProxyFits.Error(); errors.Is(err, rollout.ErrNoProxyFits) != noFit {
				t.Fatalf("ErrNoProxyFits for %v", err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		seen["planned"]++
		want.compare(t, o, plan)
	})
	t.Log(seen)
}

// casting is who plays which part, worked out without the plan.
type casting struct {
	err                                 string
	origin                              string
	canaries, comasters, proxies, fleet []string
	slots                               map[string]int
	pooled                              []string
	down                                map[string]rollout.Role
}

func cast(o order) casting {
	c := casting{slots: map[string]int{}, down: map[string]rollout.Role{}}
	var masters []string
	serve := map[string]int{}
	for _, m := range o.fleet.Masters {
		masters = append(masters, m.Host)
		if m.Serve {
			serve[m.Host] = m.Slots
			if c.origin == "" {
				c.origin = m.Host
			}
		}
	}
	if asked := o.request.Origin; asked != "" {
		c.origin = asked
		if serve[asked] == 0 {
			c.err = "may not be synced from"
			return c
		}
	}
	if c.origin == "" {
		c.err = "no master may be synced from"
		return c
	}
	var hosts []string // the selection, without masters
	for _, h := range o.fleet.Hosts {
		if o.request.Selection != nil && !slices.Contains(o.request.Selection, h.Name) {
			continue
		}
		isDown := o.request.Down[h.Name] != "" && h.Name != c.origin
		switch {
		case isDown && slices.Contains(masters, h.Name):
			c.down[h.Name] = rollout.RoleMaster
		case isDown && slices.Contains(o.fleet.Canaries, h.Name):
			c.down[h.Name] = rollout.RoleCanary
		case isDown:
			c.down[h.Name] = rollout.RoleHost
		case !slices.Contains(masters, h.Name):
			hosts = append(hosts, h.Name)
		case h.Name != c.origin:
			c.comasters = append(c.comasters, h.Name)
			c.slots[h.Name] = serve[h.Name]
		}
	}
	c.slots[c.origin] = serve[c.origin]
	if len(hosts) == 0 {
		c.err = "there is no host to sync"
		for _, role := range c.down {
			if role != rollout.RoleMaster {
				c.err = rollout.ErrDown.Error()
			}
		}
		return c
	}
	proxies := map[string]inventory.Proxy{}
	for _, p := range o.fleet.Proxies {
		proxies[p.Host] = p
	}
	isProxy := func(name string) bool { _, ok := proxies[name]; return ok }
	c.canaries = keep(hosts, func(name string) bool { return slices.Contains(o.fleet.Canaries, name) })
	if len(c.canaries) == 0 {
		c.canaries = keep(hosts, func(name string) bool { return !isProxy(name) })
		if len(c.canaries) == 0 {
			c.canaries = hosts
		}
		c.canaries = c.canaries[:min(len(c.canaries), max(1, len(o.fleet.Canaries)))]
	}
	rest := keep(hosts, func(name string) bool { return !slices.Contains(c.canaries, name) })
	if o.request.Mode == inventory.ModeCanary {
		c.comasters = nil
		for name, role := range c.down {
			if role != rollout.RoleCanary {
				delete(c.down, name)
			}
		}
		c.budget(o)
		return c
	}
	could := keep(rest, func(name string) bool { return isProxy(name) && o.request.Quarantined[name] == "" })
	c.proxies = keep(could, func(name string) bool {
		return !slices.ContainsFunc(o.request.Left, func(l rollout.Left) bool { return l.Host == name })
	})
	if len(could) == len(rest) {
		c.proxies = nil // there is nobody they would serve
	} else if len(could) > 0 && len(c.proxies) == 0 {
		c.err = rollout.ErrNoProxyFits.Error()
		return c
	}
	c.fleet = keep(rest, func(name string) bool { return !slices.Contains(c.proxies, name) })
	for _, name := range c.proxies {
		c.slots[name] = proxies[name].Slots
		if o.request.Pools && proxies[name].Pooled {
			c.pooled = append(c.pooled, name)
		}
	}
	c.budget(o)
	return c
}

// budget sees whether more hosts are down than may fail. Those count among the hosts of which a share may.
func (c *casting) budget(o order) {
	if len(c.down) > c.most(o) {
		c.err = rollout.ErrDown.Error()
	}
}

// most is how many hosts may fail: the largest number that is not more than its share of them.
func (c *casting) most(o order) int {
	hosts := len(c.canaries) + len(c.comasters) + len(c.proxies) + len(c.fleet) + len(c.down)
	most := o.settings.Batches.MaxFailures.Count
	if o.settings.Batches.MaxFailures.Share {
		for most = 0; (most+1)*10_000 <= hosts*o.settings.Batches.MaxFailures.BasisPoints; most++ {
		}
	}
	if o.request.Behind {
		most += len(c.down)
	}
	return most
}

func keep(names []string, good func(string) bool) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !good(name) })
}

func (c casting) compare(t *rapid.T, o order, plan *rollout.Plan) {
	var want []string
	add := func(name string, kind rollout.StageKind, hosts []string) {
		if len(hosts) > 0 {
			want = append(want, fmt.Sprintf("%s/%s %v", kind, name, hosts))
		}
	}
	hook := func(m rollout.Moment) {
		if slices.Contains(o.request.Hooks, m) {
			want = append(want, fmt.Sprintf("hook/%s []", m))
		}
	}
	hook(rollout.MomentPre)
	add("canaries", rollout.StageSync, c.canaries)
	add("gate", rollout.StageCheck, c.canaries)
	add("masters", rollout.StageSync, c.comasters)
	add("depool", rollout.StageDepool, c.pooled)
	add("proxies", rollout.StageSync, c.proxies)
	sizes := batchSizes(len(c.fleet), o.settings.Batches.Ramp)
	at := 0
	for i, size := range sizes {
		add(fmt.Sprintf("batch %d of %d", i+1, len(sizes)), rollout.StageSync, c.fleet[at:at+size])
		at += size
	}
	add("repool", rollout.StageRepool, c.pooled)
	hook(rollout.MomentPost)
	var got []string
	for _, s := range plan.Stages {
		got = append(got, fmt.Sprintf("%s/%s %v", s.Kind, s.Name, s.Hosts))
		fromOrigin := s.Kind == rollout.StageSync && !strings.HasPrefix(s.Name, "batch")
		if s.Origin != fromOrigin || s.Why == "" {
			t.Fatalf("stage %+v: straight from the origin: %v, should be %v", s, s.Origin, fromOrigin)
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("the stages are\n%s\nshould be\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	c.compareHosts(t, o, plan)
	b := o.settings.Batches
	limits := rollout.Limits{
		Parallel: b.Parallel, MaxFailures: c.most(o), Attempts: b.Attempts, Timeout: rollout.Duration(b.Timeout),
		Drain:      rollout.Duration(o.request.Drain),
		RetryDelay: rollout.Duration(2 * time.Second), Restore: rollout.Duration(2 * time.Minute), MaxDelete: o.request.MaxDelete,
	}
	if plan.Limits != limits {
		t.Fatalf("the limits are %+v, should be %+v", plan.Limits, limits)
	}
	if len(plan.Gate.Checks) == 0 || len(o.settings.Gate.Checks) > 0 && len(plan.Gate.Checks) != len(o.settings.Gate.Checks) {
		t.Fatalf("the gate has %d checks of %d", len(plan.Gate.Checks), len(o.settings.Gate.Checks))
	}
	if plan.Gate.Soak != rollout.Duration(o.settings.Gate.Soak) || plan.Gate.Interval != rollout.Duration(o.settings.Gate.Interval) {
		t.Fatalf("the gate is %+v", plan.Gate)
	}
	if plan.Run != "r1" || plan.Mode != o.request.Mode || plan.Origin != c.origin || plan.Force != o.request.Force ||
		!slices.Equal(plan.Paths, o.request.Paths) {
		t.Fatalf("the head of the plan is %+v", plan)
	}
	if plan.Tree != o.request.Tree || plan.Delta != o.request.Delta || plan.Override != o.request.Override || plan.Undoes != "" {
		t.Fatalf("of the source the plan says %+v, %+v, override %q, undoes %q", plan.Tree, plan.Delta, plan.Override, plan.Undoes)
	}
	if plan.Quarantine != (o.request.Tree != nil && o.request.Pools && o.request.Quarantine != inventory.QuarantineNone) {
		t.Fatalf("canaries are quarantined: %v, with pools %v, a tree %v and %q", plan.Quarantine, o.request.Pools, o.request.Tree,
			o.request.Quarantine)
	}
	if plan.QuarantineAll != (o.request.Pools && o.request.Quarantine == inventory.QuarantineAll) {
		t.Fatalf("everybody is quarantined: %v, with pools %v and %q", plan.QuarantineAll, o.request.Pools, o.request.Quarantine)
	}
	survives(t, plan)
}

// survives sees that a plan can be folded over, and read back from a journal.
func survives(t *rapid.T, plan *rollout.Plan) {
	if _, err := rollout.NewState(plan); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	var again rollout.Plan
	if err := json.Unmarshal(text, &again); err != nil || !reflect.DeepEqual(&again, plan) {
		t.Fatalf("the plan does not survive JSON (%v):\n%+v\n%+v", err, again, plan)
	}
}

// compareHosts sees that the plan lists the origin and those in its sync stages, each once, in the
// fleet's order and with the part it plays; and that the proxies which do not serve are named.
func (c casting) compareHosts(t *rapid.T, o order, plan *rollout.Plan) {
	roles := map[string]rollout.Role{c.origin: rollout.RoleMaster}
	for role, names := range map[rollout.Role][]string{
		rollout.RoleMaster: c.comasters, rollout.RoleCanary: c.canaries, rollout.RoleProxy: c.proxies, rollout.RoleHost: c.fleet,
	} {
		for _, name := range names {
			roles[name] = role
		}
	}
	var want []rollout.Host
	for _, h := range o.fleet.Hosts {
		quarantined := o.request.Quarantined[h.Name]
		if roles[h.Name] == rollout.RoleMaster || c.down[h.Name] == rollout.RoleMaster {
			quarantined = ""
		}
		if role := c.down[h.Name]; role != "" {
			want = append(want, rollout.Host{Quarantined: quarantined, Name: h.Name, Role: role, Datacenter: h.Datacenter, Rack: h.Rack,
				Down: o.request.Down[h.Name]})
			continue
		}
		if role := roles[h.Name]; role != "" {
			want = append(want, rollout.Host{
				Name: h.Name, Role: role, Datacenter: h.Datacenter, Rack: h.Rack, Slots: c.slots[h.Name], Pooled: slices.Contains(c.pooled, h.Name),
				Keep: c.keeps(o, h.Name), Verify: c.verifies(o, h.Name) || quarantined != "" && o.request.Tree != nil, Quarantined: quarantined,
				Post: role != rollout.RoleMaster && o.request.Post[h.Name], OnFailure: role != rollout.RoleMaster && o.request.OnFailure[h.Name],
			})
		}
	}
	if !slices.Equal(plan.Hosts, want) {
		t.Fatalf("the hosts are\n%+v\nshould be\n%+v", plan.Hosts, want)
	}
	for _, l := range plan.Left {
		if slices.Contains(c.proxies, l.Host) || l.Reason == "" {
			t.Fatalf("%+v serves, or is left out without a reason", l)
		}
	}
	if len(c.proxies) == 0 {
		return
	}
	for _, p := range o.fleet.Proxies {
		named := slices.ContainsFunc(plan.Left, func(l rollout.Left) bool { return l.Host == p.Host })
		if named == slices.Contains(c.proxies, p.Host) {
			t.Fatalf("proxy %s serves or is left out with a reason: %v and %v", p.Host, !named, named)
		}
	}
}

// keeps says whether a host keeps what is replaced on it: always a canary or a co-master, others if asked.
func (c casting) keeps(o order, name string) bool {
	must := slices.Contains(c.canaries, name) || slices.Contains(c.comasters, name)
	return o.request.Tree != nil && name != c.origin && (must || o.request.Keep)
}

// verifies says whether a host's tree is compared with the run's: always where others depend on it, else all of
// the fleet or one in ten, the first among them.
func (c casting) verifies(o order, name string) bool {
	at := slices.Index(c.fleet, name)
	switch {
	case o.request.Tree == nil || name == c.origin:
		return false
	case at < 0:
		return true
	default:
		return o.request.Verify == inventory.VerifyAll || o.request.Verify == inventory.VerifySample && at%10 == 0
	}
}

// batchSizes gives each host in turn its batch: a batch is full when it has its count, or when one
// more host would be more than its share of all.
func batchSizes(hosts int, ramp []inventory.Amount) []int {
	var sizes []int
	for range hosts {
		if n := len(sizes); n > 0 && !full(sizes[n-1], n-1, hosts, ramp) {
			sizes[n-1]++
		} else {
			sizes = append(sizes, 1)
		}
	}
	return sizes
}

func full(size, batch, hosts int, ramp []inventory.Amount) bool {
	if len(ramp) == 0 {
		return false
	}
	a := ramp[min(batch, len(ramp)-1)]
	if a.Share {
		return (size+1)*10_000 > hosts*a.BasisPoints
	}
	return size >= a.Count
}

func TestNewPlanLimit(t *testing.T) {
	f := &inventory.Fleet{Name: "test"}
	for _, name := range []string{"m1", "m2", "c1", "c2", "p1", "p2", "h1", "h2", "h3"} {
		f.Hosts = append(f.Hosts, inventory.Host{Name: name})
	}
	f.Masters = []inventory.Master{{Host: "m1", Serve: true, Slots: 10}, {Host: "m2", Slots: 10}}
	f.Canaries = []string{"c1", "c2"}
	f.Proxies = []inventory.Proxy{{Host: "p1", Slots: 10, Pooled: true}, {Host: "p2", Slots: 10, Pooled: true}}
	for _, test := range []struct {
		name, selection string
		left            []rollout.Left
		want            string
		err             string
	}{
		{name: "all", want: "canaries[c1 c2] gate[c1 c2] masters[m2] depool[p1 p2] proxies[p1 p2] batch 1 of 1[h1 h2 h3] repool[p1 p2]"},
		{name: "canaries in it", selection: "c2 h1", want: "canaries[c2] gate[c2] batch 1 of 1[h1]"},
		{name: "canaries outside are replaced by its first hosts", selection: "h1 h2 h3", want: "canaries[h1 h2] gate[h1 h2] batch 1 of 1[h3]"},
		{name: "one host is its own canary", selection: "h3", want: "canaries[h3] gate[h3]"},
		{name: "a proxy stands in for a canary only where there is nobody else", selection: "p1 h1",
			want: "canaries[h1] gate[h1] batch 1 of 1[p1]"},
		{name: "proxies alone", selection: "p1 p2", want: "canaries[p1 p2] gate[p1 p2]"},
		{name: "a proxy in it serves", selection: "c1 p2 h1", want: "canaries[c1] gate[c1] depool[p2] proxies[p2] batch 1 of 1[h1] repool[p2]"},
		{name: "a co-master in it", selection: "m2 c1", want: "canaries[c1] gate[c1] masters[m2]"},
		{name: "masters only", selection: "m1 m2", err: "there is no host to sync: all that are selected are masters"},
		{
			name: "proxies that the pools cannot spare are hosts", left: []rollout.Left{{Host: "p1", Reason: "full"}},
			want: "canaries[c1 c2] gate[c1 c2] masters[m2] depool[p2] proxies[p2] batch 1 of 1[p1 h1 h2 h3] repool[p2]",
		},
		{
			name: "no proxy fits", left: []rollout.Left{{Host: "p1", Reason: "full"}, {Host: "p2", Reason: "full"}},
			err: "no proxy can be taken out of its pools: p1: full",
		},
		{
			name: "no proxy of the selection fits", selection: "c1 p2 h1", left: []rollout.Left{{Host: "p2", Reason: "full"}},
			err: "no proxy can be taken out of its pools: p2: full",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := rollout.Request{Run: "r1", Mode: inventory.ModeSync, Pools: true, Left: test.left}
			if test.selection != "" {
				r.Selection = strings.Fields(test.selection)
			}
			plan, err := rollout.NewPlan(f, inventory.Settings{}, r)
			if test.err != "" {
				if err == nil || err.Error() != test.err {
					t.Errorf("the error is %v, should be %s", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range plan.Stages {
				got = append(got, fmt.Sprintf("%s%v", s.Name, s.Hosts))
			}
			if line := strings.Join(got, " "); line != test.want {
				t.Errorf("the stages are\n%s\nshould be\n%s", line, test.want)
			}
		})
	}
}

// TestNewRollbackProperties plans generated rollbacks and works out on its own who comes when. Planted, and seen
// to fail: no canaries' stage; no gate, or one that judges the fleet; a budget without one of the hosts; hosts that
// are sources, or keep; everybody where nobody is selected; batches that sync. Of hosts that are down: one in a batch or among
// the canaries, none to stand in for canaries that all are, one not named with its reason, and too many of them planned.
func TestNewRollbackProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := anOrder(t, false)
		o.request.Undoes = "r0"
		plan, err := rollout.NewRollback(o.fleet, o.settings, o.request)
		selected := func(name string) bool { return slices.Contains(o.request.Selection, name) }
		var hosts, canaries, fleet []string
		for _, h := range o.fleet.Hosts {
			if selected(h.Name) {
				hosts = append(hosts, h.Name)
			}
		}
		isUp := func(name string) bool { return o.request.Down[name] == "" }
		up := keep(hosts, isUp)
		down := len(hosts) - len(up)
		most := o.settings.Batches.MaxFailures.Of(len(hosts)) + down // that others are down is no reason to keep a bad tree
		switch {
		case len(hosts) == 0:
			if err == nil || err.Error() != "there is no host to roll back" {
				t.Fatalf("the error is %v, and nothing is selected", err)
			}
			return
		case len(up) == 0:
			if !errors.Is(err, rollout.ErrDown) {
				t.Fatalf("the error is %v, and all %d hosts are down", err, len(hosts))
			}
			return
		case err != nil:
			t.Fatal(err)
		}
		isProxy := func(name string) bool {
			return slices.ContainsFunc(o.fleet.Proxies, func(p inventory.Proxy) bool { return p.Host == name })
		}
		isCanary := func(name string) bool { return slices.Contains(o.fleet.Canaries, name) }
		canaries = keep(up, isCanary)
		if len(canaries) == 0 {
			if canaries = keep(up, func(name string) bool { return !isProxy(name) }); len(canaries) == 0 {
				canaries = up
			}
			canaries = canaries[:min(len(canaries), max(1, len(o.fleet.Canaries)))]
		}
		fleet = keep(up, func(name string) bool { return !slices.Contains(canaries, name) })
		hook := func(m rollout.Moment) (stages []string) {
			if slices.Contains(o.request.Hooks, m) {
				stages = append(stages, fmt.Sprintf("hook/%s []", m))
			}
			return stages
		}
		want := append(hook(rollout.MomentPre), fmt.Sprintf("rollback/canaries %v", canaries), fmt.Sprintf("check/gate %v", canaries))
		sizes := batchSizes(len(fleet), o.settings.Batches.Ramp)
		at := 0
		for i, size := range sizes {
			want = append(want, fmt.Sprintf("rollback/batch %d of %d %v", i+1, len(sizes), fleet[at:at+size]))
			at += size
		}
		want = append(want, hook(rollout.MomentPost)...)
		var got []string
		for _, s := range plan.Stages {
			got = append(got, fmt.Sprintf("%s/%s %v", s.Kind, s.Name, s.Hosts))
		}
		if !slices.Equal(got, want) {
			t.Fatalf("the stages are\n%s\nshould be\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		var listed []string
		for _, h := range plan.Hosts {
			listed = append(listed, h.Name)
			canary := slices.Contains(canaries, h.Name) || !isUp(h.Name) && isCanary(h.Name)
			if h.Down != o.request.Down[h.Name] {
				t.Fatalf("%s is down because of %q, should be of %q", h.Name, h.Down, o.request.Down[h.Name])
			}
			if h.Slots != 0 || h.Pooled || h.Keep || h.Verify || (h.Role == rollout.RoleCanary) != canary || !canary && h.Role != rollout.RoleHost {
				t.Fatalf("in a rollback %+v has a part that it must not have", h)
			}
		}
		if !slices.Equal(listed, hosts) {
			t.Fatalf("the hosts are %v, should be %v", listed, hosts)
		}
		if plan.Undoes != "r0" || plan.Origin != "" || plan.Tree != nil || plan.Quarantine || plan.Limits.MaxFailures != most ||
			plan.Force != o.request.Force {
			t.Fatalf("the head of the plan is %+v, should allow %d failures", plan, most)
		}
		survives(t, plan)
	})
}

func TestNewMasters(t *testing.T) {
	f := &inventory.Fleet{
		Hosts:   []inventory.Host{{Name: "h1"}, {Name: "m1"}, {Name: "m2"}, {Name: "m3"}},
		Masters: []inventory.Master{{Host: "m1", Serve: true, Slots: 10}, {Host: "m2"}, {Host: "m3"}},
	}
	for _, test := range []struct {
		name, origin, to, undoes string
		want                     string
		err                      string
	}{
		{name: "from a master", origin: "m1", to: "m3 m2", want: "sync[m2 m3] m1:master/10/false m2:master/0/true m3:master/0/true"},
		{name: "from a host", origin: "h1", to: "m1", want: "sync[m1] h1:host/10/false m1:master/0/true"},
		{name: "to a host", origin: "m1", to: "h1", err: "h1 is not a master"},
		{name: "to itself", origin: "m1", to: "m2 m1", err: "m1 cannot be synced from itself"},
		{name: "to nobody", origin: "m1", err: "no master is named to sync to"},
		{name: "back", undoes: "r0", to: "m2", want: "rollback[m2] m2:master/0/false"},
		{name: "a host back", undoes: "r0", to: "h1", err: "h1 is not a master"},
		{name: "nobody back", undoes: "r0", err: "no master is named to put back"},
	} {
		t.Run(test.name, func(t *testing.T) {
			plans := rollout.NewMasterSync
			if test.undoes != "" {
				plans = rollout.NewMasterUndo
			}
			plan, err := plans(f, inventory.Settings{}, rollout.Request{
				Run: "r1", Origin: test.origin, Undoes: test.undoes, Selection: strings.Fields(test.to), Tree: &rollout.Tree{Digest: "d"},
			})
			if test.err != "" {
				if err == nil || err.Error() != test.err {
					t.Fatalf("the error is %v, should be %s", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range plan.Stages {
				got = append(got, fmt.Sprintf("%s%v", s.Kind, s.Hosts))
			}
			for _, h := range plan.Hosts {
				got = append(got, fmt.Sprintf("%s:%s/%d/%v", h.Name, h.Role, h.Slots, h.Keep && h.Verify))
			}
			if line := strings.Join(got, " "); line != test.want {
				t.Errorf("the plan is\n%s\nshould be\n%s", line, test.want)
			}
			if _, err := rollout.NewState(plan); err != nil {
				t.Error(err)
			}
		})
	}
}
