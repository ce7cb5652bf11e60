package balancer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/fleetsync/fleetsync/pooling"
)

// The most that is read of a page. A line of a pool's takes about 60 bytes.
const maxPage = 4 << 20

// page is the page of a pool at a balancer.
type page struct {
	base *url.URL
	pool string
}

func (p page) String() string { return pooling.Clean(p.base.String()) + " " + pooling.Clean(p.pool) }

// await asks until the page confirms, and returns what it said last if that does not happen before ctx ends.
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
	const limit = 2 * time.Second // a request that hangs leaves time for another
	ctx, cancel := context.WithTimeout(ctx, limit)
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
