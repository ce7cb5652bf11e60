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
	most := t.allowed(pool, n.total)
	switch {
	case n.out+more <= most:
		return nil
	case more == 0: // what is to go out is down already
		return fmt.Errorf("%w: %s: %d of %d are out already and %d may be", ErrCapacity, Clean(pool), n.out, n.total, most)
	default:
		return fmt.Errorf("%w: %s: %d of %d are out already and %d may be, so that %d more cannot",
			ErrCapacity, Clean(pool), n.out, n.total, most, more)
	}
}

// costs returns how many more are out once o, which is "yes", has been taken out: none if it is down and counted already.
func (t Threshold) costs(o Object) int {
	if t.Down[o.Key] {
		return 0
	}
	return 1
}

// Fit returns as many of hosts, in their order, as may be out at the same time, counting what is out
// already; and of each other host why not. A host all of whose objects are out already fits without cost. One that is
// down takes nothing more out of a pool, but fits only where the pool is not below its threshold as it is.
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
		objects, err := s.pooled(host)
		for _, o := range objects {
			if pool := o.Pool(); err == nil {
				err = t.check(pool, t.count(s.Pools[pool]), taken[pool]+t.costs(o))
			}
		}
		if err != nil {
			left[host] = err
			continue
		}
		for _, o := range objects {
			taken[o.Pool()] += t.costs(o)
		}
		fit = append(fit, host)
	}
	return fit, left
}

// pooled returns the objects of a host that would have to be taken out.
func (s Snapshot) pooled(host string) (pooled []Object, err error) {
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
			pooled = append(pooled, o)
		}
	}
	return pooled, nil
}
