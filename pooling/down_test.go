package pooling_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fleetsync/fleetsync/pooling"
)

// TestDown: what is "yes" and down counts, by its key; what is out anyway is not asked about; nor are pools that none of the hosts is in.
//
// Seen to fail with: what is out asked about, too; hosts without their service as keys; every pool asked about.
func TestDown(t *testing.T) {
	s := snapshot(
		"eqiad/a/apache2/mw1", yes, "eqiad/a/apache2/mw2", yes, "eqiad/a/apache2/mw3", no, "eqiad/a/apache2/mw4", inactive,
		"eqiad/a/apache2/mw5", "?",
		"eqiad/a/nginx/mw1", yes, "eqiad/a/nginx/mw2", yes, "codfw/a/nginx/mw8", yes, "codfw/a/dns/mw9", no,
	)
	var asked []string
	ask := func(_ context.Context, datacenter, service string, hosts []string) ([]string, error) {
		asked = append(asked, fmt.Sprint(datacenter, " ", service, " ", hosts))
		return slices.DeleteFunc(slices.Clone(hosts), func(host string) bool { return host != "mw2" && host != "mw8" }), nil
	}
	down, err := s.Down(t.Context(), ask, []string{"mw1", "mw3", "mw9", "mw99"})
	if diff := cmp.Diff(map[string]bool{"eqiad/a/apache2/mw2": true, "eqiad/a/nginx/mw2": true}, down); err != nil || diff != "" {
		t.Errorf("%v: %s", err, diff)
	}
	if diff := cmp.Diff([]string{"eqiad apache2 [mw1 mw2]", "eqiad nginx [mw1 mw2]"}, asked); diff != "" {
		t.Error(diff)
	}
	away := errors.New("away")
	if down, err := s.Down(t.Context(), func(context.Context, string, string, []string) ([]string, error) { return nil, away },
		[]string{"mw8"}); down != nil || !errors.Is(err, away) || !strings.Contains(err.Error(), "codfw/a/nginx: ") {
		t.Errorf("%v, %v", down, err)
	}
}

// TestFitWithDown: what fits may be out together with what is out or down already, and each host that is left would break
// the pool. Books of its own: who would be sent traffic, by hand, and how many must be; the bound is searched for.
//
// Seen to fail with: Down ignored by the count; Down by host, not by key; a down host counted a second time when it is
// the one to go; one that is down let out of a pool that is below its threshold already.
func TestFitWithDown(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		share := rapid.IntRange(0, 10_000).Draw(t, "threshold")
		var pairs, names []string
		down := map[string]bool{}
		is, serves := map[string]string{}, map[string]bool{}
		total := 0
		for i := range rapid.IntRange(1, 10).Draw(t, "hosts") {
			name := fmt.Sprint("mw", i)
			key := "eqiad/appserver/apache2/" + name
			value := rapid.SampledFrom([]string{yes, yes, yes, no, inactive}).Draw(t, "value")
			pairs, names, is[name] = append(pairs, key, value), append(names, name), value
			if value == yes && rapid.IntRange(0, 2).Draw(t, "down") == 0 {
				down[key] = true
			}
			down["eqiad/appserver/nginx/"+name] = true // of another service: no matter
			if value != inactive {
				total++
			}
			serves[name] = value == yes && !down[key]
		}
		enough := func() bool {
			n := 0
			for _, is := range serves {
				if is {
					n++
				}
			}
			return n*10_000 >= total*share
		}
		fit, left := snapshot(pairs...).Fit(names, pooling.Threshold{Default: share, Down: down})
		for _, name := range names {
			before := serves[name]
			serves[name] = false
			ok := is[name] != yes || enough()
			if !ok {
				serves[name] = before
			}
			if _, isLeft := left[name]; isLeft == ok || slices.Contains(fit, name) != ok {
				t.Fatalf("%s: fits %t, left %v, want %t", name, slices.Contains(fit, name), left[name], ok)
			}
		}
	})
}

// TestDepoolWithDown: the threshold holds at the moment of the depool, before it and after.
//
// Seen to fail with: Down ignored by the count.
func TestDepoolWithDown(t *testing.T) {
	both(t, func(t *testing.T, a others) {
		c := dial(t, a.store)
		for i := range 4 {
			a.put(fmt.Sprintf("eqiad/appserver/apache2/mw%d", i), yes)
		}
		at := func(hosts ...string) pooling.Threshold {
			t := pooling.Threshold{Default: 5000, Down: map[string]bool{}}
			for _, host := range hosts {
				t.Down["eqiad/appserver/apache2/"+host] = true
			}
			return t
		}
		for _, down := range [][]string{{"mw2", "mw3"}, {"mw1", "mw2", "mw3"}, {"mw0", "mw1", "mw2"}} {
			held, err := c.Depool(t.Context(), "run-1", observe(t, c, "mw0"), at(down...))
			if held != nil || !errors.Is(err, pooling.ErrCapacity) || a.get("eqiad/appserver/apache2/mw0").Value != yes {
				t.Errorf("%v down: %v, %v", down, held, err)
			}
		}
		if held, err := c.Depool(t.Context(), "run-1", observe(t, c, "mw0"), at("mw3")); len(held) != 1 || err != nil {
			t.Errorf("one of four down, and half may be out: %v, %v", held, err)
		}
		// one that is down itself is not counted twice: two of four are out then, as before
		a.put("eqiad/appserver/apache2/mw0", yes)
		held, err := c.Depool(t.Context(), "run-1", observe(t, c, "mw3"), at("mw3", "mw2"))
		if len(held) != 1 || err != nil {
			t.Errorf("one that is down: %v, %v", held, err)
		}
		if _, err := c.Restore(t.Context(), "run-1", held); err != nil {
			t.Error(err)
		}
		if held, err := c.Depool(t.Context(), "run-1", observe(t, c, "mw3"), at("mw3", "mw2", "mw1")); held != nil ||
			!errors.Is(err, pooling.ErrCapacity) || strings.Contains(err.Error(), "0 more") {
			t.Errorf("one that is down, of a pool that is below its threshold: %v, %v", held, err)
		}
		a.put("eqiad/appserver/apache2/mw0", `{"weight": 10, "pooled": "no", "fleetsync": "run-1"}`)
		// it is out now: with it, and the one that is down, no other may follow
		if held, err := c.Depool(t.Context(), "run-1", observe(t, c, "mw1"), at("mw3")); held != nil || !errors.Is(err, pooling.ErrCapacity) {
			t.Errorf("a third: %v, %v", held, err)
		}
	})
}
