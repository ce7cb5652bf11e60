package poolingtest

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// Etcd is a key space with the v2 API of etcd 3.4. The zero Etcd is empty and ready. It is safe for concurrent use.
type Etcd struct {
	User     string // demanded by HTTP basic auth; empty is open to all
	Password string
	ReadOnly bool // refuse writes as a read-only replica does: 403, errorCode 107

	mu       sync.Mutex
	root     *entry
	index    uint64
	history  []event // the last maxHistory, of consecutive indexes
	watchers map[*watcher]bool
	ahead    time.Duration // of the machine's clock
}

// maxHistory is how many events etcd 3.4 keeps (measured: after 1010 writes the oldest but 999 are cleared).
const maxHistory = 1000

// entry is a key or a directory.
type entry struct {
	path     string
	value    string
	children map[string]*entry // nil: a key
	parent   *entry
	created  uint64
	modified uint64
	expires  time.Time // zero: never
}

func (e *entry) dir() bool { return e.children != nil }

// nodeJSON is an entry as the API shows it. The order of the fields is etcd's.
type nodeJSON struct {
	Key        string      `json:"key,omitempty"`
	Value      *string     `json:"value,omitempty"`
	Dir        bool        `json:"dir,omitempty"`
	Expiration *time.Time  `json:"expiration,omitempty"`
	TTL        int64       `json:"ttl,omitempty"`
	Nodes      []*nodeJSON `json:"nodes,omitempty"`
	Modified   uint64      `json:"modifiedIndex,omitempty"`
	Created    uint64      `json:"createdIndex,omitempty"`
}

type event struct {
	Action   string    `json:"action"`
	Node     *nodeJSON `json:"node,omitempty"`
	PrevNode *nodeJSON `json:"prevNode,omitempty"`
	refresh  bool      // etcd tells no watcher of a refresh
}

// refusal is an error of the API.
type refusal struct {
	Code    int    `json:"errorCode"`
	Message string `json:"message"`
	Cause   string `json:"cause"`
	Index   uint64 `json:"index"`
}

func (s *Etcd) refuse(code int, cause string) *refusal {
	return &refusal{Code: code, Message: messages[code], Cause: cause, Index: s.index}
}

// lock takes the lock and does what time has brought. The caller must unlock.
func (s *Etcd) lock() {
	s.mu.Lock()
	if s.root == nil {
		s.root = &entry{path: "/", children: map[string]*entry{}}
		s.watchers = map[*watcher]bool{}
		s.index = 3 // etcd 3.4 has written about itself by then (measured)
	}
	s.expire()
}

func (s *Etcd) now() time.Time { return time.Now().Add(s.ahead) }

// Advance moves the store's clock forward. Keys whose time has come are gone when it returns.
func (s *Etcd) Advance(d time.Duration) {
	s.lock()
	defer s.mu.Unlock()
	s.ahead += d
	s.expire()
}

// Put sets a key, whatever its value was. It fails if a directory is there, or a key where a directory must be.
func (s *Etcd) Put(key, value string) error {
	s.lock()
	defer s.mu.Unlock()
	if _, no := s.set(query{path: clean(key), value: value}); no != nil {
		return fmt.Errorf("cannot put %s: %s: %s", key, no.Message, no.Cause)
	}
	return nil
}

// Get returns the value of a key and its modifiedIndex; false if there is no such key.
func (s *Etcd) Get(key string) (value string, index uint64, ok bool) {
	s.lock()
	defer s.mu.Unlock()
	e, no := s.find(clean(key))
	if no != nil || e.dir() {
		return "", 0, false
	}
	return e.value, e.modified, true
}

// Delete removes a key or a directory with all in it; false if there was none.
func (s *Etcd) Delete(key string) bool {
	s.lock()
	defer s.mu.Unlock()
	_, no := s.delete(query{path: clean(key), recursive: true})
	return no == nil
}

// Values returns the values of all keys under a directory, by key.
func (s *Etcd) Values(dir string) map[string]string {
	s.lock()
	defer s.mu.Unlock()
	values := map[string]string{}
	var walk func(e *entry)
	walk = func(e *entry) {
		if !e.dir() {
			values[e.path] = e.value
		}
		for _, child := range e.children {
			walk(child)
		}
	}
	if e, no := s.find(clean(dir)); no == nil {
		walk(e)
	}
	return values
}

