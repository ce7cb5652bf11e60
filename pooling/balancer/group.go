package balancer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fleetsync/fleetsync/pooling"
)

// ErrUnconfirmed says that a balancer does not confirm what the pools say.
var ErrUnconfirmed = errors.New("not confirmed by the load balancers")

// Group is the load balancers of a datacenter, by PyBal's status pages. What a page says is what PyBal has made of the
// pool objects, which it watches on its own. The zero Group has none: it confirms anything. Safe for concurrent use.
type Group struct {
	URLs    []string          // base URLs of the status pages: "http://lvs1003:9090"
	Pools   map[string]string // PyBal's name of a pool by service: "apaches_80" of "apache2"; "" if PyBal does not serve it
	Timeout time.Duration     // of one call; 0 is pooling.DefaultTimeout
}

// Confirm waits until every balancer says of each service of a host that it is out, or, if pooled, that it is in.
//
// Out is "not pooled", or 404, which PyBal answers for a host that is inactive or unknown; of a pool that it does
// not know it is no confirmation. In is "enabled", and pooled unless PyBal's monitors do not find the host up: a
// "down" host is enabled, what becomes of it is the monitors' business, and no repool could
// change it. "enabled/up/not pooled" is a host that PyBal is about to take in (its server.py, P1: up implies pooled, unless
// disabled or not ready), and 404 is not in.
//
// The error is ErrUnconfirmed if that is not so in time, and names who said what instead. It says, before anything is
// asked, that a service is missing in Pools.
func (g Group) Confirm(ctx context.Context, host string, services []string, pooled bool) error {
	if !pooling.Plain(host) {
		return fmt.Errorf("host %q: %w", pooling.Clean(host), pooling.ErrMalformed)
	}
	pages, err := g.pages(services)
	if err != nil {
		return err
	}
	client := newClient()
	defer client.CloseIdleConnections()
	timeout := cmp.Or(g.Timeout, pooling.DefaultTimeout)
	parent := ctx
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	said := make([]string, len(pages)) // empty: confirmed
	var all sync.WaitGroup
	for i, p := range pages {
		all.Go(func() { said[i] = p.await(ctx, client, host, pooled) })
	}
	all.Wait()
	var missing []string
	for i, p := range pages {
		if said[i] != "" {
			missing = append(missing, fmt.Sprintf("%s: %s", p, said[i]))
		}
	}
	if missing == nil {
		return nil
	}
	if parent.Err() != nil {
		return context.Cause(parent)
	}
	const most = 10
	if n := len(missing); n > most {
		missing = append(missing[:most], fmt.Sprintf("and %d more", n-most))
	}
	want := "out"
	if pooled {
		want = "in"
	}
	return fmt.Errorf("%w within %s that %s is %s: %s", ErrUnconfirmed, timeout, pooling.Clean(host), want, strings.Join(missing, "; "))
}

// Down returns those of hosts, sorted, that at least one balancer does not send the service's traffic to as it should: that it
// does not say "enabled/up/pooled" of, or does not know. (A host that is down may still be pooled, where PyBal's own
// threshold keeps it in.) The error is ErrUnconfirmed if not every balancer could be asked: then how
// many are down is not known.
func (g Group) Down(ctx context.Context, service string, hosts []string) ([]string, error) {
	pages, err := g.pages([]string{service})
	if err != nil {
		return nil, err
	}
	client := newClient()
	defer client.CloseIdleConnections()
	parent := ctx
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(g.Timeout, pooling.DefaultTimeout))
	defer cancel()
	read := make([]map[string]status, len(pages))
	errs := make([]error, len(pages))
	var all sync.WaitGroup
	for i, p := range pages {
		all.Go(func() {
			if read[i], errs[i] = p.hosts(ctx, client); errs[i] != nil {
				errs[i] = fmt.Errorf("%w: %s: %w", ErrUnconfirmed, p, errs[i])
			}
		})
	}
	all.Wait()
	if parent.Err() != nil {
		return nil, context.Cause(parent)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	var down []string
	for _, host := range hosts {
		if slices.ContainsFunc(read, func(page map[string]status) bool {
			s := page[host]
			return !s.enabled || !s.up || !s.pooled
		}) {
			down = append(down, host)
		}
	}
	slices.Sort(down)
	return slices.Compact(down), nil
}

// Groups are the load balancers of datacenters, by name. A datacenter that is missing has none. Nil is none anywhere.
type Groups map[string]Group

// Down is what pooling.Snapshot.Down asks: Group.Down in a datacenter, or nobody where there are no balancers or PyBal does not
// serve the service.
func (gs Groups) Down(ctx context.Context, datacenter, service string, hosts []string) ([]string, error) {
	g, ok := gs[datacenter]
	if !ok || g.Pools[service] == "" {
		return nil, nil
	}
	return g.Down(ctx, service, hosts)
}

// pages returns the pages of the pools of services at every balancer.
func (g Group) pages(services []string) (pages []page, err error) {
	for _, text := range g.URLs {
		u, err := url.Parse(text)
		base := err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil && u.RawQuery == "" && u.Fragment == ""
		if !base {
			return nil, errors.New("a balancer's URL is not a base URL such as http://lvs1003:9090") // it may hold a password
		}
		for _, service := range services {
			pool, ok := g.Pools[service]
			switch {
			case !ok:
				return nil, fmt.Errorf("balancers: no pool is named for service %s: name PyBal's, such as apaches_80, "+
					"or the empty one if PyBal does not serve it", pooling.Clean(service))
			case pool == "":
				continue
			case !pooling.Plain(pool):
				return nil, fmt.Errorf("balancers: pool %q: %w", pooling.Clean(pool), pooling.ErrMalformed)
			}
			p := page{base: u, pool: pool}
			if !slices.Contains(pages, p) {
				pages = append(pages, p)
			}
		}
	}
	return pages, nil
}

// newClient returns what asks: it follows no redirects and uses no proxy. The caller closes its idle connections.
func newClient() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: 4},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
