package balancer_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/pooling/balancer"
	"github.com/fleetsync/fleetsync/pooling/poolingtest"
)

// pools is what a store holds, as pooling reads it.
func pools(s *poolingtest.Etcd) pooling.Snapshot {
	all := pooling.Snapshot{Hosts: map[string][]pooling.Object{}, Pools: map[string][]pooling.Object{}}
	values := s.Values(prefix)
	for _, key := range slices.Sorted(maps.Keys(values)) {
		o := pooling.Object{Key: strings.TrimPrefix(key, prefix+"/"), Value: values[key]}
		all.Hosts[o.Host()] = append(all.Hosts[o.Host()], o)
		all.Pools[o.Pool()] = append(all.Pools[o.Pool()], o)
	}
	return all
}

// TestGroupsDown: what is "yes" and down counts, by its key; what is out anyway does not; and only of pools that the
// hosts are in, of services that the balancers of their own datacenter serve.
//
// Seen to fail with: what is out asked about, too; hosts without their service as keys; pools of which none of the
// hosts is; the balancers of another datacenter asked.
func TestGroupsDown(t *testing.T) {
	s := &poolingtest.Etcd{}
	for key, value := range map[string]string{
		"/mw1": yes, "/mw2": yes, "/mw3": no, "/mw4": inactive, "/mw5": "?", "/mw6": yes,
	} {
		set(t, s, apache+key, value)
	}
	for key, value := range map[string]string{
		"/eqiad/appserver/nginx/mw1": yes, "/eqiad/appserver/nginx/mw2": yes,
		"/eqiad/appserver/dns/mw2":   yes, // which PyBal does not serve
		"/eqiad/api/apache2/mw7":     yes, // a pool that the hosts are not in
		"/codfw/appserver/nginx/mw8": yes, // of a datacenter without balancers
	} {
		set(t, s, key, value)
	}
	one, _, a := lvs(t, s)
	two, _, b := lvs(t, s)
	for _, host := range []string{"mw2", "mw3", "mw4", "mw5", "mw7", "mw8"} {
		one.Down(host, true)
	}
	two.Down("mw6", true)
	two.KeepDown(true)
	lb := balancer.Groups{
		"eqiad": {URLs: []string{a, b}, Pools: map[string]string{"apache2": "apaches_80", "nginx": "nginx_443", "dns": ""}},
		"esams": {URLs: []string{"http://127.0.0.1:1"}, Pools: map[string]string{"apache2": "apaches_80"}},
	}
	all := pools(s)
	for _, c := range []struct {
		hosts []string
		want  []string
	}{
		{[]string{"mw1"}, []string{"apache2/mw2", "apache2/mw6", "nginx/mw2"}},
		{[]string{"mw3"}, []string{"apache2/mw2", "apache2/mw6"}}, // it is in one pool only
		{[]string{"mw2", "mw1", "mw2"}, []string{"apache2/mw2", "apache2/mw6", "nginx/mw2"}},
		{[]string{"mw8"}, nil},
		{[]string{"mw99"}, nil},
		{nil, nil},
	} {
		down, err := all.Down(t.Context(), lb.Down, c.hosts)
		var got []string
		for _, key := range slices.Sorted(maps.Keys(down)) {
			if !down[key] {
				t.Errorf("%s is in the map, and not down", key)
			}
			got = append(got, strings.TrimPrefix(key, "eqiad/appserver/"))
		}
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%v: %v: %s", c.hosts, err, diff)
		}
	}
	if down, err := all.Down(t.Context(), balancer.Groups(nil).Down, []string{"mw1"}); err != nil || len(down) > 0 {
		t.Errorf("without balancers: %v, %v", down, err)
	}
}

// TestGroupsDownUnknown: while one balancer cannot be asked, nobody knows how many are down; that is an error and names
// the pool and the balancer, and is none of a pool that nobody asks about.
//
// Seen to fail with: an error taken for nobody down.
func TestGroupsDownUnknown(t *testing.T) {
	s := &poolingtest.Etcd{}
	set(t, s, apache+"/mw1", yes)
	set(t, s, "/codfw/appserver/apache2/mw9", yes)
	_, _, good := lvs(t, s)
	_, faults, bad := lvs(t, s)
	lb := balancer.Groups{"eqiad": {URLs: []string{good, bad}, Pools: map[string]string{"apache2": "apaches_80"}}}
	all := pools(s)
	for _, fault := range []poolingtest.Fault{poolingtest.Unavailable, poolingtest.Garbage, poolingtest.Redirect, poolingtest.Truncate,
		poolingtest.DropRequest} {
		spoil(faults, fault)
		down, err := all.Down(t.Context(), lb.Down, []string{"mw1"})
		if down != nil || !errors.Is(err, balancer.ErrUnconfirmed) || !strings.Contains(err.Error(), "eqiad/appserver/apache2: ") ||
			!strings.Contains(err.Error(), bad) || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%s: %v, %v", fault, down, err)
		}
		if down, err := all.Down(t.Context(), lb.Down, []string{"mw9"}); err != nil || len(down) > 0 {
			t.Errorf("%s: %v, %v", fault, down, err)
		}
	}
	// One page that says "garbage" of a single host is no page of PyBal's.
	spoil(faults, poolingtest.None)
	if down, err := all.Down(t.Context(), lb.Down, []string{"mw1"}); err != nil || len(down) > 0 {
		t.Errorf("well again: %v, %v", down, err)
	}
}