func clean(key string) string { return path.Join("/", key) }

func parts(p string) []string {
	return strings.FieldsFunc(p, func(r rune) bool { return r == '/' })
}

// find returns the entry at a path. A missing one is named by its first part that is missing.
func (s *Etcd) find(p string) (*entry, *refusal) {
	e := s.root
	for _, name := range parts(p) {
		if !e.dir() {
			return nil, s.refuse(notDir, e.path)
		}
		child, ok := e.children[name]
		if !ok {
			return nil, s.refuse(notFound, path.Join(e.path, name))
		}
		e = child
	}
	return e, nil
}

// make creates what is missing of a directory, at the index that the write it is for will have.
func (s *Etcd) make(p string) (*entry, *refusal) {
	e := s.root
	for _, name := range parts(p) {
		child, ok := e.children[name]
		if !ok {
			child = &entry{path: path.Join(e.path, name), children: map[string]*entry{}, parent: e, created: s.index + 1, modified: s.index + 1}
			e.children[name] = child
		}
		if !child.dir() {
			return nil, s.refuse(notDir, child.path)
		}
		e = child
	}
	return e, nil
}

// show returns an entry as the API shows it, with as many levels of what is in it.
func (s *Etcd) show(e *entry, levels int) *nodeJSON {
	n := &nodeJSON{Key: e.path, Dir: e.dir(), Modified: e.modified, Created: e.created}
	if e == s.root {
		n.Key = ""
	}
	if !e.expires.IsZero() {
		at := e.expires.UTC()
		left := at.Sub(s.now())
		n.Expiration = &at
		n.TTL = max(0, int64((left+time.Second-1)/time.Second)) // etcd is never a second late to expire a key
	}
	if !e.dir() {
		value := e.value
		n.Value = &value
		return n
	}
	for name, child := range e.children {
		if levels > 0 && !strings.HasPrefix(name, "_") { // hidden
			n.Nodes = append(n.Nodes, s.show(child, levels-1))
		}
	}
	slices.SortFunc(n.Nodes, func(a, b *nodeJSON) int { return strings.Compare(a.Key, b.Key) })
	return n
}

func (s *Etcd) get(q query) (event, *refusal) {
	e, no := s.find(q.path)
	if no != nil {
		return event{}, no
	}
	levels := 1
	if q.recursive {
		levels = 1 << 20
	}
	return event{Action: "get", Node: s.show(e, levels)}, nil
}

// put is PUT. Which of its four meanings a request has is what etcd makes of its conditions; that an index of 0 is none
// at all is etcd's too.
func (s *Etcd) put(q query) (event, *refusal) {
	compare := q.prevIndex > 0 || q.prevValue != ""
	switch {
	case q.prevExist != nil && !*q.prevExist:
		return s.create(q)
	case compare:
		return s.swap(q)
	case q.prevExist != nil:
		return s.update(q)
	default:
		return s.set(q)
	}
}

func (s *Etcd) post(q query) (event, *refusal) {
	q.path = path.Join(q.path, fmt.Sprintf("%020d", s.index+1))
	return s.create(q)
}

func (s *Etcd) create(q query) (event, *refusal) {
	q.refresh = false
	return s.place(q, "create", nil)
}

func (s *Etcd) set(q query) (event, *refusal) {
	e, no := s.find(q.path)
	if no != nil && (no.Code != notFound || q.refresh) {
		return event{}, no
	}
	if q.refresh {
		q.value = e.value
	}
	return s.place(q, "set", e)
}

// place puts a new entry at a path, in the place of old if that is not nil.
func (s *Etcd) place(q query, action string, old *entry) (event, *refusal) {
	if q.path == "/" {
		return event{}, s.refuse(rootReadOnly, "/")
	}
	dir, no := s.make(path.Dir(q.path))
	if no != nil {
		return event{}, no
	}
	name := path.Base(q.path)
	if there := dir.children[name]; there != nil && old == nil {
		return event{}, s.refuse(exists, q.path)
	} else if there != nil && there.dir() {
		return event{}, s.refuse(notFile, q.path)
	}
	ev := event{Action: action, refresh: q.refresh}
	if old != nil {
		ev.PrevNode = s.show(old, 0)
	}
	s.index++
	e := &entry{path: q.path, value: q.value, parent: dir, created: s.index, modified: s.index, expires: q.expires}
	if q.dir {
		e.value, e.children = "", map[string]*entry{}
	}
	dir.children[name] = e
	ev.Node = s.show(e, 0)
	s.notify(ev, nil)
	return ev, nil
}

