package poolingtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"
)

// The error codes of etcd's Documentation/v2/errorcode.md that can occur here.
const (
	notFound        = 100
	compareFailed   = 101
	notFile         = 102
	notDir          = 104
	exists          = 105
	rootReadOnly    = 107
	dirNotEmpty     = 108
	unauthorized    = 110
	prevValueEmpty  = 201
	ttlNaN          = 202
	indexNaN        = 203
	invalidField    = 209
	invalidForm     = 210
	refreshValue    = 211
	refreshNoTTL    = 212
	indexCleared    = 401
	statusOfOthers  = http.StatusBadRequest
	watchTimeout    = 5 * time.Minute // etcd's; then the reply ends without an event
	expiryOfWatched = 100 * time.Millisecond
)

// messages are etcd's, by error code (measured).
var messages = map[int]string{
	notFound:       "Key not found",
	compareFailed:  "Compare failed",
	notFile:        "Not a file",
	notDir:         "Not a directory",
	exists:         "Key already exists",
	rootReadOnly:   "Root is read only",
	dirNotEmpty:    "Directory not empty",
	unauthorized:   "The request requires user authentication",
	prevValueEmpty: "PrevValue is Required in POST form",
	ttlNaN:         "The given TTL in POST form is not a number",
	indexNaN:       "The given index in POST form is not a number",
	invalidField:   "Invalid field",
	invalidForm:    "Invalid POST form",
	refreshValue:   "Value provided on refresh",
	refreshNoTTL:   "A TTL must be provided on refresh",
	indexCleared:   "The event in requested index is outdated and cleared",
}

var statuses = map[int]int{
	notFound:      http.StatusNotFound,
	compareFailed: http.StatusPreconditionFailed,
	exists:        http.StatusPreconditionFailed,
	notFile:       http.StatusForbidden,
	dirNotEmpty:   http.StatusForbidden,
	unauthorized:  http.StatusUnauthorized,
}

const keys = "/v2/keys"

// query is a request.
type query struct {
	path      string
	value     string
	dir       bool
	recursive bool
	wait      bool
	waitIndex uint64
	prevExist *bool
	prevIndex uint64
	prevValue string
	refresh   bool
	expires   time.Time
	silent    bool // noValueOnSuccess
}

// ServeHTTP answers requests for /v2/keys.
func (s *Etcd) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != keys && !strings.HasPrefix(r.URL.Path, keys+"/") {
		http.NotFound(w, r)
		return
	}
	if want := path.Clean(r.URL.Path); want != strings.TrimSuffix(r.URL.Path, "/") {
		http.Redirect(w, r, (&url.URL{Path: want, RawQuery: r.URL.RawQuery}).String(), http.StatusMovedPermanently)
		return
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPut, http.MethodPost, http.MethodDelete:
	default:
		w.Header().Set("Allow", "HEAD,GET,PUT,POST,DELETE")
		http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
		return
	}
	s.lock()
	q, no := s.parse(r)
	if no == nil {
		no = s.admit(r)
	}
	var ev event
	if no == nil {
		switch r.Method {
		case http.MethodPut:
			ev, no = s.put(q)
		case http.MethodPost:
			ev, no = s.post(q)
		case http.MethodDelete:
			ev, no = s.delete(q)
		default:
			if q.wait {
				s.serveWatch(w, r, q) // unlocks
				return
			}
			ev, no = s.get(q)
		}
	}
	index := s.index
	s.mu.Unlock()
	if no != nil {
		reply(w, statusOf(no, s.ReadOnly), no.Index, no)
		return
	}
	status := http.StatusOK
	if ev.Action == "create" || ev.Action == "set" && ev.PrevNode == nil {
		status = http.StatusCreated
	}
	if q.silent && r.Method != http.MethodGet && r.Method != http.MethodDelete {
		ev.Node, ev.PrevNode = nil, nil
	}
	reply(w, status, index, ev)
}

func statusOf(no *refusal, replica bool) int {
	if no.Code == rootReadOnly && replica {
		return http.StatusForbidden
	}
	if status, ok := statuses[no.Code]; ok {
		return status
	}
	return statusOfOthers
}

func reply(w http.ResponseWriter, status int, index uint64, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Etcd-Index", strconv.FormatUint(index, 10))
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client has gone; nobody is left to tell
}

