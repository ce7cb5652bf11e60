package demo

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/fleetsync/fleetsync/cmd/internal/testfleet"
	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/pooling/poolingtest"
)

// Whatever fleet is asked for: its files load, and the books kept here agree with what they say. Of the
// proxies some may always be taken out of their pools, and the host that is out from the start is
// never at the expense of one. Seen to fail with a fleet without canaries, with a proxy too many, with
// proxies in the canaries' place, with a host out that a proxy's pool cannot spare, with racks not told
// apart, and with a co-master that has the origin's tree.
func TestEveryFleetLoads(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "fleet")
	rapid.Check(t, func(t *rapid.T) {
		o := Defaults()
		o.Dir = dir
		o.Masters = rapid.IntRange(1, 5).Draw(t, "masters")
		o.Hosts = rapid.IntRange(1, 60).Draw(t, "hosts")
		o.Proxies = rapid.IntRange(0, o.Hosts-1).Draw(t, "proxies")
		if rapid.Bool().Draw(t, "copy") {
			o.Tree = "/srv/anything"
		}
		hosts := lay(o)
		for i := range hosts {
			hosts[i].endpoint = fmt.Sprintf("rsync://127.0.0.1:%d", i+1)
		}
		data, err := inventoryFile(o, hosts)
		if err != nil {
			t.Fatal(err)
		}
		fleet, err := inventory.ParseFleet("inventory.yaml", data)
		if err != nil {
			t.Fatalf("%v\n%s", err, data)
		}
		if data, err = policyFile(o, "http://127.0.0.1:1", "http://127.0.0.1:2"); err != nil {
			t.Fatal(err)
		}
		if _, err := inventory.ParsePolicy(filepath.Join(dir, "fleetsync.yaml"), data); err != nil {
			t.Fatalf("%v\n%s", err, data)
		}

		ordinary := o.Hosts - o.Proxies - len(fleet.Canaries)
		if len(fleet.Hosts) != o.Masters+o.Hosts || len(fleet.Masters) != o.Masters || len(fleet.Proxies) != o.Proxies ||
			len(fleet.Canaries) < 1 || len(fleet.Canaries) > 2 || ordinary < 0 || ordinary == 0 && o.Hosts-o.Proxies > 1 {
			t.Fatalf("%d hosts, %d masters, %d proxies, %d canaries", len(fleet.Hosts), len(fleet.Masters), len(fleet.Proxies), len(fleet.Canaries))
		}
		for i, m := range fleet.Masters {
			h, _ := fleet.Host(m.Host)
			if m.Serve != (i == 0) || (h.Source == fleet.Tree.Source) != m.Serve {
				t.Fatalf("master %d: serve %v, source %q", i, m.Serve, h.Source)
			}
		}
		endpoints := map[string]bool{}
		for _, h := range hosts {
			loaded, ok := fleet.Host(h.name)
			if !ok || loaded.Rack != h.rack || loaded.Datacenter != h.datacenter || !strings.Contains(h.name, h.datacenter) {
				t.Fatalf("%+v is read as %+v", h, loaded)
			}
			if h.serves() && (loaded.Endpoint != h.endpoint || endpoints[h.endpoint]) {
				t.Fatalf("%+v is read as %+v", h, loaded)
			}
			endpoints[h.endpoint] = true
		}
		checkPools(t, fleet, objects(hosts), ordinary)
	})
}

