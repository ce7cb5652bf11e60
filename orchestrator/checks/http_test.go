package checks

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// Planted faults that the tests of this file saw: any status a pass with Status unset; redirects
// followed with Status set; redirects followed to another host; Host sent as an ordinary header; the
// pattern applied to the whole body, or to none; an unbounded body read to its end; a refused
// connection unknown; a host that hangs up unknown; a distrusted certificate or a refused client
// certificate a fail; our own timeout, or a caller's cancellation, a fail; no default timeout; the
// timeout not applied to the body; the latency not compared, or compared before the body was read;
// connections left open; the client's own transport changed; a URL with its password, or
// the answer's control characters, in a detail.
func TestHTTPProbe(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("a redirect to another host was followed")
	}))
	defer elsewhere.Close()
	other := strings.Replace(elsewhere.URL, "127.0.0.1", "localhost", 1)

	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "Main Page\n") })
	mux.HandleFunc("/created", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) })
	mux.HandleFunc("/broken", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = io.WriteString(w, "\x1b[31mPHP fatal error:\r\n\x00wikiversions.php \u202e\"missing\"")
	})
	mux.HandleFunc("/host", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "I am "+r.Host) })
	mux.HandleFunc("/header", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("X-Debug")+" "+r.UserAgent())
	})
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/ok", http.StatusMovedPermanently) })
	mux.HandleFunc("/lost", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/nothing", http.StatusFound) })
	mux.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other, http.StatusFound) })
	mux.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	mux.HandleFunc("/unchanged", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "/ok")
		w.WriteHeader(http.StatusNotModified)
	})
	mux.HandleFunc("/nowhere", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "http://%zz")
		w.WriteHeader(http.StatusFound)
	})
	mux.HandleFunc("/endless", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "first")
		for chunk := []byte(strings.Repeat("x", 64<<10)); ; {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/far", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", maxAnswer)+"needle")
	})
	mux.HandleFunc("/near", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", maxAnswer-6)+"needle")
	})
	mux.HandleFunc("/short", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "ten bytes.")
	})
	mux.HandleFunc("/abort", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	server := httptest.NewServer(mux)
	defer server.Close()
	withPassword := strings.Replace(server.URL, "http://", "http://user:hunter2@", 1)

	for _, c := range []struct {
		name    string
		check   HTTP
		verdict Verdict
		detail  string
	}{
		{"any", HTTP{URL: "/ok"}, Pass, "status 200"},
		{"any 2xx", HTTP{URL: "/created"}, Pass, "status 201"},
		{"status", HTTP{URL: "/ok", Status: 200}, Pass, "status 200"},
		{"other 2xx", HTTP{URL: "/created", Status: 200}, Fail, "status 201, expected 200"},
		{"server error", HTTP{URL: "/broken"}, Fail, `status 500, expected 2xx; it says "[31mPHP fatal error: wikiversions.php \"missing\""`},
		{"error expected", HTTP{URL: "/broken", Status: 500}, Pass, "status 500"},
		{"missing", HTTP{URL: "/nothing", Status: 200}, Fail, `status 404, expected 200; it says "404 page not found"`},
		{"body", HTTP{URL: "/ok", Body: regexp.MustCompile(`^Main\s`)}, Pass, ""},
		{"wrong body", HTTP{URL: "/ok", Body: regexp.MustCompile(`Wikipedia`)}, Fail, `the body does not match "Wikipedia"; it says "Main Page"`},
		{"empty body", HTTP{URL: "/created", Body: regexp.MustCompile(`.`)}, Fail, `the body does not match "."`},
		{"wrong status, right body", HTTP{URL: "/broken", Status: 200, Body: regexp.MustCompile(`fatal`)}, Fail, "status 500"},
		{"virtual host", HTTP{URL: "/host", Headers: map[string]string{"host": "en.wikipedia.org"},
			Body: regexp.MustCompile(`^I am en\.wikipedia\.org$`)}, Pass, ""},
		{"header", HTTP{URL: "/header", Headers: map[string]string{"x-debug": "on"}, Body: regexp.MustCompile(`^on fleetsync$`)}, Pass, ""},
		{"user agent", HTTP{URL: "/header", Headers: map[string]string{"User-Agent": "gate"}, Body: regexp.MustCompile(`^ gate$`)}, Pass, ""},
		{"bad header", HTTP{URL: "/ok", Headers: map[string]string{"X-A": "a\r\nX-B: b"}}, Unknown, "cannot"},
		{"redirect followed", HTTP{URL: "/moved", Body: regexp.MustCompile(`Main`)}, Pass, "status 200"},
		{"redirect is the status", HTTP{URL: "/moved", Status: 301}, Pass, "status 301"},
		{"redirect is not the status", HTTP{URL: "/moved", Status: 200}, Fail, "status 301, expected 200"},
		{"redirect to nothing", HTTP{URL: "/lost"}, Fail, "status 404"},
		{"redirect to another host", HTTP{URL: "/away"}, Unknown, "leads to another host, localhost:"},
		{"redirect to another host is the status", HTTP{URL: "/away", Status: 302}, Pass, ""},
		{"redirects for ever", HTTP{URL: "/loop"}, Fail, "no answer but redirects: more than 10"},
		{"redirect status that is none", HTTP{URL: "/unchanged"}, Fail, "status 304, expected 2xx"},
		{"redirect that cannot be read", HTTP{URL: "/nowhere"}, Fail, "cannot be read"},
		{"endless body", HTTP{URL: "/endless", Body: regexp.MustCompile(`^first`)}, Pass, ""},
		{"pattern beyond the bound", HTTP{URL: "/far", Body: regexp.MustCompile(`needle`)}, Fail, "the first 1 MiB of the body does not match"},
		{"pattern within the bound", HTTP{URL: "/near", Body: regexp.MustCompile(`needle$`)}, Pass, ""},
		{"truncated body", HTTP{URL: "/short"}, Fail, "hung up"},
		{"no answer", HTTP{URL: "/abort"}, Fail, "hung up"},
		{"a minute is enough", HTTP{URL: "/ok", Latency: time.Minute}, Pass, ""},
		{"no URL", HTTP{}, Unknown, "cannot be asked"},
		{"no host", HTTP{URL: "http:///wiki"}, Unknown, "names no host"},
		{"scheme", HTTP{URL: "gopher://localhost/"}, Unknown, "unsupported protocol scheme"},
		{"control character", HTTP{URL: "http://localhost/\x1b[2J"}, Unknown, "cannot be asked"},
		{"password, wrong status", HTTP{URL: withPassword + "/ok", Status: 404}, Fail, "status 200"},
		{"password, no answer", HTTP{URL: withPassword + "/abort"}, Fail, "hung up"},
		{"password, bad URL", HTTP{URL: "http://user:hunter2@localhost:port/"}, Unknown, "cannot be asked"},
		{"long pattern", HTTP{URL: "/ok", Body: regexp.MustCompile(strings.Repeat("é", 300))}, Fail, "does not match"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if strings.HasPrefix(c.check.URL, "/") {
				c.check.URL = server.URL + c.check.URL
			}
			got := c.check.Probe(t.Context())
			checkResult(t, got, c.verdict, c.detail)
			if strings.Contains(got.Detail, "hunter2") || strings.Contains(got.Detail, server.URL) {
				t.Errorf("the detail tells the URL, which may hold a password: %s", got.Detail)
			}
		})
	}
}

