package pooling

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

// DefaultTimeout is how long an operation may take where Config does not say.
const DefaultTimeout = 10 * time.Second

// The most that is read of an answer. A tree of 50,000 objects takes about 14 MB.
const (
	maxAnswer    = 32 << 20
	maxRejection = 64 << 10
)

// Config says where the pools are and how to get at them.
type Config struct {
	Endpoints []string      // base URLs, tried in turn
	Prefix    string        // of the objects' keys
	Timeout   time.Duration // of one operation, retries included; 0 is DefaultTimeout

	User     string // HTTP basic auth; empty is none
	Password string
	CAFile   string // PEM; empty is the system's
	CertFile string // PEM, both or none
	KeyFile  string

	Select Selection
}

// Client reads and changes pool objects. It is safe for concurrent use.
type Client struct {
	endpoints []*url.URL
	prefix    string // "/conftool/v1/pools"
	timeout   time.Duration
	user      string
	password  string
	selection Selection
	transport *http.Transport
	last      atomic.Int32 // position of the endpoint that answered last
}

// NewClient checks a configuration and reads its files; it connects to nothing.
func NewClient(c Config) (*Client, error) {
	if len(c.Endpoints) == 0 {
		return nil, errors.New("no endpoints: name at least one base URL")
	}
	client := &Client{
		prefix:    "/" + strings.Trim(c.Prefix, "/"),
		timeout:   cmp.Or(c.Timeout, DefaultTimeout),
		user:      c.User,
		password:  c.Password,
		selection: c.Select,
	}
	if c.Timeout < 0 {
		return nil, fmt.Errorf("timeout %s: must be positive", c.Timeout)
	}
	for p := range strings.SplitSeq(client.prefix[1:], "/") {
		if !Plain(p) {
			return nil, fmt.Errorf("prefix %q: want a path such as /conftool/v1/pools", Clean(c.Prefix))
		}
	}
	for _, e := range c.Endpoints {
		u, err := url.Parse(e)
		switch {
		case err != nil:
			return nil, errors.New("an endpoint is not a URL") // url.Parse repeats it, and it may hold a password
		case u.User != nil:
			return nil, fmt.Errorf("endpoint %s: give user and password as settings of their own, not in the URL", Clean(u.Redacted()))
		case u.Scheme != "http" && u.Scheme != "https", u.Host == "", u.RawQuery != "", u.Fragment != "":
			return nil, fmt.Errorf("endpoint %q: want a base URL such as https://conf1001.eqiad.wmnet:4001", Clean(e))
		}
		u.Path = strings.TrimRight(u.Path, "/")
		client.endpoints = append(client.endpoints, u)
	}
	tlsConfig, err := c.tls()
	if err != nil {
		return nil, err
	}
	client.transport = &http.Transport{ // no proxy from the environment: confctl does not use one either
		DialContext:           (&net.Dialer{Timeout: client.share(), KeepAlive: 15 * time.Second}).DialContext,
		TLSClientConfig:       tlsConfig,
		TLSHandshakeTimeout:   client.share(),
		MaxIdleConnsPerHost:   4,
		IdleConnTimeout:       30 * time.Second,
		ResponseHeaderTimeout: client.share(), // etcd sends those of a watch at once
	}
	return client, nil
}

