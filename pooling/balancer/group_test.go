package balancer_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetsync/fleetsync/pooling/balancer"
	"github.com/fleetsync/fleetsync/pooling/poolingtest"
)

const (
	prefix = "/conftool/v1/pools"
	apache = "/eqiad/appserver/apache2"
)

const (
	yes      = `{"weight": 10, "pooled": "yes"}`
	no       = `{"weight": 10, "pooled": "no"}`
	inactive = `{"weight": 10, "pooled": "inactive"}`
)

// frontend serves a handler until the test ends, and returns its base URL.
func frontend(t testing.TB, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// lvs is a balancer that follows a store, with faults in front.
func lvs(t testing.TB, s *poolingtest.Etcd) (b *poolingtest.Balancer, f *poolingtest.Faults, base string) {
	t.Helper()
	b = &poolingtest.Balancer{Etcd: s, Pools: map[string]string{"apaches_80": prefix + apache, "nginx_443": prefix + "/eqiad/appserver/nginx"}}
	f = &poolingtest.Faults{Next: b}
	return b, f, frontend(t, f)
}

func set(t testing.TB, s *poolingtest.Etcd, key, value string) {
	t.Helper()
	if err := s.Put(prefix+key, value); err != nil {
		t.Fatal(err)
	}
}

// TestConfirm: what each kind of balancer says after a depool and a repool, and what is made of it.
//
// Seen to fail with: one balancer's confirmation taken for all; 404 taken for in; 404 of an unknown pool taken for out;
// enabled/down/not pooled not taken for in; enabled/up/not pooled taken for in; disabled/up/pooled taken for out.
func TestConfirm(t *testing.T) {
	pools := map[string]string{"apache2": "apaches_80", "nginx": "nginx_443", "dns": ""}
	both := []string{"apache2", "nginx", "dns"}
	for _, c := range []struct {
		name   string
		set    func(b *poolingtest.Balancer, f *poolingtest.Faults) // of the second of two balancers, before the change
		value  string                                               // the change
		pooled bool
		says   string // what the error has of the second balancer; empty: confirmed
	}{
		{"depool", nil, no, false, ""},
		{"repool", nil, yes, true, ""},
		{"inactive is out", nil, inactive, false, ""},
		{"inactive is not in", nil, inactive, true, "does not know it"},
		{"depool, late", func(b *poolingtest.Balancer, _ *poolingtest.Faults) { b.Lag(3) }, no, false, ""},
		{"repool, late", func(b *poolingtest.Balancer, _ *poolingtest.Faults) { b.Lag(3) }, yes, true, ""},
		{"depool, stuck", func(b *poolingtest.Balancer, _ *poolingtest.Faults) { b.Stick(true) }, no, false, "enabled/up/pooled"},
		{"repool, stuck", func(b *poolingtest.Balancer, _ *poolingtest.Faults) { b.Stick(true) }, yes, true, "disabled/up/not pooled"},
		{"depool of one that is down", func(b *poolingtest.Balancer, _ *poolingtest.Faults) { b.Down("mw1", true) }, no, false, ""},
		{"repool of one that is down", func(b *poolingtest.Balancer, _ *poolingtest.Faults) { b.Down("mw1", true) }, yes, true, ""},
		{"repool of one that is down and kept", func(b *poolingtest.Balancer,
			_ *poolingtest.Faults) {
			b.Down("mw1", true)
			b.KeepDown(true)
		}, yes, true, ""},
		{"503", func(_ *poolingtest.Balancer, f *poolingtest.Faults) { spoil(f, poolingtest.Unavailable) }, no, false, "HTTP 503"},
		{"garbage", func(_ *poolingtest.Balancer, f *poolingtest.Faults) { spoil(f, poolingtest.Garbage) }, no, false, "is not PyBal's"},
		{"empty", func(_ *poolingtest.Balancer, f *poolingtest.Faults) { spoil(f, poolingtest.Empty) }, yes, true, "is not PyBal's"},
		{"hangs", func(_ *poolingtest.Balancer, f *poolingtest.Faults) { spoil(f, poolingtest.Hang) }, no, false, "no answer"},
		{"hangs in the middle", func(_ *poolingtest.Balancer, f *poolingtest.Faults) { spoil(f, poolingtest.HangBody) }, no, false, "no answer"},
		{"redirects", func(_ *poolingtest.Balancer, f *poolingtest.Faults) { spoil(f, poolingtest.Redirect) }, no, false, "HTTP 307"},
		{"another web server", func(_ *poolingtest.Balancer, f *poolingtest.Faults) { spoil(f, poolingtest.NoV2) }, no, false, "nor the pool"},
		{"another pool", func(b *poolingtest.Balancer, _ *poolingtest.Faults) { delete(b.Pools, "apaches_80") }, no, false, "nor the pool"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := &poolingtest.Etcd{}
			before := map[bool]string{true: no, false: yes}[c.pooled]
			set(t, s, apache+"/mw1", before)
			set(t, s, "/eqiad/appserver/nginx/mw1", before)
			_, _, good := lvs(t, s)
			second, faults, bad := lvs(t, s)
			b := balancer.Group{URLs: []string{good, bad + "/"}, Pools: pools, Timeout: 5 * time.Second}
			if err := b.Confirm(t.Context(), "mw1", both, !c.pooled); err != nil { // they know how it was
				t.Fatal(err)
			}
			if c.set != nil {
				c.set(second, faults)
			}
			if c.says != "" {
				b.Timeout = 300 * time.Millisecond
			}
			set(t, s, apache+"/mw1", c.value)
			set(t, s, "/eqiad/appserver/nginx/mw1", c.value)
			err := b.Confirm(t.Context(), "mw1", both, c.pooled)
			switch {
			case c.says == "" && err != nil:
				t.Error(err)
			case c.says == "":
			case !errors.Is(err, balancer.ErrUnconfirmed) || !strings.Contains(err.Error(), bad+"/ apaches_80: ") ||
				!strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "mw1"):
				t.Errorf("got %v, want %q", err, c.says)
			case strings.Contains(err.Error(), good) && c.value != inactive:
				t.Errorf("accuses the other: %v", err)
			case strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r == 0x7f }):
				t.Errorf("not clean: %q", err)
			}
		})
	}
}

