package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/fleetsync/fleetsync/pooling/poolingtest"
)

const (
	prefix    = "/conftool/v1/pools"
	cluster   = "appserver"
	threshold = 50 // percent
)

var services = []string{"apache2", "nginx"}

// object is a pool object to create.
type object struct{ key, value string }

// objects returns the pool objects of a fleet: of every host but the masters, one for each service.
func objects(hosts []host) []object {
	var objects []object
	out, odd := spare(hosts), ""
	if proxies := names(hosts, roleProxy); len(proxies) > 0 {
		odd = proxies[0]
	}
	for i, h := range hosts {
		if h.role == roleMaster {
			continue
		}
		for s, service := range services {
			pooled, weight := "yes", 10+5*(i%4)
			if h.name == out {
				pooled = "no"
			}
			value := fmt.Sprintf(`{"pooled": %q, "weight": %d}`, pooled, weight)
			if h.name == odd && s == 0 {
				// Another tool's fields and another tool's way of writing, which must survive.
				value = fmt.Sprintf(`{"weight":%d, "slots": [1.50, null], "pooled":%q,  "owner": {"name": "Jürgen"}}`, weight, pooled)
			}
			key := fmt.Sprintf("%s/%s/%s/%s/%s", prefix, h.datacenter, cluster, service, h.name)
			objects = append(objects, object{key, value})
		}
	}
	return objects
}

// spare returns an ordinary host whose absence from its pools leaves room for all proxies of its
// datacenter; empty if there is none.
func spare(hosts []host) string {
	members, proxies := map[string]int{}, map[string]int{}
	for _, h := range hosts {
		if h.role != roleMaster {
			members[h.datacenter]++
		}
		if h.role == roleProxy {
			proxies[h.datacenter]++
		}
	}
	for _, h := range hosts {
		if h.role == roleHost && proxies[h.datacenter]+1 <= members[h.datacenter]*(100-threshold)/100 {
			return h.name
		}
	}
	return ""
}

// createObjects creates the objects that do not exist, and never changes one that does.
func createObjects(ctx context.Context, api string, hosts []host) (created, kept int, _ error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for _, o := range objects(hosts) {
		isNew, err := poolingtest.Create(ctx, api, o.key, o.value)
		switch {
		case err != nil:
			return created, kept, fmt.Errorf("cannot create the pool objects: %w", err)
		case isNew:
			created++
		default:
			kept++
		}
	}
	return created, kept, nil
}

// Objects returns the raw values of all objects in the pool API, by key.
func (f *Fleet) Objects(ctx context.Context) (map[string]string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.PoolAPI+"/v2/keys"+prefix+"?recursive=true&quorum=true", nil)
	if err != nil {
		return nil, fmt.Errorf("pool API: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("pool API: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	type node struct {
		Key, Value string
		Nodes      []node
	}
	var reply struct{ Node node }
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("pool API: cannot read the pool objects: HTTP %s", resp.Status)
	}
	if err := json.NewDecoder(resp.Body).Decode(&reply); err != nil {
		return nil, fmt.Errorf("pool API: cannot read the pool objects: %w", err)
	}
	values := map[string]string{}
	for todo := []node{reply.Node}; len(todo) > 0; todo = todo[1:] {
		if n := todo[0]; len(n.Nodes) > 0 {
			todo = append(todo, n.Nodes...)
		} else {
			values[n.Key] = n.Value
		}
	}
	return values, nil
}