func (c Config) tls() (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("cannot read the CA file: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("CA file %s: no PEM certificate in it", c.CAFile)
		}
	}
	switch {
	case (c.CertFile == "") != (c.KeyFile == ""):
		return nil, errors.New("client certificate: name both the certificate file and the key file")
	case c.CertFile != "":
		pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("client certificate: %w", err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

// Close closes idle connections. The client stays usable.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Pools reads all selected pools at one moment. The error is ErrNotFound if nothing is under the prefix.
func (c *Client) Pools(ctx context.Context) (Snapshot, error) {
	ctx, cancel := c.deadline(ctx)
	defer cancel()
	return c.tree(ctx, c.prefix, c.selection)
}

// Observe returns all selected objects of the host of exactly that name, sorted by key: none if it has none.
func (c *Client) Observe(ctx context.Context, host string) ([]Object, error) {
	s, err := c.Pools(ctx)
	return s.Hosts[host], err
}

// share is how long one endpoint may take over one request, so that one that hangs leaves time for another.
func (c *Client) share() time.Duration { return c.timeout / time.Duration(len(c.endpoints)+1) }

var errTimeout = errors.New("time is up")

// deadline bounds one operation. The caller must call cancel.
func (c *Client) deadline(ctx context.Context) (_ context.Context, cancel context.CancelFunc) {
	return context.WithTimeoutCause(ctx, c.timeout, errTimeout)
}

// node is a key or a directory in an answer of the API.
type node struct {
	Key   string  `json:"key"`
	Value *string `json:"value"`
	Dir   bool    `json:"dir"`
	Nodes []node  `json:"nodes"`
	Index uint64  `json:"modifiedIndex"`
	TTL   int64   `json:"ttl"` // in seconds, rounded up; 0: for ever, or over if Expiration is set

	Expiration string `json:"expiration"` // empty: for ever
}

// answer is the API's answer to a request that it took.
type answer struct {
	Action string `json:"action"`
	Node   *node  `json:"node"`
	index  uint64 // etcd's own
}

// object returns n as an object; false if it is a directory or its key is not that of a pool object.
func (c *Client) object(n node) (Object, bool) {
	key, below := strings.CutPrefix(n.Key, c.prefix+"/")
	if !below || n.Dir || n.Value == nil {
		return Object{}, false
	}
	_, err := splitKey(key)
	return Object{Key: key, Value: *n.Value, Index: n.Index}, err == nil
}

// tree reads the selected objects under a path, which is the prefix or a pool.
func (c *Client) tree(ctx context.Context, path string, selection Selection) (Snapshot, error) {
	a, err := c.call(ctx, http.MethodGet, path, url.Values{"recursive": {"true"}, "quorum": {"true"}})
	if err != nil {
		return Snapshot{}, fmt.Errorf("cannot read %s: %w", Clean(path), err)
	}
	s := Snapshot{Index: a.index, Hosts: map[string][]Object{}, Pools: map[string][]Object{}}
	var objects []Object
	var walk func(n node)
	walk = func(n node) {
		if o, ok := c.object(n); ok && selection.has(o) {
			objects = append(objects, o)
		}
		for _, child := range n.Nodes {
			walk(child)
		}
	}
	walk(*a.Node)
	slices.SortFunc(objects, func(a, b Object) int { return strings.Compare(a.Key, b.Key) })
	for _, o := range objects {
		s.Hosts[o.Host()] = append(s.Hosts[o.Host()], o)
		s.Pools[o.Pool()] = append(s.Pools[o.Pool()], o)
	}
	return s, nil
}

// read reads one object.
func (c *Client) read(ctx context.Context, key string) (Object, error) {
	if _, err := splitKey(key); err != nil {
		return Object{}, err
	}
	a, err := c.call(ctx, http.MethodGet, c.prefix+"/"+key, url.Values{"quorum": {"true"}})
	if err != nil {
		return Object{}, fmt.Errorf("cannot read %s: %w", Clean(key), err)
	}
	o, ok := c.object(*a.Node)
	if !ok {
		return Object{}, fmt.Errorf("%s: %w: not an object but a directory", Clean(key), ErrMalformed)
	}
	return o, nil
}

// swap writes a value if the object has not changed since o.Index, and returns the object as it is then.
// If the API says that it has changed, it may be our own write that did it, the reply to which was lost: then
// the value is what we wrote, and that is success. Otherwise the error is ErrConflict and the object is
// what somebody else made of it.
func (c *Client) swap(ctx context.Context, o Object, value string) (Object, error) {
	if err := o.writable(); err != nil {
		return Object{}, err
	}
	a, err := c.call(ctx, http.MethodPut, c.prefix+"/"+o.Key, url.Values{
		"value":     {value},
		"prevExist": {"true"},
		"prevIndex": {strconv.FormatUint(o.Index, 10)},
	})
	if errors.Is(err, ErrConflict) {
		now, readErr := c.read(ctx, o.Key)
		switch {
		case readErr != nil:
			return Object{}, readErr
		case now.Value == value:
			return now, nil
		}
		return now, fmt.Errorf("%s: %w", Clean(o.Key), err)
	}
	if err != nil {
		return Object{}, fmt.Errorf("cannot write %s: %w", Clean(o.Key), err)
	}
	return Object{Key: o.Key, Value: value, Index: a.Node.Index}, nil
}

// call makes one request until an endpoint gives a usable answer, which a refusal is too. Only a read or a
// compare-and-set may be passed: it may be made more than once. ctx must be one of deadline's.
func (c *Client) call(ctx context.Context, method, path string, values url.Values) (answer, error) {
	var body []byte
	query := ""
	if method == http.MethodPut {
		body = []byte(values.Encode())
	} else { // of a DELETE etcd reads no body (net/http's ParseForm)
		query = "?" + values.Encode()
	}
	at := int(c.last.Load())
	location := func() string { return c.endpoints[at].String() + "/v2/keys" + escape(path) + query }
	req, err := retryablehttp.NewRequestWithContext(ctx, method, location(), body)
	if err != nil {
		return answer{}, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	c.authorize(req.Request)

	var good answer
	var refusal error // what the API said, and would say again
	var trouble error // why the last attempt was of no use
	req.SetResponseHandler(func(resp *http.Response) error {
		a, refused, err := readAnswer(resp)
		if err == nil && refused == nil && a.Node.Key != path {
			err = fmt.Errorf("asked for %s, got %s", Clean(path), Clean(a.Node.Key))
		}
		good, refusal = a, refused
		return err
	})
	client := retryablehttp.Client{
		HTTPClient:   c.httpClient(c.share()),
		RetryMax:     max(2, 2*len(c.endpoints)-1),
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
				trouble = fmt.Errorf("%s: %s", c.endpoints[at], Clean(strip(err).Error()))
			}
			return err != nil, nil
		},
		PrepareRetry: func(r *http.Request) error {
			at = (at + 1) % len(c.endpoints)
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
		c.last.Store(int32(at))
		return good, refusal
	}
	switch cause := context.Cause(ctx); {
	case cause != nil && !errors.Is(cause, errTimeout):
		return answer{}, cause
	case cause != nil && trouble != nil:
		return answer{}, fmt.Errorf("%w within %s: %w", ErrUnavailable, c.timeout, trouble)
	case cause != nil:
		return answer{}, fmt.Errorf("%w within %s", ErrUnavailable, c.timeout)
	case trouble != nil:
		return answer{}, fmt.Errorf("%w: %w", ErrUnavailable, trouble)
	}
	return answer{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
}

func (c *Client) authorize(r *http.Request) {
	if c.user != "" {
		r.SetBasicAuth(c.user, c.password)
	}
}

// httpClient returns a client that follows no redirects: they could lead credentials to another host.
func (c *Client) httpClient(timeout time.Duration) *http.Client {
	return &http.Client{
		Transport:     c.transport,
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// readAnswer reads an answer and closes its body. A refusal is what the API will say again; any other error may
// be different next time, or at another endpoint.
func readAnswer(resp *http.Response) (a answer, refusal, err error) {
	defer func() { _ = resp.Body.Close() }()
	if a.index, err = etcdIndex(resp); err != nil {
		return a, nil, err
	}
	if resp.StatusCode > 201 {
		refusal, err = refused(resp)
		return a, refusal, err
	}
	body := &io.LimitedReader{R: resp.Body, N: maxAnswer}
	if err := json.NewDecoder(body).Decode(&a); err != nil {
		if body.N <= 0 {
			return a, fmt.Errorf("%w: an answer of more than %d MB", ErrMalformed, maxAnswer>>20), nil
		}
		return a, nil, fmt.Errorf("answer is not etcd's: %w", err)
	}
	if a.Node == nil {
		return a, nil, errors.New("answer is not etcd's: it has no node")
	}
	return a, nil, nil
}

// refused reads an answer that is not a success.
func refused(resp *http.Response) (refusal, err error) {
	if to := resp.Header.Get("Location"); resp.StatusCode < 400 {
		return nil, fmt.Errorf("HTTP %d, redirects to %s: name that endpoint instead", resp.StatusCode, Clean(to))
	}
	var r rejection
	// A 404 that is not etcd's comes from an etcd without the v2 API; it must not be mistaken for a missing key.
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxRejection)).Decode(&r); err != nil {
		r = rejection{}
	}
	again := resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests
	known := r.Code != 0 || resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden
	switch {
	case again && r.Code != 0:
		return nil, fmt.Errorf("HTTP %d, errorCode %d: %s", resp.StatusCode, r.Code, Clean(r.Cause))
	case again:
		return nil, fmt.Errorf("HTTP %d", resp.StatusCode)
	case !known:
		return nil, fmt.Errorf("HTTP %d, not from etcd's v2 API: is it enabled there (--enable-v2)?", resp.StatusCode)
	}
	return r.err(resp.StatusCode), nil
}

func etcdIndex(resp *http.Response) (uint64, error) {
	header := resp.Header.Get("X-Etcd-Index")
	if header == "" {
		return 0, nil // a proxy's own refusal
	}
	index, err := strconv.ParseUint(header, 10, 64)
	if err != nil {
		return 0, errors.New("answer is not etcd's: its X-Etcd-Index is no number")
	}
	return index, nil
}

// strip takes the method and the URL, which a *url.Error repeats, off an error.
func strip(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
