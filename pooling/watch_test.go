package pooling_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/pooling/storetest"
)

func TestWait(t *testing.T) {
	both(t, func(t *testing.T, a others) {
		c := dialConfig(t, a.store, pooling.Config{Prefix: prefix, Select: pooling.Selection{Services: []string{"apache2"}}})
		a.put(mw1, yes)
		s, err := c.Pools(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		a.put(mw1, no)
		a.put(mw1ssl, no) // not selected
		a.put("eqiad/appserver/apache2/_hidden", no)
		a.put(mw2, yes)
		a.remove(mw2)
		a.put(mw1, inactive)
		after := s.Index
		var got []pooling.Change
		for range 4 {
			change, err := c.Wait(soon(t), after)
			if err != nil {
				t.Fatal(err)
			}
			if change.Object.Index <= after {
				t.Fatalf("%+v after %d", change, after)
			}
			after = change.Object.Index
			change.Object.Index = 0
			got = append(got, change)
		}
		if diff := cmp.Diff([]pooling.Change{
			{Object: pooling.Object{Key: mw1, Value: no}},
			{Object: pooling.Object{Key: mw2, Value: yes}},
			{Object: pooling.Object{Key: mw2}, Deleted: true},
			{Object: pooling.Object{Key: mw1, Value: inactive}},
		}, got); diff != "" {
			t.Error(diff)
		}
		for range 1100 {
			a.set("/other", "1")
		}
		if _, err := c.Wait(soon(t), after); !errors.Is(err, pooling.ErrIndexCleared) {
			t.Errorf("too old: %v", err)
		}
	})
}

// TestWaitLonger: a watch outlasts the timeout of an operation, and sees what happens after.
//
// Seen to fail with: deadline around the watch.
func TestWaitLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &storetest.Memory{}
		put(m, "mw1", yes)
		c := dial(t, m)
		go func() {
			<-time.After(3 * pooling.DefaultTimeout)
			put(m, "mw1", no)
		}()
		change, err := c.Wait(t.Context(), 1)
		if err != nil || change.Object.Value != no {
			t.Errorf("%+v, %v", change, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := c.Wait(ctx, change.Object.Index); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("ended by its caller: %v", err)
		}
	})
}
