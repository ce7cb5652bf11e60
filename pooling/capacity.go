package pooling

import (
	"fmt"
	"strings"
)

// Threshold is the share of a pool that must stay in, in basis points (hundredths of a percent). The zero
// Threshold lets a whole pool out.
type Threshold struct {
	Default  int
	Services map[string]int  // by service, over Default
	Down     map[string]bool // keys of objects that count as out although they are "yes": see Snapshot.Down
}

// tally counts a pool.
type tally struct {
	total int // objects that are not inactive
	out   int // of them, not "yes" or down
}

// count counts objects of one pool. One that cannot be decoded counts as out: whether it gets traffic is
// unknown, and unknown is not in. One of weight 0 counts as in, because PyBal leaves such a host in.
func (t Threshold) count(objects []Object) (n tally) {
	for _, o := range objects {
		f, err := o.Fields()
		if err != nil {
			n.total++
			n.out++
			continue
		}
		switch f.Pooled {
		case PooledYes:
			n.total++
			if t.Down[o.Key] {
				n.out++
			}
		case PooledNo:
			n.total++
			n.out++
		case PooledInactive:
		}
	}
	return n
}

// allowed returns how many of a pool may be out: floor(total × (1 − threshold)), in integers.
func (t Threshold) allowed(pool string, total int) int {
	share, ok := t.Services[pool[strings.LastIndexByte(pool, '/')+1:]]
	if !ok {
		share = t.Default
	}
	return int(int64(total) * int64(10_000-min(max(share, 0), 10_000)) / 10_000)
}

// check returns ErrCapacity if a pool of n with that many more out would be below its threshold.
func (t Threshold) check(pool string, n tally, more int) error {
	if most := t.allowed(pool, n.total); n.out+more > most {
		return fmt.Errorf("%w: %s: %d of %d are out already and %d may be, so that %d more cannot",
			ErrCapacity, clean(pool), n.out, n.total, most, more)
	}
	return nil
}

// Fit returns as many of hosts, in their order, as may be out at the same time, counting what is out
// already; and of each other host why not. A host all of whose objects are out already fits without cost.
// A host without objects is left with ErrNoObjects, one with an object that cannot be decoded with
// ErrMalformed, any other with ErrCapacity.
func (s Snapshot) Fit(hosts []string, t Threshold) (fit []string, left map[string]error) {
	left = map[string]error{}
	seen := map[string]bool{}
	taken := map[string]int{} // by pool
	for _, host := range hosts {
		if seen[host] {
			continue
		}
		seen[host] = true
		pools, err := s.cost(host)
		for _, pool := range pools {
			if err == nil {
				err = t.check(pool, t.count(s.Pools[pool]), taken[pool]+1)
			}
		}
		if err != nil {
			left[host] = err
			continue
		}
		for _, pool := range pools {
			taken[pool]++
		}
		fit = append(fit, host)
	}
	return fit, left
}

// cost returns the pools that a host would have to be taken out of.
func (s Snapshot) cost(host string) (pools []string, err error) {
	objects := s.Hosts[host]
	if len(objects) == 0 {
		return nil, ErrNoObjects
	}
	for _, o := range objects {
		f, err := o.Fields()
		if err != nil {
			return nil, err
		}
		if f.Pooled == PooledYes {
			pools = append(pools, o.Pool())
		}
	}
	return pools, nil
}
