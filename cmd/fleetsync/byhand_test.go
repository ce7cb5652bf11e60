package main

import (
	"os"
	"strings"
	"testing"
)

// One service of a proxy was out before the run that died, and stays out when the proxy is put back by
// hand; after that nothing keeps the next run from beginning. Seen to fail with every object set to yes,
// and with receipts that stay.
func TestRepoolOfWhatWasPartlyOut(t *testing.T) {
	t.Parallel()
	w := up(t, small())
	for key, value := range w.before {
		if strings.HasSuffix(key, "/nginx/"+proxies[0]) {
			if err := w.Pools.Store.Put(key, strings.Replace(value, `"yes"`, `"no"`, 1)); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.before = w.objects()
	p, release := w.startHeld(t, false)
	p.signal(t, os.Kill)
	p.wait(t)
	release()
	w.wantNoTransfer(t)
	w.repool(t, proxies...)
	w.sync(t, exitDone, "sync").wantSynced(w.everybody(t)...)
	w.wantPools(t)
}
