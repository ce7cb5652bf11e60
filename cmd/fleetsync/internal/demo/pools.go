package demo

import (
	"context"
	"fmt"

	"github.com/fleetsync/fleetsync/cmd/internal/testfleet"
)

// objects returns the pool objects of a fleet: of every host but the masters, one for each service.
func objects(hosts []host) []testfleet.Object {
	var objects []testfleet.Object
	out, odd := spare(hosts), ""
	if proxies := names(hosts, testfleet.RoleProxy); len(proxies) > 0 {
		odd = proxies[0]
	}
	for i, h := range hosts {
		if h.role == testfleet.RoleMaster {
			continue
		}
		for s, service := range testfleet.Services {
			pooled, weight := "yes", testfleet.Weight(i)
			if h.name == out {
				pooled = "no"
			}
			value := fmt.Sprintf(`{"pooled": %q, "weight": %d}`, pooled, weight)
			if h.name == odd && s == 0 {
				// Another tool's fields and another tool's way of writing, which must survive.
				value = fmt.Sprintf(`{"weight":%d, "slots": [1.50, null], "pooled":%q,  "owner": {"name": "Jürgen"}}`, weight, pooled)
			}
			objects = append(objects, testfleet.NewObject(h.datacenter, service, h.name, value))
		}
	}
	return objects
}

// spare returns an ordinary host whose absence from its pools leaves room for all proxies of its
// datacenter; empty if there is none.
func spare(hosts []host) string {
	members, proxies := map[string]int{}, map[string]int{}
	for _, h := range hosts {
		if h.role != testfleet.RoleMaster {
			members[h.datacenter]++
		}
		if h.role == testfleet.RoleProxy {
			proxies[h.datacenter]++
		}
	}
	for _, h := range hosts {
		if h.role == testfleet.RoleHost && proxies[h.datacenter]+1 <= members[h.datacenter]*(100-testfleet.Threshold)/100 {
			return h.name
		}
	}
	return ""
}

// Objects returns the raw values of all objects in the pool API, by key.
func (f *Fleet) Objects(ctx context.Context) (map[string]string, error) {
	return testfleet.ReadObjects(ctx, f.PoolAPI)
}
