package pooling

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Change is a change to a selected object.
type Change struct {
	Object  Object // as the change left it; its Index is what to wait after next
	Deleted bool   // then the object has no value
}

// Wait waits for the first change to a selected object after an index: that of a Snapshot, or of the change
// before. It waits as long as ctx allows, our own changes included. The error is ErrIndexCleared if etcd no longer
// knows all changes since (it keeps 1000, of all keys), or if a whole directory went at once: read the
// pools again. It is ErrUnavailable if every endpoint failed once; wait a little, then call again.
func (c *Client) Wait(ctx context.Context, after uint64) (Change, error) {
	for {
		a, err := c.poll(ctx, &after)
		if err != nil {
			return Change{}, fmt.Errorf("cannot watch %s: %w", Clean(c.prefix), err)
		}
		if a.Node == nil {
			continue // etcd ends a watch after five minutes without a change
		}
		after = max(after+1, a.Node.Index)
		deleted := a.Action == "delete" || a.Action == "compareAndDelete" || a.Action == "expire"
		if deleted && a.Node.Dir {
			return Change{}, fmt.Errorf("%s is gone with all in it: %w", Clean(a.Node.Key), ErrIndexCleared)
		}
		if deleted {
			a.Node.Value = new(string)
		}
		if o, ok := c.object(*a.Node); ok && c.selection.has(o) {
			return Change{Object: o, Deleted: deleted}, nil
		}
	}
}

// poll asks for the next change from each endpoint in turn until one does not fail. The answer has no node if
// the watch ended without a change; then after is as far as it has seen.
func (c *Client) poll(ctx context.Context, after *uint64) (answer, error) {
	var trouble error
	for range c.endpoints {
		at := int(c.last.Load())
		a, refusal, err := c.pollAt(ctx, c.endpoints[at], *after)
		switch {
		case ctx.Err() != nil:
			return answer{}, context.Cause(ctx)
		case refusal != nil:
			return answer{}, refusal
		case err == nil && a.Node != nil:
			return a, nil
		case err == nil:
			// etcd looks through its history up to its index before it answers, and then misses nothing.
			*after = max(*after, a.index)
			return a, nil
		}
		trouble = fmt.Errorf("%s: %s", c.endpoints[at], Clean(strip(err).Error()))
		c.last.CompareAndSwap(int32(at), int32((at+1)%len(c.endpoints)))
	}
	return answer{}, fmt.Errorf("%w: %w", ErrUnavailable, trouble)
}

// pollAt makes one long request of one endpoint. Only the wait for its headers is bounded, by the transport.
func (c *Client) pollAt(ctx context.Context, endpoint *url.URL, after uint64) (a answer, refusal, err error) {
	query := url.Values{"wait": {"true"}, "recursive": {"true"}, "waitIndex": {strconv.FormatUint(after+1, 10)}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint.String()+"/v2/keys"+escape(c.prefix)+"?"+query.Encode(), nil)
	if err != nil {
		return a, nil, err
	}
	c.authorize(req)
	resp, err := c.httpClient(0).Do(req)
	if err != nil {
		return a, nil, err
	}
	began := time.Now()
	defer func() { _ = resp.Body.Close() }()
	if a.index, err = etcdIndex(resp); err != nil {
		return a, nil, err
	}
	if resp.StatusCode != http.StatusOK {
		refusal, err = refused(resp)
		return a, refusal, err
	}
	err = json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&a)
	switch {
	case err == nil && (a.Node == nil || !strings.HasPrefix(a.Node.Key, "/")):
		return answer{}, nil, errors.New("answer is not etcd's: it has no node")
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		a.Node = nil
		if time.Since(began) < time.Second {
			return a, nil, errors.New("watch ended at once") // asking again at once would only keep both sides busy
		}
		return a, nil, nil
	}
	return a, nil, err
}