func spoil(f *poolingtest.Faults, fault poolingtest.Fault) {
	f.Plan(func(*http.Request) poolingtest.Fault { return fault })
}

// TestConfirmWords: what PyBal's words mean, one by one.
func TestConfirmWords(t *testing.T) {
	t.Parallel()
	for words, want := range map[string]struct{ out, in bool }{
		"enabled/up/pooled":                   {false, true},
		"enabled/up/not pooled":               {true, false}, // about to be taken in
		"enabled/down/pooled":                 {false, true},
		"enabled/down/not pooled":             {true, true},
		"enabled/partially up/not pooled":     {true, true},
		"disabled/up/not pooled":              {true, false},
		"disabled/down/not pooled":            {true, false},
		"disabled/up/pooled":                  {false, false},
		"":                                    {},
		"enabled/up":                          {},
		"enabled/up/pooled/":                  {},
		"Enabled/up/pooled":                   {},
		"enabled/up/not pooled\n\n":           {},
		"mw1:\tdisabled/up/not pooled":        {},
		`{"pooled": false, "enabled": false}`: {},
	} {
		base := frontend(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, words+"\n") }))
		b := balancer.Group{URLs: []string{base}, Pools: map[string]string{"apache2": "apaches_80"}, Timeout: 100 * time.Millisecond}
		for _, pooled := range []bool{false, true} {
			err := b.Confirm(t.Context(), "mw1", []string{"apache2"}, pooled)
			if confirmed := map[bool]bool{false: want.out, true: want.in}[pooled]; confirmed != (err == nil) {
				t.Errorf("%q, pooled %t: %v", words, pooled, err)
			}
		}
	}
}

func TestConfirmBounds(t *testing.T) {
	ctx := t.Context()
	if err := (balancer.Group{}).Confirm(ctx, "mw1", []string{"apache2"}, false); err != nil {
		t.Errorf("none: %v", err)
	}
	for _, c := range []struct {
		b    balancer.Group
		host string
		want string
	}{
		{balancer.Group{URLs: []string{"http://lvs1:9090"}}, "mw1", "service apache2"},
		{balancer.Group{URLs: []string{"http://lvs1:9090"}, Pools: map[string]string{"apache2": "a/b"}}, "mw1", "malformed"},
		{balancer.Group{URLs: []string{"http://lvs1:9090"}, Pools: map[string]string{"apache2": "a"}}, "..", "malformed"},
		{balancer.Group{URLs: []string{"lvs1:9090"}}, "mw1", "not a base URL"},
		{balancer.Group{URLs: []string{"http://u:secret@lvs1"}}, "mw1", "not a base URL"},
	} {
		err := c.b.Confirm(ctx, c.host, []string{"apache2"}, false)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v: %v", c, err)
		}
	}
	// many, hostile and endless
	var many []string
	base := frontend(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for block := strings.Repeat("\x1b[31m", 1<<16); r.Context().Err() == nil; {
			if _, err := io.WriteString(w, block); err != nil {
				return
			}
		}
	}))
	for i := range 30 {
		many = append(many, base+strings.Repeat("/x", i))
	}
	b := balancer.Group{URLs: many, Pools: map[string]string{"apache2": "apaches_80"}, Timeout: 200 * time.Millisecond}
	err := b.Confirm(ctx, "mw1", []string{"apache2"}, false)
	if !errors.Is(err, balancer.ErrUnconfirmed) || len(err.Error()) > 5000 || !strings.Contains(err.Error(), "and 20 more") ||
		strings.Contains(err.Error(), "\x1b") {
		t.Errorf("%d: %v", len(err.Error()), err)
	}
	// asked to stop
	why := errors.New("asked to stop")
	stop, cancel := context.WithCancelCause(ctx)
	var asked atomic.Int64
	base = frontend(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 2 {
			cancel(why)
		}
		http.Error(w, "not yet", http.StatusServiceUnavailable)
	}))
	b = balancer.Group{URLs: []string{base}, Pools: b.Pools, Timeout: time.Hour}
	if err := b.Confirm(stop, "mw1", []string{"apache2"}, false); !errors.Is(err, why) || errors.Is(err, balancer.ErrUnconfirmed) {
		t.Error(err)
	}
}

// TestDown: a host is down if one balancer says so.
//
// Seen to fail with: "pooled" alone taken for up; a balancer that does not answer taken for one that finds nobody down.
func TestDown(t *testing.T) {
	s := &poolingtest.Etcd{}
	hosts := []string{"mw5", "mw1", "mw2", "mw3", "mw4", "mw1", "mw9"}
	for _, host := range hosts[:5] {
		set(t, s, apache+"/"+host, yes)
	}
	set(t, s, apache+"/mw3", no)
	set(t, s, apache+"/mw4", inactive)
	one, _, a := lvs(t, s)
	two, faults, b := lvs(t, s)
	lb := balancer.Group{URLs: []string{a, b}, Pools: map[string]string{"apache2": "apaches_80", "dns": ""}}
	one.Down("mw1", true)
	two.Down("mw2", true)
	two.KeepDown(true) // and yet it is down
	down, err := lb.Down(t.Context(), "apache2", hosts)
	if diff := cmp.Diff([]string{"mw1", "mw2", "mw3", "mw4", "mw9"}, down); err != nil || diff != "" {
		t.Errorf("%v: %s", err, diff)
	}
	if down, err := lb.Down(t.Context(), "dns", hosts); err != nil || down != nil {
		t.Errorf("%v, %v", down, err)
	}
	if _, err := lb.Down(t.Context(), "nginx", hosts); err == nil {
		t.Error("a service without a pool")
	}
	spoil(faults, poolingtest.Unavailable)
	if down, err := lb.Down(t.Context(), "apache2", hosts); !errors.Is(err, balancer.ErrUnconfirmed) || down != nil ||
		!strings.Contains(err.Error(), b) {
		t.Errorf("%v, %v", down, err)
	}
	spoil(faults, poolingtest.Garbage)
	if _, err := lb.Down(t.Context(), "apache2", hosts); !errors.Is(err, balancer.ErrUnconfirmed) {
		t.Error(err)
	}
}

func FuzzParsePool(f *testing.F) {
	for _, text := range []string{"", "mw1:\tenabled/up/pooled\n", "mw1:\tenabled/partially up/not pooled\nmw2:\tdisabled/down/pooled",
		":\tx", "mw1: enabled/up/pooled", "\n", "a:\tb:\tenabled/up/pooled\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		hosts, err := balancer.ParsePool(text)
		if err != nil {
			if hosts != nil || strings.ContainsAny(err.Error(), "\x1b\n") {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		if n := strings.Count(text, "\n") + 1; len(hosts) > n || slices.Contains(slices.Collect(maps.Keys(hosts)), "") {
			t.Fatalf("%q: %v", text, hosts)
		}
		for _, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
			if _, status, _ := strings.Cut(line, ":\t"); text != "" {
				if _, err := balancer.ParseStatus(status); err != nil {
					t.Fatalf("%q: %v", text, err)
				}
			}
		}
	})
}