// checkPools counts the pools by what is in their values.
func checkPools(t *rapid.T, fleet *inventory.Fleet, objects []testfleet.Object, ordinary int) {
	total, out, of, seen := map[string]int{}, map[string]int{}, map[string]int{}, map[string]bool{}
	outHosts := map[string]bool{}
	for _, o := range objects {
		var value struct {
			Pooled string
			Weight int
		}
		if err := json.Unmarshal([]byte(o.Value), &value); err != nil || value.Weight < 1 {
			t.Fatalf("%s: %s: %v", o.Key, o.Value, err)
		}
		pool, host := filepath.Split(o.Key)
		if seen[o.Key] {
			t.Fatalf("%s twice", o.Key)
		}
		seen[o.Key] = true
		total[pool]++
		if value.Pooled != "yes" {
			out[pool]++
			outHosts[host] = true
		}
		of[host]++
	}
	for _, h := range fleet.Hosts {
		want := 2
		for _, m := range fleet.Masters {
			if m.Host == h.Name {
				want = 0
			}
		}
		if of[h.Name] != want {
			t.Fatalf("%s has %d objects", h.Name, of[h.Name])
		}
	}
	if len(outHosts) > 1 {
		t.Fatalf("%v are out", outHosts)
	}
	in := map[string]int{} // proxies of a pool
	for _, p := range fleet.Proxies {
		h, _ := fleet.Host(p.Host)
		in["/conftool/v1/pools/"+h.Datacenter+"/appserver/nginx/"]++
		if outHosts[p.Host] {
			t.Fatalf("proxy %s is out", p.Host)
		}
	}
	fit := 0
	for pool, proxies := range in {
		with, without := total[pool]/2-out[pool], total[pool]/2
		if min(proxies, with) != min(proxies, without) {
			t.Fatalf("of %d proxies in %s %d fit, %d without the host that is out", proxies, pool, with, without)
		}
		fit += min(proxies, with)
	}
	if len(fleet.Proxies) > 0 && ordinary > 0 && fit == 0 {
		t.Fatalf("no proxy fits: %v", total)
	}
	if len(fleet.Hosts)-len(fleet.Masters) >= 8 && len(fleet.Proxies) <= 2 && len(outHosts) != 1 {
		t.Fatal("no host is out")
	}
}

func TestDefaultFleet(t *testing.T) {
	o := Defaults()
	o.Dir = filepath.Join(t.TempDir(), "fleet")
	if err := o.Validate(); err != nil {
		t.Fatal(err)
	}
	hosts := lay(o)
	if got := names(hosts, testfleet.RoleCanary); strings.Join(got, " ") != "mw1017.eqiad.wmnet mw2017.codfw.wmnet" {
		t.Errorf("canaries %v", got)
	}
	if got := names(hosts, testfleet.RoleProxy); strings.Join(got, " ") != "mw1027.eqiad.wmnet mw1028.eqiad.wmnet mw2028.codfw.wmnet" {
		t.Errorf("proxies %v", got)
	}
	if spare(hosts) == "" {
		t.Error("no host is out of its pools")
	}
}

// Seen to fail with objects that were written without prevExist=false.
func TestPoolAPIKeepsWhatIsThere(t *testing.T) {
	const theirs = "/conftool/v1/pools/eqiad/appserver/nginx/mw1017.eqiad.wmnet"
	for name, start := range map[string]func(t *testing.T) string{
		"etcd": func(t *testing.T) string { return poolingtest.StartEtcd(t) },
		"embedded": func(t *testing.T) string {
			s, err := poolingtest.NewServer()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			return s.URL
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := small(t)
			o.PoolAPI = start(t) + "/"
			if created, err := poolingtest.Create(t.Context(), o.PoolAPI, theirs, "somebody else's"); !created || err != nil {
				t.Fatal(created, err)
			}
			f, _, policy := up(t, o)
			if f.Created != 11 || f.Kept != 1 {
				t.Errorf("%d created, %d kept", f.Created, f.Kept)
			}
			if len(policy.Pooling.Endpoints) != 1 || policy.Pooling.Endpoints[0]+"/" != o.PoolAPI {
				t.Errorf("endpoints %q", policy.Pooling.Endpoints)
			}
			url := f.PoolAPI + "/v2/keys" + testfleet.PoolPrefix + "?recursive=true&sorted=true"
			_, before := get(t, url)
			if !strings.Contains(before, `"somebody else's"`) || !strings.Contains(before, `Jürgen`) || strings.Count(before, `"value"`) != 12 {
				t.Errorf("objects: %s", before)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}

			o.Dir += "-again"
			if f, _, _ = up(t, o); f.Created != 0 || f.Kept != 12 {
				t.Errorf("%d created, %d kept", f.Created, f.Kept)
			}
			status, after := get(t, url)
			if status != http.StatusOK || after != before {
				t.Errorf("objects were %s\nand are %s", before, after)
			}
		})
	}
}
