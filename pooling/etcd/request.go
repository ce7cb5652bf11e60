package etcd

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/fleetsync/fleetsync/pooling"
)

// call makes one request until an endpoint gives a usable answer, which a refusal is too. It may be made more than once, so only
// a read or what has a condition may be passed.
func (s *Store) call(ctx context.Context, method, path string, values url.Values) (answer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.timeout, fmt.Errorf("%w within %s", pooling.ErrUnavailable, s.timeout))
	defer cancel()
	var body []byte
	query := ""
	if method == http.MethodPut {
		body = []byte(values.Encode())
	} else { // of a DELETE etcd reads no body (net/http's ParseForm)
		query = "?" + values.Encode()
	}
	at := int(s.last.Load())
	location := func() string { return s.location(at, path) + query }
	req, err := retryablehttp.NewRequestWithContext(ctx, method, location(), body)
	if err != nil {
		return answer{}, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	s.authorize(req.Request)

	var good answer
	var refusal error // what the API said, and would say again
	var trouble error // why the last attempt was of no use
	req.SetResponseHandler(func(resp *http.Response) error {
		a, refused, err := readAnswer(resp)
		if err == nil && refused == nil && a.Node.Key != path {
			err = fmt.Errorf("asked for %s, got %s", pooling.Clean(path), pooling.Clean(a.Node.Key))
		}
		good, refusal = a, refused
		return err
	})
	client := retryablehttp.Client{
		HTTPClient:   s.httpClient(s.share()),
		RetryMax:     max(2, 2*len(s.endpoints)-1),
		RetryWaitMin: 20 * time.Millisecond,
		RetryWaitMax: time.Second,
		// Not DefaultBackoff, which sleeps as long as a Retry-After header says.
		Backoff: func(least, most time.Duration, attempt int, _ *http.Response) time.Duration {
			return min(least<<attempt, most)
		},
		CheckRetry: func(ctx context.Context, _ *http.Response, err error) (bool, error) {
			if ctx.Err() != nil {
				return false, ctx.Err()
			}
			if err != nil {
				trouble = s.trouble(at, err)
			}
			return err != nil, nil
		},
		PrepareRetry: func(r *http.Request) error {
			at = (at + 1) % len(s.endpoints)
			u, err := url.Parse(location())
			r.URL, r.Host = u, ""
			return err
		},
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}
	resp, err := client.Do(req)
	if resp != nil {
		_ = resp.Body.Close() // it has been read, or is of no use
	}
	if err == nil {
		s.last.Store(int32(at))
		return good, refusal
	}
	switch cause := context.Cause(ctx); {
	case cause != nil && trouble != nil && errors.Is(cause, pooling.ErrUnavailable):
		return answer{}, fmt.Errorf("%w: %w", cause, trouble)
	case cause != nil:
		return answer{}, cause
	case trouble != nil:
		return answer{}, fmt.Errorf("%w: %w", pooling.ErrUnavailable, trouble)
	}
	return answer{}, fmt.Errorf("%w: %w", pooling.ErrUnavailable, err)
}

// location returns the URL of a path at an endpoint.
func (s *Store) location(at int, path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return s.endpoints[at].String() + "/v2/keys" + strings.Join(parts, "/")
}

func (s *Store) authorize(r *http.Request) {
	if s.user != "" {
		r.SetBasicAuth(s.user, s.password)
	}
}

// httpClient returns a client that follows no redirects: they could lead credentials to another host.
func (s *Store) httpClient(timeout time.Duration) *http.Client {
	return &http.Client{
		Transport:     s.transport,
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// trouble says what an endpoint did, without the method and the URL, which a *url.Error repeats.
func (s *Store) trouble(at int, err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return fmt.Errorf("%s: %s", s.endpoints[at], pooling.Clean(err.Error()))
}
