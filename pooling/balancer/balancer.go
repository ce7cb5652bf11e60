package balancer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
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
	Client  *http.Client      // nil: one that follows no redirects and uses no proxy
}

// The most that is read of a page. A line of a pool's takes about 60 bytes.
const maxPage = 4 << 20

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
	client, done := g.client()
	defer done()
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
	client, done := g.client()
	defer done()
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

// pages returns the pages of the pools of services at every balancer.
func (g Group) pages(services []string) (pages []page, err error) {
	for _, base := range g.URLs {
		u, err := url.Parse(base)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return nil, errors.New("a balancer's URL is not a base URL such as http://lvs1003:9090") // it may hold a password
		}
		for _, service := range services {
			pool, ok := g.Pools[service]
			switch {
			case !ok:
				return nil, fmt.Errorf("balancers: no pool is named for service %s: name PyBal's, such as apaches_80, or the empty one if PyBal does not serve it", pooling.Clean(service))
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

// client returns what to ask with, and what to call after the last request.
func (g Group) client() (client *http.Client, done func()) {
	if g.Client != nil {
		return g.Client, func() {}
	}
	t := &http.Transport{MaxIdleConnsPerHost: 4}
	return &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, t.CloseIdleConnections
}

// page is the page of a pool at a balancer.
type page struct {
	base *url.URL
	pool string
}

func (p page) String() string { return pooling.Clean(p.base.String()) + " " + pooling.Clean(p.pool) }

// await asks until what it is told confirms, and returns what it was told last if that does not happen before ctx ends.
func (p page) await(ctx context.Context, client *http.Client, host string, pooled bool) (said string) {
	const most = time.Second
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, most) {
		now, confirmed := p.ask(ctx, client, host, pooled)
		if confirmed {
			return ""
		}
		if said == "" || ctx.Err() == nil { // what was said before time was up is better than that it is
			said = now
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return said
		}
	}
}

// ask asks once.
func (p page) ask(ctx context.Context, client *http.Client, host string, pooled bool) (said string, confirmed bool) {
	code, body, err := p.get(ctx, client, host)
	switch {
	case err != nil:
		return err.Error(), false
	case code == http.StatusNotFound && pooled:
		return "does not know it", false
	case code == http.StatusNotFound:
		if _, err := p.hosts(ctx, client); err != nil {
			return "does not know it, nor the pool: " + err.Error(), false
		}
		return "", true
	case code != http.StatusOK:
		return fmt.Sprintf("HTTP %d", code), false
	}
	said = strings.TrimSuffix(body, "\n")
	s, err := parseStatus(said)
	if err != nil {
		return err.Error(), false
	}
	if pooled {
		return said, s.enabled && (s.pooled || !s.up)
	}
	return said, !s.pooled
}

// hosts reads the page of the whole pool.
func (p page) hosts(ctx context.Context, client *http.Client) (map[string]status, error) {
	code, body, err := p.get(ctx, client, "")
	switch {
	case err != nil:
		return nil, err
	case code != http.StatusOK:
		return nil, fmt.Errorf("HTTP %d", code)
	}
	return parsePool(body)
}

// get reads the page of a host, or that of the pool if host is empty.
func (p page) get(ctx context.Context, client *http.Client, host string) (code int, body string, err error) {
	const patience = 2 * time.Second // a request that hangs leaves time for another
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	path := "/pools/" + url.PathEscape(p.pool)
	if host != "" {
		path += "/" + url.PathEscape(host)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(p.base.String(), "/")+path, nil)
	if err != nil {
		return 0, "", err
	}
	resp, err := client.Do(req)
	if err == nil {
		defer func() { _ = resp.Body.Close() }()
		var text []byte
		text, err = io.ReadAll(io.LimitReader(resp.Body, maxPage+1))
		if err == nil && len(text) > maxPage {
			err = fmt.Errorf("a page of more than %d MB", maxPage>>20)
		}
		code, body = resp.StatusCode, string(text)
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		err = errors.New("no answer")
	case err != nil:
		var inner *url.Error // which repeats the URL
		if errors.As(err, &inner) {
			err = inner.Err
		}
		err = errors.New(pooling.Clean(err.Error()))
	}
	return code, body, err
}

// status is what PyBal says of a host in a pool.
type status struct {
	enabled bool // the pool object says so
	up      bool // all monitors say so
	pooled  bool // it is sent traffic
}

// parseStatus reads what PyBal's Server.textStatus writes (server.py).
func parseStatus(text string) (s status, err error) {
	parts := strings.Split(text, "/")
	ok := len(parts) == 3
	word := func(i int, yes string, no ...string) (is bool) {
		is = ok && parts[i] == yes
		ok = ok && (is || slices.Contains(no, parts[i]))
		return is
	}
	s = status{
		enabled: word(0, "enabled", "disabled"),
		up:      word(1, "up", "partially up", "down"), // "partially": some monitors say so; PyBal depools it
		pooled:  word(2, "pooled", "not pooled"),
	}
	if !ok {
		return status{}, fmt.Errorf("%q is not PyBal's", pooling.Clean(text))
	}
	return s, nil
}

// parsePool reads PyBal's page of a pool (instrumentation.py): a line of "HOST:\tSTATUS" each.
func parsePool(text string) (map[string]status, error) {
	hosts := map[string]status{}
	for line := range strings.Lines(text) {
		host, rest, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ":\t")
		if !ok || host == "" {
			return nil, fmt.Errorf("%q is not PyBal's", pooling.Clean(strings.TrimSuffix(line, "\n")))
		}
		s, err := parseStatus(rest)
		if err != nil {
			return nil, err
		}
		hosts[host] = s
	}
	return hosts, nil
}