// What a host may send that is no HTTP at all.
func TestHTTPHostileAnswer(t *testing.T) {
	for _, c := range []struct {
		name, answer string
		verdict      Verdict
		detail       string
	}{
		{"nothing", "", Fail, "hung up"},
		{"not HTTP", "SSH-2.0-OpenSSH_9.2p1\r\n\r\n", Fail, "cannot be read"},
		{"escape in the status line", "HTTP/1.1 2\x1b0 OK\r\n\r\n", Fail, "cannot be read"},
		{"reason", "HTTP/1.1 500 \x1b[31mno\x07\r\nContent-Length: 0\r\n\r\n", Fail, "status 500"},
		{"redirect with escapes", "HTTP/1.1 302 x\r\nLocation: http://evil.example/\x1b[2J\r\n\r\n", Fail, "cannot be read"},
		{"redirect to a long name", "HTTP/1.1 302 x\r\nLocation: http://" + strings.Repeat("e", 2000) + "/\r\n\r\n", Unknown,
			"another host, eee"},
		{"endless header", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 2*maxAnswer), Fail, "cannot be read"},
		{"bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\x1b\r\n", Fail, "cannot be read"},
		{"bad gzip", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 20\r\n\r\nthis is not gzip....", Fail, "cannot be read"},
		{"status 999", "HTTP/1.1 999 x\r\nContent-Length: 0\r\n\r\n", Fail, "status 999"},
		{"status 0", "HTTP/1.1 000 x\r\nContent-Length: 0\r\n\r\n", Fail, "status 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := HTTP{URL: "http://mw1017/", Client: pipe(t, func(conn net.Conn) {
					readRequest(conn)
					_, _ = io.WriteString(conn, c.answer)
				})}.Probe(t.Context())
				checkResult(t, got, c.verdict, c.detail)
			})
		})
	}
}

