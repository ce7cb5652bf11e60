package chaos

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/pooling/poolingtest"
)

// operation is what a run does in etcd, as can be told from the request.
type operation string

// The operations, in the order in which a run does them.
const (
	opProbe        operation = "probe write"
	opHolder       operation = "lock read"
	opAcquire      operation = "lock acquire"
	opReceipts     operation = "receipts read"
	opPools        operation = "pools read"
	opInventory    operation = "inventory record" // which other masters are warned by
	opRecord       operation = "run record write"
	opWatch        operation = "watch"
	opObserve      operation = "observe"
	opReceiptWrite operation = "receipt write"
	opRoom         operation = "capacity read"
	opDepool       operation = "depool write"
	opCapacity     operation = "capacity re-read"
	opRefresh      operation = "lease refresh"
	opRestoreRead  operation = "restore read"
	opRestore      operation = "restore write"
	opReceiptDrop  operation = "receipt drop"
	opRecordDrop   operation = "run record drop"
	opRelease      operation = "lock release"
	opRecords      operation = "run records read" // by recover
	opOther        operation = "other"
)

// ask is a request on its way to etcd.
type ask struct {
	n  int // the how manieth since the last reset, from 1
	op operation
}

// do is what becomes of it.
type do struct {
	fault  poolingtest.Fault
	status int    // if not 0: it is refused with this status and code
	code   int    // etcd's errorCode
	before func() // called before it has any effect
	after  func() // called after its effect; then the connection ends without a reply
}

// front stands before etcd and can spoil requests. It keeps a log of all of them.
type front struct {
	URL  string
	etcd *etcd

	faults poolingtest.Faults

	mu       sync.Mutex
	plan     func(ask) do
	log      []string
	n        int
	recorded bool            // the record of a run has been written
	depooled bool            // an object has been taken out
	receipts map[string]bool // that have been written
}

func newFront(t *testing.T, e *etcd) *front {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &front{URL: "http://" + l.Addr().String(), etcd: e}
	f.reset(nil)
	f.faults.Next = &httputil.ReverseProxy{
		FlushInterval: -1, // etcd sends the headers of a watch at once
		ErrorLog:      log.New(io.Discard, "", 0),
		Transport:     &http.Transport{MaxIdleConnsPerHost: 8},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) {
			panic(http.ErrAbortHandler) // an etcd that is away says nothing
		},
		Rewrite: func(r *httputil.ProxyRequest) {
			if u, err := url.Parse(e.address()); err == nil {
				r.SetURL(u)
			}
		},
	}
	f.faults.Plan(func(r *http.Request) poolingtest.Fault {
		fault, _ := r.Context().Value(faultKey{}).(poolingtest.Fault)
		return fault
	})
	server := &http.Server{Handler: f, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l) // ends with ErrServerClosed
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return f
}

type faultKey struct{}

// reset forgets what was asked, and sets what becomes of requests; nil spoils none.
func (f *front) reset(plan func(ask) do) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.plan, f.log, f.n, f.recorded, f.depooled, f.receipts = plan, nil, 0, false, false, map[string]bool{}
}

// heal spoils no more requests.
func (f *front) heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.plan = nil
}

// said returns the log.
func (f *front) said() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.log...)
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	form, _ := url.ParseQuery(string(body)) // what is none means nothing
	a, d, line := f.take(r, form)
	if d.before != nil {
		d.before()
	}
	began := time.Now()
	status := &statusWriter{ResponseWriter: w}
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.log = append(f.log, fmt.Sprintf("%s %4d %-17s %s -> %d %s%s", began.Format("05.000"), a.n, a.op, line, status.status, d.fault,
			time.Since(began).Round(time.Millisecond)))
	}()
	switch {
	case d.status != 0:
		status.Header().Set("Content-Type", "application/json")
		status.WriteHeader(d.status)
		_, _ = fmt.Fprintf(status, `{"errorCode":%d,"message":"refused","cause":"","index":0}`, d.code)
	case d.after != nil:
		f.faults.Next.ServeHTTP(&discard{header: http.Header{}}, r)
		d.after()
		panic(http.ErrAbortHandler)
	default:
		f.faults.ServeHTTP(status, r.WithContext(context.WithValue(r.Context(), faultKey{}, d.fault)))
	}
}

// take counts a request and says what becomes of it.
func (f *front) take(r *http.Request, form url.Values) (ask, do, string) {
	f.mu.Lock()
	f.n++
	a := ask{n: f.n, op: f.operation(r, form)}
	plan := f.plan
	f.mu.Unlock()
	line := r.Method + " " + strings.TrimPrefix(r.URL.Path, "/v2/keys")
	for _, name := range []string{"wait", "waitIndex", "prevExist", "prevIndex", "prevValue", "refresh", "ttl", "value"} {
		if value := form.Get(name) + r.URL.Query().Get(name); value != "" {
			line += " " + name + "=" + value[:min(len(value), 60)]
		}
	}
	if plan == nil {
		return a, do{}, line
	}
	return a, plan(a), line
}

func (f *front) operation(r *http.Request, form url.Values) operation {
	path := strings.TrimPrefix(r.URL.Path, "/v2/keys")
	get := r.Method == http.MethodGet
	if name, ok := strings.CutPrefix(path, sharedPrefix+"/"); ok {
		switch {
		case strings.HasPrefix(name, "probe-"):
			return opProbe
		case name == "lock" && get:
			return opHolder
		case name == "lock" && r.Method == http.MethodDelete:
			return opRelease
		case name == "lock" && form.Get("refresh") != "":
			return opRefresh
		case name == "lock":
			return opAcquire
		case name == "receipts":
			return opReceipts
		case name == "runs":
			return opRecords
		case strings.HasPrefix(name, "inventory"):
			return opInventory
		case strings.HasPrefix(name, "receipts/") && r.Method == http.MethodPut:
			f.receipts[name] = true
			return opReceiptWrite
		case strings.HasPrefix(name, "receipts/") && get && !f.receipts[name]:
			return opReceiptWrite
		case strings.HasPrefix(name, "receipts/"):
			return opReceiptDrop
		case strings.HasPrefix(name, "runs/") && r.Method == http.MethodPut:
			f.recorded = true
			return opRecord
		case strings.HasPrefix(name, "runs/") && get && !f.recorded:
			return opRecord
		case strings.HasPrefix(name, "runs/"):
			return opRecordDrop
		}
		return opOther
	}
	below, ok := strings.CutPrefix(path, poolsPrefix)
	switch {
	case !ok:
		return opOther
	case r.URL.Query().Get("wait") != "":
		return opWatch
	case below == "" && f.recorded:
		return opObserve
	case below == "":
		return opPools
	case get && strings.Count(below, "/") == 3 && f.depooled:
		return opCapacity
	case get && strings.Count(below, "/") == 3:
		return opRoom
	case get:
		return opRestoreRead
	case strings.Contains(form.Get("value"), `"fleetsync"`):
		f.depooled = true
		return opDepool
	default:
		return opRestore
	}
}

// statusWriter remembers the status of a reply. Unwrap is for http.ResponseController.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (s *statusWriter) WriteHeader(status int) {
	s.status = status
	s.ResponseWriter.WriteHeader(status)
}

func (s *statusWriter) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// discard takes a reply that nobody gets.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
