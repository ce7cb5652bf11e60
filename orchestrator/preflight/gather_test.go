package preflight_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/fleetsync/fleetsync/orchestrator/preflight"
	"github.com/fleetsync/fleetsync/orchestrator/tree"
	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/transport/rsync"
)

// TestGatherAsksOnce: whatever a run must know is asked once: the receipts, the pools, each journal, and the listing of the origin.
//
// Seen to fail with: a scan for --behind before the guard's; a History that reads for what is known what it has read for the last good
// run; receipts that are read for other runs and for quarantines; pools that are read for quarantines and for proxies; a Gather that does
// not remember what is being asked.
func TestGatherAsksOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := someTree(20)
	w.ran(t, "r1", old, nil)
	w.ran(t, "r2", w.trees["m1"], nil, "h2")
	w.ran(t, "r3", edited(old), nil, "c1", "c2") // halted: nobody knows what they have
	w.ran(t, "r4", w.trees["m1"], nil, "h3")
	w.receipts = []pooling.Receipt{{
		Run: "r0", Host: "h1", Purpose: pooling.Quarantine, Objects: []pooling.Object{{Key: "a/web/www/h1", Value: `{"pooled":"yes"}`}},
	}}
	w.objects["a/web/www/h1"] = `{"pooled":"no","weight":1,"fleetsync":"r0"}`
	r := request()
	r.Behind = true
	v, err := w.judge(t, r)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := names(v.Plan.Hosts), []string{"m1", "h1", "h3"}; !slices.Equal(got, want) {
		t.Errorf("the plan is about %q, want %q: who is in quarantine, and who failed", got, want)
	}
	if often := w.often(); len(often) > 0 {
		t.Errorf("asked more than once: %q", often)
	}
	for _, what := range []string{
		"receipts", "inventory", "pools", "runs", "journal r4", "list m1", "record m1", "probe h1", "probe h3", "free h1", "dry run h1",
	} {
		if w.wasAsked(what) != 1 {
			t.Errorf("%s was asked %d times", what, w.wasAsked(what))
		}
	}
	for _, what := range []string{"journal r1", "list m2", "hash", "probe h2", "probe m1"} {
		if w.wasAsked(what) != 0 {
			t.Errorf("%s was asked %d times, and nobody needs it", what, w.wasAsked(what))
		}
	}
}

// TestGatherStopsAsking: once a run is refused nothing more is asked. Seen to fail with a Judge that asks for the guard's findings
// before the receipts, or for dry runs before it has seen the findings.
func TestGatherStopsAsking(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*world)
		kind   preflight.Kind
		not    []string
	}{
		"another run": {func(w *world) {
			w.receipts = []pooling.Receipt{{Run: "r1", Host: "p1", Purpose: pooling.Serving}}
		}, preflight.Unrestored, []string{"pools", "journal", "list", "probe", "free", "dry run"}},
		"the pools": {func(w *world) {
			w.poolsErr = errNo
		}, preflight.PoolsUnread, []string{"list", "probe", "free", "dry run", "balancers"}},
		"the tree": {func(w *world) {
			w.trees["m1"].Entries = w.trees["m1"].Entries[:5]
		}, preflight.BadTree, []string{"free", "dry run"}},
	} {
		w := newWorld(t)
		c.change(w)
		_, err := w.judge(t, request())
		if refusal, ok := errors.AsType[*preflight.Refusal](err); !ok || refusal.Kind != c.kind {
			t.Errorf("%s: %v, want it refused for %s", name, err, c.kind)
		}
		for _, what := range c.not {
			if w.wasAsked(what) > 0 {
				t.Errorf("%s: asked all the same: %s", name, what)
			}
		}
	}
}

// hanging is a world in which hosts do not answer before they are given up.
type hanging struct {
	*world
	scan bool // it is the origin that hangs, and nobody else
}

func (h hanging) DryRun(ctx context.Context, _, _ string, _ []string, _ int) (rsync.Delta, error) {
	<-ctx.Done()
	return rsync.Delta{}, ctx.Err()
}

func (h hanging) Free(ctx context.Context, _ string) (int64, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

func (h hanging) Record(ctx context.Context, host string) (*tree.Record, error) {
	if !h.scan {
		return h.world.Record(ctx, host)
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestGatherIsGivenUp: when its context ends Gather returns at once, and nobody asks any more. Seen to fail with a Gather that does not
// wait for those whom it has told to give up: the bubble is left with goroutines.
func TestGatherIsGivenUp(t *testing.T) {
	w := newWorld(t)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			synctest.Wait()
			cancel()
		}()
		s := w.sources()
		s.Hosts = hanging{world: w}
		if f, err := preflight.Gather(ctx, s, request()); f != nil || !errors.Is(err, context.Canceled) {
			t.Errorf("%v, %v", f, err)
		}
	})
}

// TestGatherDoesNotWait: a scan that takes long is given up when too many hosts are not there. Seen to fail with questions that are all
// waited for before the next judgement.
func TestGatherDoesNotWait(t *testing.T) {
	w := newWorld(t)
	w.down["h1"], w.down["h2"] = errors.New("no route"), errors.New("no route")
	synctest.Test(t, func(t *testing.T) {
		s := w.sources()
		s.Hosts = hanging{world: w, scan: true}
		f, err := preflight.Gather(t.Context(), s, request())
		if err != nil {
			t.Fatal(err)
		}
		if v, err := preflight.Judge(f, request()); err == nil || v.Plan != nil || len(v.Warnings) != 1 {
			t.Errorf("%+v, %v", v, err)
		}
	})
}

var _ preflight.Hosts = hanging{}