// Time, without waiting for it: hosts that are slow, hang or drip. That synctest.Test returns at all
// says that no goroutine and no connection was left.
func TestHTTPTime(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"
	for _, c := range []struct {
		name    string
		check   HTTP
		host    func(net.Conn)
		verdict Verdict
		detail  string
		took    time.Duration
	}{
		{"within the latency", HTTP{Latency: 2 * time.Second},
			func(conn net.Conn) { readRequest(conn); wait(2 * time.Second); write(conn, ok+"body") },
			Pass, "status 200 after 2s", 2 * time.Second},
		{"beyond the latency", HTTP{Latency: 2 * time.Second},
			func(conn net.Conn) { readRequest(conn); wait(2*time.Second + 1); write(conn, ok+"body") },
			Fail, "status 200 after 2s, expected within 2s", 2*time.Second + 1},
		{"body beyond the latency", HTTP{Latency: 2 * time.Second},
			func(conn net.Conn) { readRequest(conn); write(conn, ok+"bo"); wait(3 * time.Second); write(conn, "dy") },
			Fail, "status 200 after 3s, expected within 2s", 3 * time.Second},
		{"wrong status beyond the latency", HTTP{Status: 404, Latency: time.Second},
			func(conn net.Conn) { readRequest(conn); wait(3 * time.Second); write(conn, ok+"body") },
			Fail, "status 200, expected 404", 3 * time.Second},
		{"hangs before reading", HTTP{Timeout: 5 * time.Second},
			func(net.Conn) { wait(time.Hour) },
			Unknown, "no complete answer after 5s", 5 * time.Second},
		{"hangs before answering", HTTP{Timeout: 5 * time.Second, Latency: time.Second},
			func(conn net.Conn) { readRequest(conn); wait(time.Hour) },
			Unknown, "no complete answer after 5s", 5 * time.Second},
		{"hangs within the body", HTTP{Timeout: 5 * time.Second, Status: 200},
			func(conn net.Conn) { readRequest(conn); write(conn, ok+"bo"); wait(time.Hour) },
			Unknown, "no complete answer after 5s", 5 * time.Second},
		{"drips a body for ever", HTTP{Timeout: 5 * time.Second},
			func(conn net.Conn) {
				readRequest(conn)
				write(conn, "HTTP/1.1 200 OK\r\n\r\n")
				for write(conn, "x") {
					wait(time.Second)
				}
			},
			Unknown, "no complete answer after 5s", 5 * time.Second},
		{"drips headers for ever", HTTP{Timeout: 5 * time.Second},
			func(conn net.Conn) {
				readRequest(conn)
				write(conn, "HTTP/1.1 200 OK\r\n")
				for write(conn, "X: x\r\n") {
					wait(time.Second)
				}
			},
			Unknown, "no complete answer after 5s", 5 * time.Second},
		{"default timeout", HTTP{}, func(net.Conn) { wait(time.Hour) }, Unknown, "no complete answer after 10s", DefaultTimeout},
		{"hangs up in time", HTTP{}, func(conn net.Conn) { readRequest(conn); wait(time.Second) }, Fail, "hung up", time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.check.URL, c.check.Client = "http://mw1017/", pipe(t, c.host)
				c.check.Client.Timeout = time.Millisecond // not used
				got := c.check.Probe(t.Context())
				checkResult(t, got, c.verdict, c.detail)
				if got.Took != c.took {
					t.Errorf("took %s, want %s", got.Took, c.took)
				}
			})
		})
	}
}

func TestHTTPCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		got := HTTP{URL: "http://mw1017/", Client: pipe(t, func(conn net.Conn) {
			readRequest(conn)
			cancel()
			wait(time.Minute)
		})}.Probe(ctx)
		checkResult(t, got, Unknown, "stopped before")
		got = HTTP{URL: "http://mw1017/", Client: pipe(t, func(net.Conn) {})}.Probe(ctx)
		checkResult(t, got, Unknown, "stopped before")
	})
}

// A dial that never ends is given up with the probe, not left behind.
func TestHTTPDialHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}}
		got := HTTP{URL: "http://mw1017/", Timeout: time.Second, Client: client}.Probe(t.Context())
		checkResult(t, got, Unknown, "no complete answer after 1s")
	})
}

func TestHTTPCannotConnect(t *testing.T) {
	for _, c := range []struct {
		name    string
		err     error
		verdict Verdict
		detail  string
	}{
		{"no such name", &net.DNSError{Err: "no such host", Name: "mw1017", IsNotFound: true}, Unknown, "no such host"},
		{"resolver down", &net.DNSError{Err: "server misbehaving", Name: "mw1017", IsTemporary: true}, Unknown, "server misbehaving"},
		{"no route", syscall.EHOSTUNREACH, Unknown, "cannot connect"},
		{"packets dropped", syscall.ETIMEDOUT, Unknown, "cannot connect"},
		{"no file descriptors", syscall.EMFILE, Unknown, "cannot connect"},
		{"refused", syscall.ECONNREFUSED, Fail, "refuses the connection"},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
				return nil, &net.OpError{Op: "dial", Net: "tcp", Err: c.err}
			}}}
			checkResult(t, HTTP{URL: "http://mw1017/", Client: client}.Probe(t.Context()), c.verdict, c.detail)
		})
	}
}

