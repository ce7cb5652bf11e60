package pooling

import (
	"context"
	"fmt"
	"maps"
	"slices"
)

// AskDown returns those of hosts that the load balancers of a datacenter do not send a service's traffic to although the pools
// say "yes"; none where there are no load balancers to ask. An error means that it is not known.
type AskDown func(ctx context.Context, datacenter, service string, hosts []string) ([]string, error)

// Down asks for the keys of those objects, of the pools that the hosts are in, that get no traffic although they are
// "yes": the monitors of the load balancers found their hosts down. A threshold that is to hold for users must count them as out.
// The error is that of ask, with the pool's name.
func (s Snapshot) Down(ctx context.Context, ask AskDown, hosts []string) (map[string]bool, error) {
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
		down, err := ask(ctx, first.Datacenter(), first.Service(), names)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", Clean(pool), err)
		}
		for _, host := range down {
			keys[in[host]] = true
		}
	}
	return keys, nil
}
