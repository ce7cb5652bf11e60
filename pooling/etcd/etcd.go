package etcd

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fleetsync/fleetsync/pooling"
)

// Config says where an etcd is and how to get at it.
type Config struct {
	Endpoints []string      // base URLs, tried in turn
	Timeout   time.Duration // of one call, retries included; 0 is pooling.DefaultTimeout

	User     string // HTTP basic auth; empty is none
	Password string
	CAFile   string // PEM; empty is the system's
	CertFile string // PEM, both or none
	KeyFile  string
}

// Store is a pooling.Store in an etcd with the v2 API.
type Store struct {
	endpoints []*url.URL
	timeout   time.Duration
	user      string
	password  string
	transport *http.Transport
	last      atomic.Int32 // position of the endpoint that answered last
}

var _ pooling.Store = (*Store)(nil)

// New checks a configuration and reads its files; it connects to nothing.
func New(c Config) (*Store, error) {
	if len(c.Endpoints) == 0 {
		return nil, errors.New("no endpoints: name at least one base URL")
	}
	if c.Timeout < 0 {
		return nil, fmt.Errorf("timeout %s: must be positive", c.Timeout)
	}
	s := &Store{timeout: cmp.Or(c.Timeout, pooling.DefaultTimeout), user: c.User, password: c.Password}
	for _, e := range c.Endpoints {
		u, err := url.Parse(e)
		switch {
		case err != nil:
			return nil, errors.New("an endpoint is not a URL") // url.Parse repeats it, and it may hold a password
		case u.User != nil:
			return nil, fmt.Errorf("endpoint %s: give user and password as settings of their own, not in the URL", pooling.Clean(u.Redacted()))
		case u.Scheme != "http" && u.Scheme != "https", u.Host == "", u.RawQuery != "", u.Fragment != "":
			return nil, fmt.Errorf("endpoint %q: want a base URL such as https://conf1001.eqiad.wmnet:4001", pooling.Clean(e))
		}
		u.Path = strings.TrimRight(u.Path, "/")
		s.endpoints = append(s.endpoints, u)
	}
	tlsConfig, err := c.tls()
	if err != nil {
		return nil, err
	}
	s.transport = &http.Transport{ // no proxy from the environment: confctl does not use one either
		DialContext:           (&net.Dialer{Timeout: s.share(), KeepAlive: 15 * time.Second}).DialContext,
		TLSClientConfig:       tlsConfig,
		TLSHandshakeTimeout:   s.share(),
		MaxIdleConnsPerHost:   4,
		IdleConnTimeout:       30 * time.Second,
		ResponseHeaderTimeout: s.share(), // etcd sends those of a watch at once
	}
	return s, nil
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

// share is how long one endpoint may take over one request, so that one that hangs leaves time for another.
func (s *Store) share() time.Duration { return s.timeout / time.Duration(len(s.endpoints)+1) }

// Close closes idle connections. The store stays usable.
func (s *Store) Close() { s.transport.CloseIdleConnections() }

// Get implements pooling.Store.
func (s *Store) Get(ctx context.Context, key string) (pooling.Entry, error) {
	a, err := s.call(ctx, http.MethodGet, key, url.Values{"quorum": {"true"}})
	if err != nil {
		return pooling.Entry{}, err
	}
	if !a.Node.isKey() {
		return pooling.Entry{}, fmt.Errorf("%w: not a key but a directory", pooling.ErrMalformed)
	}
	return a.Node.entry(), nil
}

// List implements pooling.Store. A directory stays when its last key is deleted; it is listed as empty then.
func (s *Store) List(ctx context.Context, dir string) (pooling.Listing, error) {
	a, err := s.call(ctx, http.MethodGet, dir, url.Values{"recursive": {"true"}, "quorum": {"true"}})
	if err != nil {
		return pooling.Listing{}, err
	}
	l := pooling.Listing{Index: a.index}
	var walk func(n node)
	walk = func(n node) {
		if n.isKey() && n.Key != dir {
			l.Entries = append(l.Entries, n.entry())
		}
		for _, child := range n.Nodes {
			walk(child)
		}
	}
	walk(*a.Node)
	slices.SortFunc(l.Entries, func(a, b pooling.Entry) int { return strings.Compare(a.Key, b.Key) })
	return l, nil
}

// Create implements pooling.Store.
func (s *Store) Create(ctx context.Context, key, value string, ttl time.Duration) error {
	form := url.Values{"value": {value}, "prevExist": {"false"}}
	if ttl > 0 {
		form.Set("ttl", seconds(ttl))
	}
	_, err := s.call(ctx, http.MethodPut, key, form)
	return err
}

// Swap implements pooling.Store.
func (s *Store) Swap(ctx context.Context, key, value string, index uint64) (now uint64, err error) {
	if index == 0 {
		return 0, errIndexZero
	}
	a, err := s.call(ctx, http.MethodPut, key, url.Values{
		"value": {value}, "prevExist": {"true"}, "prevIndex": {strconv.FormatUint(index, 10)},
	})
	if err != nil {
		return 0, err
	}
	return a.Node.Index, nil
}

// With an index of 0 etcd 3.4 takes prevExist alone as the condition and overwrites whatever is there, and an empty value to compare
// is refused (both measured).
var (
	errIndexZero  = fmt.Errorf("%w: index 0, as if it had not been read", pooling.ErrMalformed)
	errEmptyValue = fmt.Errorf("%w: an empty value to compare", pooling.ErrMalformed)
)

// Delete implements pooling.Store.
func (s *Store) Delete(ctx context.Context, key string, index uint64) error {
	if index == 0 {
		return errIndexZero
	}
	_, err := s.call(ctx, http.MethodDelete, key, url.Values{"prevIndex": {strconv.FormatUint(index, 10)}})
	return err
}

// Refresh implements pooling.Store. With refresh etcd keeps the value and tells no watcher.
func (s *Store) Refresh(ctx context.Context, key, value string, ttl time.Duration) error {
	if value == "" {
		return errEmptyValue
	}
	_, err := s.call(ctx, http.MethodPut, key, url.Values{
		"prevExist": {"true"}, "prevValue": {value}, "refresh": {"true"}, "ttl": {seconds(ttl)},
	})
	return err
}

// DeleteValue implements pooling.Store.
func (s *Store) DeleteValue(ctx context.Context, key, value string) error {
	if value == "" {
		return errEmptyValue
	}
	_, err := s.call(ctx, http.MethodDelete, key, url.Values{"prevValue": {value}})
	return err
}

// seconds returns a time to live as etcd takes it, rounded up.
func seconds(ttl time.Duration) string {
	return strconv.FormatInt(int64((ttl+time.Second-1)/time.Second), 10)
}
