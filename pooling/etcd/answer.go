package etcd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/fleetsync/fleetsync/pooling"
)

// The most that is read of an answer. A tree of 50,000 objects takes about 14 MB.
const (
	maxAnswer    = 32 << 20
	maxRejection = 64 << 10
)

// answer is the API's answer to a request that it took.
type answer struct {
	Action string `json:"action"`
	Node   *node  `json:"node"`
	index  uint64 // etcd's own
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

func (n node) isKey() bool { return !n.Dir && n.Value != nil }

// entry returns a node that isKey.
func (n node) entry() pooling.Entry {
	e := pooling.Entry{Key: n.Key, Value: *n.Value, Index: n.Index, TTL: time.Duration(n.TTL) * time.Second}
	if n.Expiration != "" {
		// A key whose time is up stays until the leader says so, half a second later or, after an etcd that was
		// away, as late as that is back. Until then its ttl is 0 (measured, etcd 3.4.23).
		e.TTL = max(e.TTL, time.Second)
	}
	return e
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
			return a, fmt.Errorf("%w: an answer of more than %d MB", pooling.ErrMalformed, maxAnswer>>20), nil
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
		return nil, fmt.Errorf("HTTP %d, redirects to %s: name that endpoint instead", resp.StatusCode, pooling.Clean(to))
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
		return nil, fmt.Errorf("HTTP %d, errorCode %d: %s", resp.StatusCode, r.Code, pooling.Clean(r.Cause))
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

// rejection is the body of an error of etcd's v2 API.
type rejection struct {
	Code    int    `json:"errorCode"`
	Message string `json:"message"`
	Cause   string `json:"cause"`
}

// err returns the error that r is under an HTTP status. The codes are those of etcd's
// Documentation/v2/errorcode.md; the code decides where there is one, because 107 comes with 400 from
// etcd 3.4 itself (measured, writing to the root) and with 403 from a read-only replica.
func (r rejection) err(status int) error {
	var kind error
	switch {
	case r.Code == 100:
		kind = pooling.ErrNotFound
	case r.Code == 101 || r.Code == 105: // compare failed; key already exists
		kind = pooling.ErrConflict
	case r.Code == 107:
		kind = pooling.ErrReadOnly
	case r.Code == 110 || r.Code == 0 && (status == http.StatusUnauthorized || status == http.StatusForbidden):
		kind = pooling.ErrUnauthorized
	case r.Code == 401:
		kind = pooling.ErrIndexCleared
	default:
		kind = errors.New("refused by the API")
	}
	if r.Code == 0 {
		return fmt.Errorf("%w (HTTP %d)", kind, status)
	}
	return fmt.Errorf("%w (HTTP %d, errorCode %d, %s: %s)", kind, status, r.Code, pooling.Clean(r.Message), pooling.Clean(r.Cause))
}
