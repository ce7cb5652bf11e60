package rollout_test

import (
	"fmt"
	"time"

	"pgregory.net/rapid"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// epoch is when every simulated run begins.
var epoch = time.Date(2016, 2, 2, 12, 0, 0, 0, time.UTC)

// order is what somebody asks for: a fleet, a policy and a request.
type order struct {
	fleet    *inventory.Fleet
	settings inventory.Settings
	request  rollout.Request
}

// upTo draws a number from 0 to most, small ones more often; it shrinks towards 0.
func upTo(t *rapid.T, most int, label string) int { return rapid.IntRange(0, most).Draw(t, label) }

// dice draws whether something happens that happens in about percent of all cases. It shrinks
// towards no. Rapid's own ranges lean towards small numbers; the factor spreads them again.
func dice(t *rapid.T, percent int, label string) bool {
	return percent > 0 && die(t, label) >= 100-percent
}

// pick draws a number below n, all as likely.
func pick(t *rapid.T, n int, label string) int { return die(t, label) % n }

func die(t *rapid.T, label string) int {
	x := rapid.Uint64Range(0, 1<<16).Draw(t, label) * 0x9E3779B97F4A7C15
	return int(x >> 40 % 100)
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

// anOrder draws fleets of 0 to 60 hosts beside their masters. Orders that cannot be planned are
// among them, unless sound.
func anOrder(t *rapid.T, sound bool) order {
	f := aFleet(t, sound)
	o := order{fleet: f, settings: aPolicy(t)}
	o.request = rollout.Request{
		Run: "r1", Made: epoch, Mode: inventory.ModeSync,
		Pools: !dice(t, 15, "no pools"), Drain: seconds(upTo(t, 15, "drain")),
	}
	if dice(t, 50, "depool again") {
		o.request.OnForeignEdit = inventory.ForeignEditDepoolAgain
	}
	switch pick(t, 10, "mode") {
	case 8:
		o.request.Mode = inventory.ModeResync
	case 9:
		o.request.Mode = inventory.ModeCanary
	}
	if dice(t, 20, "paths") {
		o.request.Paths = []string{"wmf-config"}
	}
	if dice(t, 65, "tree") {
		o.request.Tree = &rollout.Tree{Digest: "abc", Files: 7}
		o.request.Verify = []inventory.Verify{"", inventory.VerifyNone, inventory.VerifySample, inventory.VerifyAll}[pick(t, 4, "verify")]
		o.request.Keep = dice(t, 30, "keep")
		o.request.MaxDelete = upTo(t, 9, "max delete") - 1
		if dice(t, 30, "delta") {
			o.request.Delta, o.request.Override = &rollout.Delta{Hosts: []rollout.HostDelta{{Host: "h00", Delete: 3}}, Allowed: 1}, "it is meant"
		}
	}
	if dice(t, 15, "force") {
		o.request.Force = "the check is broken"
	}
	if dice(t, 25, "limit") {
		mask := rapid.Uint64().Draw(t, "selection") ^ rapid.Uint64().Draw(t, "selection'")
		o.request.Selection = []string{}
		for i, h := range f.Hosts {
			if mask>>(i%64)&1 == 1 {
				o.request.Selection = append(o.request.Selection, h.Name)
			}
		}
	}
	for _, p := range f.Proxies {
		if dice(t, 10, "left out") {
			o.request.Left = append(o.request.Left, rollout.Left{Host: p.Host, Reason: "its pool is at its threshold"})
		}
	}
	o.request.Behind = dice(t, 30, "behind")
	if dice(t, 30, "down") {
		o.request.Down = map[string]string{}
		for _, h := range f.Hosts {
			if dice(t, 8, "down") {
				o.request.Down[h.Name] = "no route to host"
			}
		}
	}
	o.request.Quarantine = []inventory.Quarantine{"", inventory.QuarantineNone, inventory.QuarantineCanaries,
		inventory.QuarantineAll}[pick(t, 4, "quarantine")]
	if dice(t, 20, "quarantined") {
		o.request.Quarantined = map[string]string{}
		for _, h := range f.Hosts {
			if dice(t, 10, "quarantined") {
				o.request.Quarantined[h.Name] = "r0"
			}
		}
	}
	if dice(t, 40, "hooks") {
		for _, m := range []rollout.Moment{rollout.MomentPre, rollout.MomentPost, rollout.MomentOnFailure} {
			if dice(t, 60, "moment") {
				o.request.Hooks = append(o.request.Hooks, m)
			}
		}
		o.request.Post, o.request.OnFailure = map[string]bool{}, map[string]bool{}
		post, bad := pick(t, 100, "post"), pick(t, 100, "on failure")
		for i, h := range f.Hosts {
			o.request.Post[h.Name], o.request.OnFailure[h.Name] = i*7%100 < post, i*13%100 < bad
		}
	}
	if dice(t, 10, "from") {
		o.request.Origin = f.Masters[upTo(t, len(f.Masters)-1, "origin")].Host
	}
	return o
}

func aFleet(t *rapid.T, sound bool) *inventory.Fleet {
	f := &inventory.Fleet{Name: "test", Digest: "d"}
	datacenters, racks := 1+pick(t, 3, "datacenters"), pick(t, 4, "racks")
	masters, proxies, canaries := 1+pick(t, 3, "masters"), pick(t, 7, "proxies"), pick(t, 5, "canaries")
	last := dice(t, 30, "masters last")
	place := func(h inventory.Host, n int) inventory.Host {
		if n%7 != 6 { // some hosts name no datacenter
			h.Datacenter = fmt.Sprintf("dc%d", n%datacenters)
		}
		if racks > 0 && n%5 != 4 {
			h.Rack = fmt.Sprintf("r%d", n/datacenters%racks)
		}
		return h
	}
	var ms []inventory.Host
	for i := range masters {
		name := fmt.Sprintf("m%d", i)
		serve := !dice(t, 25, "serve: false") || sound && i == masters-1
		ms = append(ms, place(inventory.Host{Name: name}, i))
		f.Masters = append(f.Masters, inventory.Master{Host: name, Serve: serve, Slots: 1 + pick(t, 5, "slots")})
	}
	if !last {
		f.Hosts = append(f.Hosts, ms...)
	}
	n := min(60, upTo(t, 60, "hosts")+upTo(t, 9, "and more"))
	if sound {
		n = max(n, 1)
	}
	step := 1 + upTo(t, 6, "role step") // which hosts play a part: spread, or side by side
	for i := range n {
		name := fmt.Sprintf("h%02d", i)
		f.Hosts = append(f.Hosts, place(inventory.Host{Name: name}, i+i/3))
		if i%step != 0 {
			continue
		}
		switch part := i / step; {
		case part < canaries:
			f.Canaries = append(f.Canaries, name)
		case part < canaries+proxies:
			f.Proxies = append(f.Proxies, inventory.Proxy{Host: name, Slots: 1 + pick(t, 5, "slots"), Pooled: !dice(t, 15, "unpooled")})
		}
	}
	if last {
		f.Hosts = append(f.Hosts, ms...)
	}
	return f
}

func aPolicy(t *rapid.T) inventory.Settings {
	s := inventory.Settings{
		Batches: inventory.Batches{
			Parallel: 1 + upTo(t, 19, "parallel"), MaxFailures: anAmount(t, 12, "max_failures"),
			Attempts: 1 + pick(t, 4, "attempts"), Timeout: seconds(5 + upTo(t, 55, "timeout")),
		},
		Gate: inventory.Gate{Soak: seconds(upTo(t, 30, "soak")), Interval: seconds(1 + upTo(t, 9, "interval"))},
	}
	for range upTo(t, 4, "ramp") {
		s.Batches.Ramp = append(s.Batches.Ramp, anAmount(t, 20, "ramp"))
	}
	for _, name := range []string{"front page", "version", "extra"}[:upTo(t, 3, "checks")] {
		s.Gate.Checks = append(s.Gate.Checks, inventory.Check{Name: name})
	}
	return s
}

func anAmount(t *rapid.T, most int, label string) inventory.Amount {
	if dice(t, 50, label+" share") {
		return inventory.Amount{Share: true, BasisPoints: 100 * die(t, label)}
	}
	return inventory.Amount{Count: upTo(t, most, label)}
}
