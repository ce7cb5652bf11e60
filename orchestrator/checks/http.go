package checks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"regexp"
	"sync/atomic"
	"syscall"
	"time"
)

// maxAnswer is the most bytes that are read of an answer's headers, and of its body.
const maxAnswer = 1 << 20

// maxRedirects is how many redirects within the host are followed.
const maxRedirects = 10

// HTTP asks for one URL and passes when the answer is everything that its fields name. The zero
// Timeout is DefaultTimeout; every other zero field expects nothing.
type HTTP struct {
	URL     string            // already expanded
	Headers map[string]string // of the request, already expanded; Host sets the request's host
	Status  int               // 0 is any 2xx, after redirects within the host
	Body    *regexp.Regexp    // must match the first 1 MiB of the body; nil is any
	Latency time.Duration     // the answer must be complete (of the body, 1 MiB) within it; 0 is any
	Timeout time.Duration

	// Client carries TLS settings; nil is a client without proxies, since a cache in between would
	// answer for the host. Probe changes nothing in it. Its Timeout, Jar and CheckRedirect are not used, and
	// of an *http.Transport only a copy is, whose connections Probe closes; another RoundTripper is
	// asked by the request's Close not to keep its connection.
	Client *http.Client
}

// Probe sends one GET request over a new connection and judges the answer. With Status set, a
// redirect is an answer like any other; without it, redirects within the host are followed, and one
// that leads elsewhere is unknown, since another host's answer says nothing of this one. Probe
// returns no later than the timeout and leaves nothing open.
func (h HTTP) Probe(ctx context.Context) Result {
	start := time.Now()
	verdict, detail := h.judge(ctx, start)
	return Result{Verdict: verdict, Detail: detail, Took: time.Since(start)}
}

func (h HTTP) judge(parent context.Context, start time.Time) (Verdict, string) {
	timeout := orDefault(h.Timeout)
	ctx, cancel := context.WithTimeout(parent, timeout)
	defer cancel()

	// Once a connection is up, its breaking is the host's doing. A redirect needs another one.
	var connected atomic.Bool
	trace := &httptrace.ClientTrace{
		GetConn: func(string) { connected.Store(false) },
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	}
	broken := func(err error) (Verdict, string) {
		switch {
		case parent.Err() != nil:
			return Unknown, "stopped before the answer was complete"
		case ctx.Err() != nil:
			return Unknown, detailf("no complete answer after %s", timeout)
		}
		return judgeError(err, connected.Load())
	}

	request, err := h.request(httptrace.WithClientTrace(ctx, trace))
	if err != nil {
		return Unknown, detailf("the check cannot be asked: %v", withoutURL(err))
	}
	client, done := h.client()
	defer done()
	response, err := client.Do(request)
	if err != nil {
		return broken(err)
	}
	defer response.Body.Close()
	connected.Store(true) // a RoundTripper of another kind tells no trace
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	took := time.Since(start)
	if err != nil {
		return broken(err)
	}
	return h.judgeAnswer(response, body, took)
}

func (h HTTP) request(ctx context.Context) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, h.URL, http.NoBody)
	if err != nil {
		return nil, err
	}
	if request.URL.Host == "" {
		return nil, errors.New("its URL names no host")
	}
	request.Close = true
	request.Header.Set("User-Agent", "fleetsync")
	for name, value := range h.Headers {
		if http.CanonicalHeaderKey(name) == "Host" {
			request.Host = value
			continue
		}
		request.Header.Set(name, value)
	}
	return request, nil
}

// client returns a client for one question and what to call after it. Its transport is as new as its
// connections, and keeps none of them once CloseIdleConnections was called.
func (h HTTP) client() (*http.Client, func()) {
	client := http.Client{}
	if h.Client != nil {
		client = *h.Client
	}
	client.Timeout, client.Jar = 0, nil
	client.CheckRedirect = func(next *http.Request, via []*http.Request) error {
		switch {
		case h.Status != 0, next.URL.Hostname() != via[0].URL.Hostname():
			return http.ErrUseLastResponse
		case len(via) > maxRedirects:
			return errRedirects
		}
		return nil
	}
	transport := &http.Transport{}
	switch t := client.Transport.(type) {
	case nil:
	case *http.Transport:
		transport = t.Clone()
	default:
		return &client, func() {}
	}
	transport.MaxResponseHeaderBytes = maxAnswer
	client.Transport = transport
	return &client, transport.CloseIdleConnections
}

var errRedirects = fmt.Errorf("more than %d redirects", maxRedirects)

func (h HTTP) judgeAnswer(response *http.Response, body []byte, took time.Duration) (Verdict, string) {
	status := response.StatusCode
	if h.Status != 0 && status != h.Status {
		return Fail, detailf("status %d, expected %d%s", status, h.Status, excerpt(body))
	}
	if h.Status == 0 && status/100 != 2 {
		asked := response.Request.URL.Hostname()
		if location, err := response.Location(); err == nil && status/100 == 3 && location.Hostname() != asked {
			return Unknown, detailf("status %d leads to another host, %s, which is not asked: name the status to expect, or another URL",
				status, head(location.Host, maxExcerpt))
		}
		return Fail, detailf("status %d, expected 2xx%s", status, excerpt(body))
	}
	if h.Body != nil && !h.Body.Match(body) {
		where := "the body"
		if len(body) == maxAnswer {
			where = "the first 1 MiB of the body"
		}
		return Fail, detailf("status %d, but %s does not match %q%s", status, where, head(h.Body.String(), maxExcerpt), excerpt(body))
	}
	if h.Latency > 0 && took > h.Latency {
		return Fail, detailf("status %d after %s, expected within %s", status, took.Round(time.Millisecond), h.Latency)
	}
	return Pass, detailf("status %d after %s", status, took.Round(time.Millisecond))
}

// judgeError judges an exchange that broke, but not for lack of time.
func judgeError(err error, connected bool) (Verdict, string) {
	err = withoutURL(err)
	var netErr net.Error
	var opErr *net.OpError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return Fail, detailf("the host refuses the connection: %v", err)
	case !connected:
		return Unknown, detailf("cannot connect: %v", err)
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.ENETDOWN),
		errors.As(err, &netErr) && netErr.Timeout():
		return Unknown, detailf("the connection was lost: %v", err)
	// crypto/tls reports alerts so; under TLS 1.3 a refused client certificate shows only now.
	case errors.As(err, &opErr) && (opErr.Op == "remote error" || opErr.Op == "local error"):
		return Unknown, detailf("cannot connect: %v", err)
	case errors.Is(err, errRedirects):
		return Fail, detailf("no answer but redirects: %v", err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return Fail, detailf("the host hung up before its answer was complete: %v", err)
	default:
		return Fail, detailf("the host's answer cannot be read: %v", err)
	}
}

// withoutURL returns what went wrong without the URL, which may hold a password.
func withoutURL(err error) error {
	var urlErr *url.Error
	if errors.As(err, &urlErr) {
		return urlErr.Err
	}
	return err
}

func excerpt(body []byte) string {
	s := head(string(body), maxExcerpt)
	if s == "" {
		return ""
	}
	return fmt.Sprintf("; it says %q", s)
}