// Connections that break after they were up, in ways that a pipe does not show.
func TestHTTPConnectionLost(t *testing.T) {
	for _, c := range []struct {
		err     error
		verdict Verdict
		detail  string
	}{
		{syscall.ECONNRESET, Fail, "hung up"},
		{syscall.ETIMEDOUT, Unknown, "was lost"},
		{syscall.EHOSTUNREACH, Unknown, "was lost"},
		{errors.New("odd"), Fail, "cannot be read"},
	} {
		client := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			if !r.Close {
				t.Error("the connection may be kept")
			}
			body := io.NopCloser(io.MultiReader(strings.NewReader("half"), broken{c.err}))
			return &http.Response{StatusCode: 200, Body: body, Request: r}, nil
		})}
		checkResult(t, HTTP{URL: "http://mw1017/", Client: client}.Probe(t.Context()), c.verdict, c.detail)
	}
}

// A port of this machine that nobody listens on refuses.
func TestHTTPRefused(t *testing.T) {
	checkResult(t, HTTP{URL: "http://" + refusing(t) + "/"}.Probe(t.Context()), Fail, "refuses the connection")
}

func TestHTTPTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/distrusted" {
			http.Redirect(w, r, r.Header.Get("X-To"), http.StatusFound)
		}
	}))
	server.Config.ErrorLog = quiet()
	server.StartTLS()
	defer server.Close()
	checkResult(t, HTTP{URL: server.URL}.Probe(t.Context()), Unknown, "certificate")
	checkResult(t, HTTP{URL: server.URL, Client: server.Client()}.Probe(t.Context()), Pass, "")
	checkResult(t, HTTP{URL: strings.Replace(server.URL, "https", "http", 1)}.Probe(t.Context()), Fail, "status 400")

	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer plain.Close()
	checkResult(t, HTTP{URL: strings.Replace(plain.URL, "http", "https", 1)}.Probe(t.Context()), Unknown, "cannot connect")

	// The first connection was fine, the one that the redirect needs is not.
	toTLS := httptest.NewServer(http.RedirectHandler(server.URL, http.StatusFound))
	defer toTLS.Close()
	checkResult(t, HTTP{URL: toTLS.URL}.Probe(t.Context()), Unknown, "certificate")

	picky := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	picky.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS13}
	picky.Config.ErrorLog = quiet()
	picky.StartTLS()
	defer picky.Close()
	checkResult(t, HTTP{URL: picky.URL, Client: picky.Client()}.Probe(t.Context()), Unknown, "certificate required")
}

// Every probe opens a connection of its own, closes it, and leaves the client as it was.
func TestHTTPConnections(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("http2=%v", h2), func(t *testing.T) {
			var opened, closed atomic.Int32
			allClosed := make(chan struct{})
			const connections = 6 // three probes, each redirected
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/moved" { // the request that follows does not ask to close its connection
					http.Redirect(w, r, "/", http.StatusFound)
				}
				_, _ = fmt.Fprint(w, r.ProtoMajor)
			}))
			server.EnableHTTP2 = h2
			server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				switch state {
				case http.StateNew:
					opened.Add(1)
				case http.StateClosed:
					if closed.Add(1) == connections {
						close(allClosed)
					}
				case http.StateActive, http.StateIdle, http.StateHijacked:
				}
			}
			server.StartTLS()
			defer server.Close()
			client := server.Client()
			body := "^1$"
			if h2 {
				body = "^2$"
			}
			for range 3 {
				checkResult(t, HTTP{URL: server.URL + "/moved", Client: client, Body: regexp.MustCompile(body)}.Probe(t.Context()), Pass, "")
			}
			<-allClosed
			if n := opened.Load(); n != connections {
				t.Errorf("%d connections, want %d", n, connections)
			}
			if client.Transport.(*http.Transport).MaxResponseHeaderBytes != 0 || client.CheckRedirect != nil {
				t.Error("the client was changed")
			}
		})
	}
}

// pipe returns a client whose connections lead to host, and are closed when it returns. The test
// waits for that.
func pipe(t *testing.T, host func(net.Conn)) *http.Client {
	var hosts sync.WaitGroup
	t.Cleanup(hosts.Wait)
	return &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		hosts.Go(func() {
			host(theirs)
			_ = theirs.Close()
		})
		return ours, nil
	}}}
}

func readRequest(conn net.Conn) {
	_, _ = conn.Read(make([]byte, 64<<10))
}

func write(conn net.Conn, s string) bool {
	_, err := io.WriteString(conn, s)
	return err == nil
}

// wait passes fake time: only within synctest.Test.
func wait(d time.Duration) { <-time.After(d) }

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }
