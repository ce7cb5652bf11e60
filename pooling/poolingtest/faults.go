package poolingtest

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"sync"
)

// Fault is a way in which a request can fail.
type Fault string

// The faults.
const (
	None        Fault = ""
	DropRequest Fault = "drop request" // the connection ends before the request has any effect
	DropReply   Fault = "drop reply"   // the connection ends after the request has had its effect
	Truncate    Fault = "truncate"     // the effect is had, and the reply ends in the middle
	Unavailable Fault = "503"          // without effect, with a Retry-After of an hour
	RaftError   Fault = "500"          // without effect, errorCode 300 as from an etcd that has lost its leader
	Garbage     Fault = "garbage"      // 200 and no JSON
	Empty       Fault = "empty"        // 200 and nothing
	NoNode      Fault = "no node"      // 200 and JSON of somebody else
	OtherKey    Fault = "other key"    // 200 and another key than was asked for
	NoV2        Fault = "no v2"        // 404 as from an etcd without the v2 API
	Redirect    Fault = "redirect"     // 307 to another host
	Hang        Fault = "hang"         // no reply until the client gives up
	HangBody    Fault = "hang body"    // the effect is had, and the reply stops in the middle
	Proxy401    Fault = "proxy 401"    // a web server's own 401, in HTML
	Proxy403    Fault = "proxy 403"
)

// Faults passes requests on to Next and spoils those that it is told to. The zero Faults needs only Next.
type Faults struct {
	Next http.Handler

	mu   sync.Mutex
	plan func(*http.Request) Fault
}

// Plan sets what decides how a request fails. It is called before the request has any effect and may do
// what somebody else would do at that moment; nil is no faults. It must be safe for concurrent use.
func (f *Faults) Plan(plan func(*http.Request) Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.plan = plan
}

// ServeHTTP answers a request or spoils it.
func (f *Faults) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	plan := f.plan
	f.mu.Unlock()
	fault := None
	if plan != nil {
		fault = plan(r)
	}
	html := func(status int, body string) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
	switch fault {
	case None:
		f.Next.ServeHTTP(w, r)
	case DropRequest:
		hangUp(w)
	case DropReply:
		f.Next.ServeHTTP(&recorder{header: http.Header{}}, r)
		hangUp(w)
	case Truncate, HangBody:
		rec := &recorder{header: http.Header{}}
		f.Next.ServeHTTP(rec, r)
		w.Header().Set("Content-Length", strconv.Itoa(rec.body.Len())) // a promise that ends the connection when broken
		w.WriteHeader(rec.status)
		_, _ = w.Write(rec.body.Bytes()[:rec.body.Len()/2])
		if fault == HangBody {
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
	case Unavailable:
		w.Header().Set("Retry-After", "3600")
		html(http.StatusServiceUnavailable, "<h1>503 \x1b[31mService Unavailable</h1>")
	case RaftError:
		reply(w, http.StatusInternalServerError, 0, refusal{Code: 300, Message: "Raft Internal Error", Cause: "etcdserver: request timed out"})
	case Garbage:
		html(http.StatusOK, "<html>\x1b]0;it works\x07")
	case Empty:
		w.WriteHeader(http.StatusOK)
	case NoNode:
		html(http.StatusOK, `{"status":"ok"}`)
	case OtherKey:
		reply(w, http.StatusOK, 9, event{Action: "get", Node: &nodeJSON{Key: "/other", Dir: true, Modified: 9, Created: 9}})
	case NoV2:
		http.NotFound(w, r)
	case Redirect:
		http.Redirect(w, r, "http://192.0.2.1/steal", http.StatusTemporaryRedirect)
	case Hang:
		_ = r.ParseForm() // the server notices that a client has gone only once it has read the body
		<-r.Context().Done()
	case Proxy401:
		html(http.StatusUnauthorized, "<h1>401</h1>")
	case Proxy403:
		html(http.StatusForbidden, "<h1>403</h1>")
	}
}

// hangUp ends the connection of a request without a reply.
func hangUp(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = conn.Close()
	}
}

// recorder keeps a reply.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }
