package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fleetsync/fleetsync/pooling"
)

// Conformance tests what pooling.Store says. open returns a new store that lasts as long as the test; it may hold keys, but none of
// Conformance's, which are all below "/storetest".
func Conformance(t *testing.T, open func(t *testing.T) pooling.Store) {
	c := &conformance{store: open(t)}
	for name, test := range map[string]func(t *testing.T, dir string){
		"writes":       c.writes,
		"names":        c.names,
		"listing":      c.listing,
		"time to live": c.timeToLive,
		"wait":         c.wait,
		"late wait":    c.lateWait,
		"context":      c.context,
		"race":         c.race,
		"random":       c.random,
	} {
		t.Run(name, func(t *testing.T) { test(t, "/storetest/"+strings.ReplaceAll(name, " ", "-")) })
	}
}

type conformance struct{ store pooling.Store }

func want(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

// must returns what fails the test unless a call went well, and returns its value.
func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func (c *conformance) writes(t *testing.T, dir string) {
	ctx, s, key := t.Context(), c.store, dir+"/a/b"
	_, err := s.Get(ctx, key)
	want(t, "get of none", err, pooling.ErrNotFound)
	_, err = s.Swap(ctx, key, "1", 1)
	want(t, "swap of none", err, pooling.ErrNotFound)
	want(t, "delete of none", s.Delete(ctx, key, 1), pooling.ErrNotFound)
	want(t, "delete of none by its value", s.DeleteValue(ctx, key, "1"), pooling.ErrNotFound)
	want(t, "refresh of none", s.Refresh(ctx, key, "1", time.Minute), pooling.ErrNotFound)

	want(t, "create", s.Create(ctx, key, "1", 0), nil)
	want(t, "create of what is there", s.Create(ctx, key, "2", 0), pooling.ErrConflict)
	e := must[pooling.Entry](t)(s.Get(ctx, key))
	if diff := cmp.Diff(pooling.Entry{Key: key, Value: "1", Index: e.Index}, e); diff != "" || e.Index == 0 {
		t.Errorf("created: %s", diff)
	}
	_, err = s.Swap(ctx, key, "2", 0)
	want(t, "swap at no index", err, pooling.ErrMalformed)
	_, err = s.Swap(ctx, key, "2", e.Index+1)
	want(t, "swap at another index", err, pooling.ErrConflict)
	index := must[uint64](t)(s.Swap(ctx, key, "2", e.Index))
	_, err = s.Swap(ctx, key, "3", e.Index)
	want(t, "swap at an old index", err, pooling.ErrConflict)
	now := must[pooling.Entry](t)(s.Get(ctx, key))
	if diff := cmp.Diff(pooling.Entry{Key: key, Value: "2", Index: index}, now); diff != "" || index <= e.Index {
		t.Errorf("swapped: %s", diff)
	}

	want(t, "delete at no index", s.Delete(ctx, key, 0), pooling.ErrMalformed)
	want(t, "delete at an old index", s.Delete(ctx, key, e.Index), pooling.ErrConflict)
	want(t, "delete of no value", s.DeleteValue(ctx, key, ""), pooling.ErrMalformed)
	want(t, "delete of an old value", s.DeleteValue(ctx, key, "1"), pooling.ErrConflict)
	want(t, "refresh of no value", s.Refresh(ctx, key, "", time.Minute), pooling.ErrMalformed)
	want(t, "refresh of an old value", s.Refresh(ctx, key, "1", time.Minute), pooling.ErrConflict)
	if again := must[pooling.Entry](t)(s.Get(ctx, key)); again != now {
		t.Errorf("what was refused had an effect: %+v, was %+v", again, now)
	}
	want(t, "delete", s.Delete(ctx, key, index), nil)
	want(t, "delete again", s.Delete(ctx, key, index), pooling.ErrNotFound)
	want(t, "create again", s.Create(ctx, key, "1", 0), nil)
	if again := must[pooling.Entry](t)(s.Get(ctx, key)); again.Index <= index {
		t.Errorf("created again at %d, after %d", again.Index, index)
	}
	want(t, "delete by its value", s.DeleteValue(ctx, key, "1"), nil)
	_, err = s.Get(ctx, key)
	want(t, "get of what was deleted", err, pooling.ErrNotFound)
}

// names: whatever a part of a key or a value is, it is kept as it is, and meant.
func (c *conformance) names(t *testing.T, dir string) {
	ctx, s := t.Context(), c.store
	names := []string{"a b", "a?b=c", "a#b", "100%", "%2e%2e", "a%2Fb", "ü", "a&value=x", "a;b", "a+b", "-rf", "$(x)", "a,b", "=2E", "A",
		"a", "..a", `a\b`, `"`}
	values := []string{"", " ", "\n", "é\u2028<&>", "a=b&c=d", `{"weight": 1e1,	"pooled":"yes"}`, strings.Repeat("x", 64<<10)}
	kept := map[string]string{}
	for i, name := range names {
		key := dir + "/" + name
		kept[key] = values[i%len(values)]
		want(t, "create "+key, s.Create(ctx, key, "other", 0), nil)
		e := must[pooling.Entry](t)(s.Get(ctx, key))
		index := must[uint64](t)(s.Swap(ctx, key, kept[key], e.Index))
		if e := must[pooling.Entry](t)(s.Get(ctx, key)); e.Key != key || e.Value != kept[key] || e.Index != index {
			t.Errorf("%q at %d: %+v", key, index, e)
		}
	}
	listed := map[string]string{}
	for _, e := range must[pooling.Listing](t)(s.List(ctx, dir)).Entries {
		listed[e.Key] = e.Value
	}
	if diff := cmp.Diff(kept, listed); diff != "" {
		t.Error(diff)
	}
}

func (c *conformance) listing(t *testing.T, dir string) {
	ctx, s := t.Context(), c.store
	_, err := s.List(ctx, dir+"/a")
	want(t, "list of none", err, pooling.ErrNotFound)
	for _, name := range []string{"a/c/z", "a/b", "ab", "a/c/y/x", "a/c/a", "b/a"} {
		want(t, name, s.Create(ctx, dir+"/"+name, name, 0), nil)
	}
	l := must[pooling.Listing](t)(s.List(ctx, dir+"/a"))
	var names []string
	for _, e := range l.Entries {
		names = append(names, strings.TrimPrefix(e.Key, dir+"/"))
		if one := must[pooling.Entry](t)(s.Get(ctx, e.Key)); one != e {
			t.Errorf("listed %+v, is %+v", e, one)
		}
		if e.Index > l.Index {
			t.Errorf("%s is at %d, the listing at %d", e.Key, e.Index, l.Index)
		}
	}
	if diff := cmp.Diff([]string{"a/b", "a/c/a", "a/c/y/x", "a/c/z"}, names); diff != "" {
		t.Error(diff)
	}
	for _, e := range l.Entries {
		want(t, "delete", s.Delete(ctx, e.Key, e.Index), nil)
	}
	if l, err := s.List(ctx, dir+"/a"); len(l.Entries) != 0 || err != nil && !errors.Is(err, pooling.ErrNotFound) {
		t.Errorf("emptied: %+v, %v", l, err)
	}
	_, err = s.Get(ctx, dir+"/b")
	if !errors.Is(err, pooling.ErrMalformed) && !errors.Is(err, pooling.ErrNotFound) { // the latter of a store without directories
		t.Errorf("get of a directory: %v", err)
	}
}

// timeToLive: a key runs out, not too early, unless it is refreshed, and one that is swapped does not any more.
func (c *conformance) timeToLive(t *testing.T, dir string) {
	ctx, s := t.Context(), c.store
	left := func(key string, least, most time.Duration) {
		t.Helper()
		if e := must[pooling.Entry](t)(s.Get(ctx, key)); e.TTL < least || e.TTL > most {
			t.Errorf("%s runs out in %s, want %s to %s", key, e.TTL, least, most)
		}
	}
	long, short, swapped, refreshed := dir+"/long", dir+"/short", dir+"/swapped", dir+"/refreshed"
	want(t, "create", s.Create(ctx, long, "1", 99*time.Second+1), nil)
	left(long, time.Second, 100*time.Second)
	want(t, "refresh", s.Refresh(ctx, long, "1", 1000*time.Second), nil)
	left(long, 101*time.Second, 1000*time.Second)
	want(t, "refresh of one that does not run out", s.Create(ctx, dir+"/ever", "1", 0), nil)
	want(t, "refresh of one that does not run out", s.Refresh(ctx, dir+"/ever", "1", 1000*time.Second), nil)
	left(dir+"/ever", 101*time.Second, 1000*time.Second)

	before := must[pooling.Listing](t)(s.List(ctx, dir)).Index
	began := time.Now()
	want(t, "create", s.Create(ctx, short, "1", time.Second), nil)
	left(short, time.Second, time.Second)
	want(t, "create", s.Create(ctx, swapped, "1", 100*time.Second), nil)
	e := must[pooling.Entry](t)(s.Get(ctx, swapped))
	must[uint64](t)(s.Swap(ctx, swapped, "2", e.Index))
	left(swapped, 0, 0)
	want(t, "create", s.Create(ctx, refreshed, "1", 100*time.Second), nil)
	want(t, "refresh", s.Refresh(ctx, refreshed, "1", time.Second), nil)

	got := map[string][]string{}
	for after := before; len(got[short]) < 2 || len(got[refreshed]) < 2; {
		ev := must[pooling.Event](t)(s.Wait(soon(t), dir, after))
		after = ev.Entry.Index
		what := ev.Entry.Value
		if ev.Deleted {
			what = "deleted"
			if took := time.Since(began); took < time.Second {
				t.Errorf("%s ran out after %s", ev.Entry.Key, took)
			}
		}
		got[ev.Entry.Key] = append(got[ev.Entry.Key], what)
	}
	if diff := cmp.Diff(map[string][]string{short: {"1", "deleted"}, swapped: {"1", "2"}, refreshed: {"1", "deleted"}}, got); diff != "" {
		t.Errorf("told (a refresh is not): %s", diff)
	}
	want(t, "refresh of what ran out", s.Refresh(ctx, short, "1", time.Minute), pooling.ErrNotFound)
	want(t, "create of what ran out", s.Create(ctx, short, "1", 0), nil)
}

// soon returns a context for what would otherwise hang if it went wrong.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// wait: changes are told in their order, those before Wait and those after, of the directory and of no other.
func (c *conformance) wait(t *testing.T, dir string) {
	ctx, s := t.Context(), c.store
	want(t, "create", s.Create(ctx, dir+"/a/first", "1", 0), nil)
	after := must[pooling.Listing](t)(s.List(ctx, dir+"/a")).Index
	const rounds = 5
	var told sync.WaitGroup
	told.Go(func() {
		for i := range rounds {
			key := fmt.Sprint(dir, "/a/", i)
			want(t, "create beside it", s.Create(ctx, fmt.Sprint(dir, "/ab", i), "1", 0), nil)
			want(t, "create", s.Create(ctx, key, "1", 0), nil)
			e, err := s.Get(ctx, key)
			want(t, "get", err, nil)
			_, err = s.Swap(ctx, key, "2", e.Index)
			want(t, "swap", err, nil)
			want(t, "refresh", s.Refresh(ctx, key, "2", time.Hour), nil)
			want(t, "delete", s.DeleteValue(ctx, key, "2"), nil)
		}
	})
	for i := range rounds {
		for _, expect := range []pooling.Event{{Entry: pooling.Entry{Value: "1"}}, {Entry: pooling.Entry{Value: "2"}}, {Deleted: true}} {
			expect.Entry.Key = fmt.Sprint(dir, "/a/", i)
			e, err := s.Wait(soon(t), dir+"/a", after)
			if err != nil {
				t.Fatal(err)
			}
			if e.Entry.Index <= after {
				t.Fatalf("%+v after %d", e, after)
			}
			after = e.Entry.Index
			e.Entry.Index, e.Entry.TTL = 0, 0
			if e != expect {
				t.Errorf("told %+v, want %+v", e, expect)
			}
		}
	}
	told.Wait()
}

// lateWait: whoever asks for what happened long ago is told that, or that it is no longer known.
func (c *conformance) lateWait(t *testing.T, dir string) {
	ctx, s, key := t.Context(), c.store, dir+"/a"
	want(t, "create", s.Create(ctx, key, "0", 0), nil)
	e := must[pooling.Entry](t)(s.Get(ctx, key))
	for i := range maxHistory + 10 {
		e.Index = must[uint64](t)(s.Swap(ctx, key, fmt.Sprint(i+1), e.Index))
		if i == 0 {
			first := must[pooling.Event](t)(s.Wait(soon(t), dir, e.Index-1))
			if first.Entry.Value != "1" {
				t.Errorf("%+v", first)
			}
			defer func(after uint64) {
				late, err := s.Wait(soon(t), dir, after)
				if !errors.Is(err, pooling.ErrIndexCleared) && (err != nil || late != first) {
					t.Errorf("late: %+v, %v", late, err)
				}
			}(e.Index - 1)
		}
	}
	// what is known is told even so
	last := must[pooling.Event](t)(s.Wait(soon(t), dir, e.Index-1))
	if last.Entry.Value != fmt.Sprint(maxHistory+10) {
		t.Errorf("%+v", last)
	}
}

// context: a call ends with what ended its context.
func (c *conformance) context(t *testing.T, dir string) {
	s, why := c.store, errors.New("asked to stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	want(t, "create", s.Create(ctx, dir+"/a", "1", 0), nil)
	e := must[pooling.Entry](t)(s.Get(ctx, dir+"/a"))
	waited := make(chan error)
	go func() {
		_, err := s.Wait(ctx, dir, e.Index)
		waited <- err
	}()
	cancel(why)
	if err := <-waited; !errors.Is(err, why) {
		t.Errorf("wait: %v", err)
	}
	for _, op := range []Op{Get, List, Create, Swap, Delete, DeleteValue, Refresh} {
		if result, _ := apply(ctx, s, op, dir, "/b", "1", 1, time.Hour); !strings.HasSuffix(result, why.Error()) {
			t.Errorf("%s: %s", op, result)
		}
	}
}

// race: of several calls of which one may succeed, one does.
func (c *conformance) race(t *testing.T, dir string) {
	ctx, s, key := t.Context(), c.store, dir+"/a"
	const clients, rounds = 4, 10
	each := func(f func() error) (succeeded int64) {
		var n atomic.Int64
		var all sync.WaitGroup
		for range clients {
			all.Go(func() {
				err := f()
				if err == nil {
					n.Add(1)
				} else if !errors.Is(err, pooling.ErrConflict) && !errors.Is(err, pooling.ErrNotFound) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		return n.Load()
	}
	for range rounds {
		if n := each(func() error { return s.Create(ctx, key, "1", 0) }); n != 1 {
			t.Fatalf("%d created it", n)
		}
		e := must[pooling.Entry](t)(s.Get(ctx, key))
		if n := each(func() error { _, err := s.Swap(ctx, key, "2", e.Index); return err }); n != 1 {
			t.Fatalf("%d swapped it", n)
		}
		if n := each(func() error { return s.DeleteValue(ctx, key, "2") }); n != 1 {
			t.Fatalf("%d deleted it", n)
		}
	}
}

// random: the same calls of the store and of a Memory have the same results, and Wait tells of the same changes. Indexes are compared by
// the calls that returned them.
func (c *conformance) random(t *testing.T, dir string) {
	ctx := t.Context()
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		dir := fmt.Sprint(dir, "/", round)
		stores := []pooling.Store{&Memory{}, c.store}
		seen := [2][]uint64{{1 << 40}, {1 << 40}} // indexes that calls have returned, and one that none has
		compare := func(what string, results [2]string, indexes [2]uint64) {
			if results[0] != results[1] {
				rt.Fatalf("%s: got %s, want %s", what, results[1], results[0])
			}
			for i := range indexes {
				if indexes[0] != 0 {
					seen[i] = append(seen[i], indexes[i])
				}
			}
		}
		key := rapid.SampledFrom([]string{"/a", "/b", "/c/d", "/c/e"})
		value := rapid.SampledFrom([]string{"", "1", "2", " "})
		var began [2]uint64
		for i, s := range stores {
			want(t, "create", s.Create(ctx, dir+"/first", "1", 0), nil)
			l := must[pooling.Listing](t)(s.List(ctx, dir))
			began[i] = l.Index
		}
		for range rapid.IntRange(1, 15).Draw(rt, "calls") {
			op := rapid.SampledFrom([]Op{Get, List, Create, Create, Swap, Swap, Delete, DeleteValue, Refresh}).Draw(rt, "op")
			k, v := key.Draw(rt, "key"), value.Draw(rt, "value")
			nth := rapid.IntRange(0, len(seen[0])-1).Draw(rt, "index")
			ttl := rapid.SampledFrom([]time.Duration{0, time.Hour}).Draw(rt, "ttl")
			if op == Refresh {
				ttl = time.Hour
			}
			var results [2]string
			var indexes [2]uint64
			for i, s := range stores {
				results[i], indexes[i] = apply(ctx, s, op, dir, k, v, seen[i][nth], ttl)
			}
			compare(fmt.Sprintf("%s %s %q", op, k, v), results, indexes)
		}
		var told [2][]string
		for i, s := range stores {
			want(t, "create", s.Create(ctx, dir+"/last", "1", 0), nil)
			for after := began[i]; len(told[i]) == 0 || !strings.HasPrefix(told[i][len(told[i])-1], "/last"); {
				e, err := s.Wait(ctx, dir, after)
				if err != nil {
					rt.Fatal(err)
				}
				after = e.Entry.Index
				told[i] = append(told[i], fmt.Sprintf("%s %q %t", strings.TrimPrefix(e.Entry.Key, dir), e.Entry.Value, e.Deleted))
			}
		}
		if diff := cmp.Diff(told[0], told[1]); diff != "" {
			rt.Fatalf("told (-memory +store):\n%s", diff)
		}
	})
}

// apply makes a call, and returns what came of it as text, and the index that it told, if one.
func apply(ctx context.Context, s pooling.Store, op Op, dir, key, value string, at uint64, ttl time.Duration) (result string,
	index uint64) {
	var err error
	text := ""
	switch op {
	case Get:
		var e pooling.Entry
		e, err = s.Get(ctx, dir+key)
		text, index = fmt.Sprintf("%q %t", e.Value, e.TTL > 0), e.Index
	case List:
		var l pooling.Listing
		l, err = s.List(ctx, dir)
		for _, e := range l.Entries {
			text += fmt.Sprintf("%s %q %t, ", strings.TrimPrefix(e.Key, dir), e.Value, e.TTL > 0)
		}
	case Create:
		err = s.Create(ctx, dir+key, value, ttl)
	case Swap:
		index, err = s.Swap(ctx, dir+key, value, at)
	case Delete:
		err = s.Delete(ctx, dir+key, at)
	case DeleteValue:
		err = s.DeleteValue(ctx, dir+key, value)
	case Refresh:
		err = s.Refresh(ctx, dir+key, value, ttl)
	case Wait: // waits
	}
	for _, kind := range []error{pooling.ErrNotFound, pooling.ErrConflict, pooling.ErrMalformed} {
		if errors.Is(err, kind) {
			err = kind // whatever else the error says
		}
	}
	return fmt.Sprint(text, " ", err), index
}
