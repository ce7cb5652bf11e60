package testfleet

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fleetsync/fleetsync/pooling/poolingtest"
)

// PoolPrefix is below which a fleet's pool objects are, as conftool lays them out.
const PoolPrefix = "/conftool/v1/pools"

// Services are what every host but a master has a pool object for.
var Services = []string{"apache2", "nginx"}

// Object is a pool object: PoolPrefix/DATACENTER/CLUSTER/SERVICE/HOST, and its JSON.
type Object struct{ Key, Value string }

// NewObject returns the object of a host.
func NewObject(datacenter, service, host, value string) Object {
	return Object{Key: strings.Join([]string{PoolPrefix, datacenter, "appserver", service, host}, "/"), Value: value}
}

// Weight returns the weight of the pool objects of the host of an index: not the same for all.
func Weight(i int) int { return 10 + 5*(i%4) }

// CreateObjects creates the objects that do not exist in the etcd v2 at endpoint, and counts those that do.
func CreateObjects(ctx context.Context, endpoint string, objects []Object) (created, kept int, _ error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	isNew := make([]bool, len(objects))
	// Several at once, as each waits for etcd's disk; a failure ends the fleet, so one may cancel the others.
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i, o := range objects {
		g.Go(func() (err error) {
			if isNew[i], err = poolingtest.Create(ctx, endpoint, o.Key, o.Value); err != nil {
				return fmt.Errorf("cannot create the pool objects: %w", err)
			}
			return nil
		})
	}
	err := g.Wait()
	for _, is := range isNew {
		if is {
			created++
		}
	}
	return created, len(objects) - created, err
}

// ReadObjects returns the raw values of all pool objects in the etcd v2 at endpoint, by key.
func ReadObjects(ctx context.Context, endpoint string) (map[string]string, error) {
	at := endpoint + "/v2/keys" + PoolPrefix + "?recursive=true&quorum=true"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
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
