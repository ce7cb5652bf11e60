//go:build linux

package lab

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/sync/errgroup"
)

const (
	poolPrefix = "/conftool/v1/pools"
	cluster    = "appserver"
	etcdPort   = "2379"
)

var services = []string{"apache2", "nginx"}

// createPools creates the pool objects of all hosts but masters, one for each service, as conftool lays
// them out: POOLS/DATACENTER/CLUSTER/SERVICE/HOST, with weight and pooled. What is there stays.
func createPools(ctx context.Context, endpoint string, hosts []Host) error {
	// Several at once, as each waits for etcd's disk; a failure ends the lab, so one may cancel the others.
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i, h := range hosts {
		if h.Role == RoleMaster || h.Role == RoleConf {
			continue
		}
		for _, service := range services {
			key := strings.Join([]string{poolPrefix, h.Datacenter, cluster, service, h.Name}, "/")
			value := fmt.Sprintf(`{"pooled": "yes", "weight": %d}`, 10+5*(i%4))
			g.Go(func() error {
				if err := create(ctx, endpoint+"/v2/keys"+key, value); err != nil {
					return fmt.Errorf("cannot create the pool object %s: %w", key, err)
				}
				return nil
			})
		}
	}
	return g.Wait()
}

// create creates a key unless there is one: etcd's v2 API, "prevExist".
func create(ctx context.Context, at, value string) error {
	form := url.Values{"value": {value}, "prevExist": {"false"}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, at, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	reply, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	_, _ = io.Copy(io.Discard, reply.Body) // so that the connection is used again
	if reply.StatusCode != http.StatusCreated && reply.StatusCode != http.StatusPreconditionFailed {
		return fmt.Errorf("HTTP %s", reply.Status)
	}
	return nil
}
