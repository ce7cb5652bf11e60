package pooling_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fleetsync/fleetsync/pooling"
)

// snapshot makes a snapshot of key-value pairs.
func snapshot(pairs ...string) pooling.Snapshot {
	s := pooling.Snapshot{Hosts: map[string][]pooling.Object{}, Pools: map[string][]pooling.Object{}}
	for i := 0; i < len(pairs); i += 2 {
		o := pooling.Object{Key: pairs[i], Value: pairs[i+1], Index: 1}
		s.Hosts[o.Host()] = append(s.Hosts[o.Host()], o)
		s.Pools[o.Pool()] = append(s.Pools[o.Pool()], o)
	}
	return s
}

func TestFit(t *testing.T) {
	s := snapshot(
		"eqiad/a/apache2/mw1", yes, "eqiad/a/apache2/mw2", yes, "eqiad/a/apache2/mw3", yes, "eqiad/a/apache2/mw4", no,
		"eqiad/a/apache2/mw5", inactive, "eqiad/a/apache2/mw6", inactive,
		"eqiad/a/nginx/mw1", yes, "eqiad/a/nginx/mw2", yes, "eqiad/a/nginx/mw7", "{}",
		"codfw/a/nginx/mw8", yes,
	)
	for _, c := range []struct {
		name  string
		hosts []string
		t     pooling.Threshold
		fit   []string
		left  map[string]error
	}{
		{"half: of four in apache2 one is out", []string{"mw1", "mw2", "mw3"}, half, []string{"mw3"},
			map[string]error{"mw1": pooling.ErrCapacity, "mw2": pooling.ErrCapacity}},
		{"a service's own threshold", []string{"mw1", "mw2", "mw3"}, pooling.Threshold{Default: 5000, Services: map[string]int{"nginx": 0}},
			[]string{"mw1"}, map[string]error{"mw2": pooling.ErrCapacity, "mw3": pooling.ErrCapacity}},
		{"out already", []string{"mw4", "mw5", "mw4"}, pooling.Threshold{Default: 10_000}, []string{"mw4", "mw5"}, nil},
		{"all may be out", []string{"mw1", "mw2", "mw3", "mw8"}, pooling.Threshold{}, []string{"mw1", "mw2", "mw3", "mw8"}, nil},
		{"no objects", []string{"mw", "mw10"}, pooling.Threshold{}, nil,
			map[string]error{"mw": pooling.ErrNoObjects, "mw10": pooling.ErrNoObjects}},
		{"malformed", []string{"mw7"}, pooling.Threshold{}, nil, map[string]error{"mw7": pooling.ErrMalformed}},
		{"a pool of one", []string{"mw8"}, pooling.Threshold{Default: 1}, nil, map[string]error{"mw8": pooling.ErrCapacity}},
		{"beyond all", []string{"mw8"}, pooling.Threshold{Default: 20_000}, nil, map[string]error{"mw8": pooling.ErrCapacity}},
		{"below none", []string{"mw8"}, pooling.Threshold{Default: -20_000}, []string{"mw8"}, nil},
	} {
		fit, left := s.Fit(c.hosts, c.t)
		if diff := cmp.Diff(c.fit, fit); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
		for host, want := range c.left {
			if !errors.Is(left[host], want) {
				t.Errorf("%s: %s: %v", c.name, host, left[host])
			}
		}
		if len(left) != len(c.left) {
			t.Errorf("%s: %v", c.name, left)
		}
	}
}

// TestFitOfAny: what fits may be out together with what is out already; each host that is left would break a
// pool when added to those before it that fit. The bound is searched for, not computed: the most that may be out is the
// largest number for which enough stay in.
//
// Seen to fail with: rounding up; inactive in the total; taken not counted; a malformed object counted as in.
func TestFitOfAny(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SampledFrom([]string{yes, yes, yes, no, inactive, "?"})
		var pairs, hosts []string
		state := map[string]map[string]string{"apache2": {}, "nginx": {}}
		for h := range rapid.IntRange(1, 12).Draw(t, "hosts") {
			host := fmt.Sprint("mw", h)
			hosts = append(hosts, host)
			for _, service := range []string{"apache2", "nginx"} {
				if v := values.Draw(t, "value"); rapid.IntRange(0, 3).Draw(t, "in pool") > 0 {
					pairs = append(pairs, "eqiad/a/"+service+"/"+host, v)
					state[service][host] = v
				}
			}
		}
		threshold := rapid.IntRange(0, 10_000).Draw(t, "threshold")
		fits := func(out map[string]bool) bool {
			for _, pool := range state {
				in, total := 0, 0
				touched := false
				for host, v := range pool {
					if v == inactive {
						continue
					}
					total++
					touched = touched || v == yes && out[host]
					if v == yes && !out[host] {
						in++
					}
				}
				if touched && in*10_000 < total*threshold {
					return false
				}
			}
			return true
		}
		fit, left := snapshot(pairs...).Fit(hosts, pooling.Threshold{Default: threshold})
		out := map[string]bool{}
		for _, host := range hosts {
			a, inA := state["apache2"][host]
			n, inN := state["nginx"][host]
			out[host] = true
			ok := (inA || inN) && a != "?" && n != "?" && fits(out)
			if !ok {
				delete(out, host)
			}
			if _, isLeft := left[host]; isLeft == ok {
				t.Fatalf("%s: left %v, want fit %v", host, left[host], ok)
			}
		}
		if len(fit) != len(out) || len(fit)+len(left) != len(hosts) {
			t.Fatalf("fit %v, left %v, want %v", fit, left, out)
		}
	})
}