// admit applies credentials and read-only mode.
func (s *Etcd) admit(r *http.Request) *refusal {
	if s.User != "" {
		if user, password, ok := r.BasicAuth(); !ok || user != s.User || password != s.Password {
			return &refusal{Code: unauthorized, Message: messages[unauthorized], Cause: "Insufficient credentials"}
		}
	}
	if s.ReadOnly && r.Method != http.MethodGet && r.Method != http.MethodHead {
		return s.refuse(rootReadOnly, "/")
	}
	return nil
}

// serveWatch answers a long poll. It is called with the lock held and gives it up.
func (s *Etcd) serveWatch(w http.ResponseWriter, r *http.Request, q query) {
	watcher, no := s.watch(q)
	index := s.index
	s.mu.Unlock()
	if no != nil {
		reply(w, statusOf(no, false), no.Index, no)
		return
	}
	defer s.forget(watcher)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Etcd-Index", strconv.FormatUint(index, 10))
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush() // etcd sends the headers before it waits
	timeout := time.NewTimer(watchTimeout)
	defer timeout.Stop()
	expiry := time.NewTicker(expiryOfWatched)
	defer expiry.Stop()
	for {
		select {
		case ev := <-watcher.got:
			_ = json.NewEncoder(w).Encode(ev)
			return
		case <-expiry.C: // without requests nobody else looks at the clock
			s.Advance(0)
		case <-timeout.C:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// parse reads a request as etcd does, which complains of the first mistake in this order.
func (s *Etcd) parse(r *http.Request) (q query, _ *refusal) {
	bad := func(code int, format string, args ...any) *refusal {
		return &refusal{Code: code, Message: messages[code], Cause: fmt.Sprintf(format, args...)}
	}
	if err := r.ParseForm(); err != nil {
		return q, bad(invalidForm, "%s", err)
	}
	q.path = clean(r.URL.Path[len(keys):])
	q.value = r.FormValue("value")
	q.prevValue = r.FormValue("prevValue")
	for name, into := range map[string]*uint64{"prevIndex": &q.prevIndex, "waitIndex": &q.waitIndex} {
		if r.Form.Has(name) {
			n, err := strconv.ParseUint(r.Form.Get(name), 10, 64)
			if err != nil {
				return q, bad(indexNaN, "invalid value for %q", name)
			}
			*into = n
		}
	}
	var ignored, quorum, prevExist bool
	for _, flag := range []struct {
		name string
		into *bool
	}{{"recursive", &q.recursive}, {"sorted", &ignored}, {"wait", &q.wait}, {"dir", &q.dir}, {"quorum", &quorum}, {"stream", &ignored}} {
		if r.Form.Has(flag.name) {
			b, err := strconv.ParseBool(r.Form.Get(flag.name))
			if err != nil {
				return q, bad(invalidField, "invalid value for %q", flag.name)
			}
			*flag.into = b
		}
	}
	if q.wait && r.Method != http.MethodGet {
		return q, bad(invalidField, `"wait" can only be used with GET requests`)
	}
	if r.Form.Has("prevValue") && q.prevValue == "" {
		return q, bad(prevValueEmpty, `"prevValue" cannot be empty`)
	}
	if r.Form.Has("noValueOnSuccess") {
		b, err := strconv.ParseBool(r.Form.Get("noValueOnSuccess"))
		if err != nil {
			return q, bad(invalidField, `invalid value for "noValueOnSuccess"`)
		}
		q.silent = b
	}
	ttl := r.FormValue("ttl")
	if ttl != "" {
		seconds, err := strconv.ParseUint(ttl, 10, 64)
		if err != nil {
			return q, bad(ttlNaN, `invalid value for "ttl"`)
		}
		q.expires = s.now().Add(time.Duration(seconds) * time.Second)
	}
	if r.Form.Has("prevExist") {
		b, err := strconv.ParseBool(r.Form.Get("prevExist"))
		if err != nil {
			return q, bad(invalidField, "invalid value for prevExist")
		}
		prevExist = b
		q.prevExist = &prevExist
	}
	if r.Form.Has("refresh") {
		b, err := strconv.ParseBool(r.Form.Get("refresh"))
		switch {
		case err != nil:
			return q, bad(invalidField, "invalid value for refresh")
		case b && q.value != "":
			return q, bad(refreshValue, "A value was provided on a refresh")
		case b && ttl == "":
			return q, bad(refreshNoTTL, "No TTL value set")
		}
		q.refresh = b
	}
	return q, nil
}