// update is PUT with prevExist=true and nothing to compare.
func (s *Etcd) update(q query) (event, *refusal) {
	if q.path == "/" {
		return event{}, s.refuse(rootReadOnly, "/")
	}
	e, no := s.find(q.path)
	switch {
	case no != nil:
		return event{}, no
	case e.dir() && q.value != "":
		return event{}, s.refuse(notFile, q.path)
	}
	return s.change(q, "update", e), nil
}

// swap is PUT with something to compare.
func (s *Etcd) swap(q query) (event, *refusal) {
	if q.path == "/" {
		return event{}, s.refuse(rootReadOnly, "/")
	}
	e, no := s.compare(q)
	if no != nil {
		return event{}, no
	}
	return s.change(q, "compareAndSwap", e), nil
}

// change writes an entry in its place.
func (s *Etcd) change(q query, action string, e *entry) event {
	ev := event{Action: action, PrevNode: s.show(e, 0), refresh: q.refresh}
	s.index++
	e.expires = q.expires
	modified := e.modified
	if !e.dir() { // a directory's own modifiedIndex stays, though the event has a new one
		modified = s.index
		if !q.refresh {
			e.value = q.value
		}
	}
	e.modified = s.index
	ev.Node = s.show(e, 0)
	e.modified = modified
	s.notify(ev, nil)
	return ev
}

// compare returns the key at q's path if it is what q says it must be.
func (s *Etcd) compare(q query) (*entry, *refusal) {
	e, no := s.find(q.path)
	switch {
	case no != nil:
		return nil, no
	case e.dir():
		return nil, s.refuse(notFile, q.path)
	}
	value := q.prevValue == "" || q.prevValue == e.value
	index := q.prevIndex == 0 || q.prevIndex == e.modified
	values, indexes := fmt.Sprintf("[%s != %s]", q.prevValue, e.value), fmt.Sprintf("[%d != %d]", q.prevIndex, e.modified)
	switch {
	case value && index:
		return e, nil
	case value:
		return nil, s.refuse(compareFailed, indexes)
	case index:
		return nil, s.refuse(compareFailed, values)
	default:
		return nil, s.refuse(compareFailed, values+" "+indexes)
	}
}

func (s *Etcd) delete(q query) (event, *refusal) {
	if q.prevIndex > 0 || q.prevValue != "" {
		e, no := s.compare(q)
		if no != nil {
			return event{}, no
		}
		return s.remove(e, "compareAndDelete"), nil
	}
	if q.path == "/" {
		return event{}, s.refuse(rootReadOnly, "/")
	}
	e, no := s.find(q.path)
	switch {
	case no != nil:
		return event{}, no
	case e.dir() && !q.dir && !q.recursive:
		return event{}, s.refuse(notFile, q.path)
	case len(e.children) > 0 && !q.recursive:
		return event{}, s.refuse(dirNotEmpty, q.path)
	}
	return s.remove(e, "delete"), nil
}

// remove takes out an entry with all in it.
func (s *Etcd) remove(e *entry, action string) event {
	s.index++
	ev := event{Action: action, PrevNode: s.show(e, 0)}
	ev.Node = &nodeJSON{Key: e.path, Dir: e.dir(), Modified: s.index, Created: e.created}
	delete(e.parent.children, path.Base(e.path))
	removed := map[string]bool{}
	var walk func(e *entry)
	walk = func(e *entry) {
		removed[e.path] = true
		for _, child := range e.children {
			walk(child)
		}
	}
	walk(e)
	s.notify(ev, removed)
	return ev
}

// expire removes what has lived its time, the earliest first. etcd does it twice a second; here it is
// done before each request, so that no test waits.
func (s *Etcd) expire() {
	for {
		var first *entry
		var walk func(e *entry)
		walk = func(e *entry) {
			if !e.expires.IsZero() && !e.expires.After(s.now()) && (first == nil || e.expires.Before(first.expires)) {
				first = e
			}
			for _, child := range e.children {
				walk(child)
			}
		}
		walk(s.root)
		if first == nil {
			return
		}
		s.remove(first, "expire")
	}
}
