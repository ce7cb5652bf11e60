package etcd

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

	"github.com/fleetsync/fleetsync/pooling"
)

// Wait implements pooling.Store. etcd keeps 1000 changes, of all keys; and if a whole directory goes at once, it does not say
// which keys were in it. Both are ErrIndexCleared. It is ErrUnavailable if every endpoint failed once.
func (s *Store) Wait(ctx context.Context, dir string, after uint64) (pooling.Event, error) {
	for {
		a, err := s.poll(ctx, dir, &after)
		if err != nil {
			return pooling.Event{}, err
		}
		if a.Node == nil {
			continue // etcd ends a watch after five minutes without a change
		}
		after = max(after+1, a.Node.Index)
		deleted := a.Action == "delete" || a.Action == "compareAndDelete" || a.Action == "expire"
		if deleted && a.Node.Dir {
			return pooling.Event{}, fmt.Errorf("%s is gone with all in it: %w", pooling.Clean(a.Node.Key), pooling.ErrIndexCleared)
		}
		if deleted {
			a.Node.Value = new(string)
		}
		if a.Node.isKey() && strings.HasPrefix(a.Node.Key, dir+"/") {
			return pooling.Event{Entry: a.Node.entry(), Deleted: deleted}, nil
		}
	}
}

// poll asks for the next change from each endpoint in turn until one does not fail. The answer has no node if
// the watch ended without a change; then after is as far as it has seen.
func (s *Store) poll(ctx context.Context, dir string, after *uint64) (answer, error) {
	var trouble error
	for range s.endpoints {
		at := int(s.last.Load())
		a, refusal, err := s.pollAt(ctx, at, dir, *after)
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
		trouble = s.trouble(at, err)
		s.last.CompareAndSwap(int32(at), int32((at+1)%len(s.endpoints)))
	}
	return answer{}, fmt.Errorf("%w: %w", pooling.ErrUnavailable, trouble)
}

// pollAt makes one long request of one endpoint. Only the wait for its headers is bounded, by the transport.
func (s *Store) pollAt(ctx context.Context, at int, dir string, after uint64) (a answer, refusal, err error) {
	query := url.Values{"wait": {"true"}, "recursive": {"true"}, "waitIndex": {strconv.FormatUint(after+1, 10)}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.location(at, dir)+"?"+query.Encode(), nil)
	if err != nil {
		return a, nil, err
	}
	s.authorize(req)
	resp, err := s.httpClient(0).Do(req)
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
