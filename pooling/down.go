package pooling

import (
	"context"
	"fmt"
	"maps"
	"slices"
)

// Down asks the balancers, by datacenter, which objects of the pools that the hosts are in get no
// traffic although they are "yes": hosts that PyBal's monitors found down. A threshold that is to hold
// for users must count them as out. Pools of datacenters without balancers are not asked about. The
// error is ErrUnconfirmed if a balancer cannot be asked: then nobody knows how many are down.
func (s Snapshot) Down(ctx context.Context, balancers map[string]Balancers, hosts []string) (map[string]bool, error) {
	asked := map[string]bool{}
	for _, host := range hosts {
		for _, o := range s.Hosts[host] {
			asked[o.Pool()] = true
		}
	}
	keys := map[string]bool{}
	for _, pool := range slices.Sorted(maps.Keys(asked)) {
		in := map[string]string{} // host → its key
		var names []string
		for _, o := range s.Pools[pool] {
			if f, err := o.Fields(); err == nil && f.Pooled == PooledYes {
				in[o.Host()] = o.Key
				names = append(names, o.Host())
			}
		}
		if len(names) == 0 {
			continue
		}
		first := s.Pools[pool][0]
		b, ok := balancers[first.Datacenter()]
		if !ok || b.Pools[first.Service()] == "" {
			continue
		}
		down, err := b.Down(ctx, first.Service(), names)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", clean(pool), err)
		}
		for _, host := range down {
			keys[in[host]] = true
		}
	}
	return keys, nil
}
