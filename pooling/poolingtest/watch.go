package poolingtest

import (
	"fmt"
	"strings"
)

// watcher waits for one event.
type watcher struct {
	path      string
	recursive bool
	since     uint64
	got       chan event // of one; sent to at most once
}

// watch registers a watcher, unless what it waits for has happened already: then it holds the event.
// The caller must call forget.
func (s *Etcd) watch(q query) (*watcher, *refusal) {
	w := &watcher{path: q.path, recursive: q.recursive, since: q.waitIndex, got: make(chan event, 1)}
	if w.since == 0 {
		w.since = s.index + 1
	}
	if len(s.history) > 0 && w.since < s.history[0].Node.Modified {
		return nil, s.refuse(indexCleared, fmt.Sprintf("the requested history has been cleared [%d/%d]", s.history[0].Node.Modified, w.since))
	}
	for _, ev := range s.history {
		if ev.Node.Modified >= w.since && !ev.refresh && w.past(ev) {
			w.got <- ev
			return w, nil
		}
	}
	s.watchers[w] = true
	return w, nil
}

func (s *Etcd) forget(w *watcher) {
	s.lock()
	defer s.mu.Unlock()
	delete(s.watchers, w)
}

// notify records an event and tells those who wait for it. removed holds every path that it removed.
func (s *Etcd) notify(ev event, removed map[string]bool) {
	s.history = append(s.history, ev)
	if extra := len(s.history) - maxHistory; extra > 0 {
		s.history = s.history[extra:]
	}
	if ev.refresh {
		return
	}
	for w := range s.watchers {
		if ev.Node.Modified >= w.since && (removed[w.path] || w.live(ev)) {
			w.got <- ev
			delete(s.watchers, w)
		}
	}
}

// live reports whether a watcher is told of an event that happens. It is not of one in a hidden directory.
func (w *watcher) live(ev event) bool {
	key := ev.Node.Key
	return key == w.path || w.recursive && below(w.path, key) && !strings.Contains("/"+strings.TrimPrefix(key, w.path), "/_")
}

// past reports whether a watcher is told of an event that has happened. etcd judges these otherwise: hidden
// keys are told, and the removal of a directory is told to whoever watches a path that begins like it.
func (w *watcher) past(ev event) bool {
	key := ev.Node.Key
	gone := (ev.Action == "delete" || ev.Action == "expire") && ev.PrevNode.Dir
	return key == w.path || w.recursive && below(w.path, key) || gone && strings.HasPrefix(w.path, key)
}

func below(dir, key string) bool {
	return dir == "/" || strings.HasPrefix(key, dir+"/")
}
