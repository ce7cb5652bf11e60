package orchestrator_test

import (
	"bytes"
	"maps"
	"net/http"
	"strings"
	"sync"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// killer counts the effects of one process: what it makes durable, in its journal or in the store. At
// one of them it kills the process: nothing that it does afterwards has any effect.
type killer struct {
	dieAt int // from 1; 0: it lives
	how   manner

	mu    sync.Mutex
	kinds []string // of its effects
	dead  bool
	die   func() // set before the first effect
	late  func() // the effect that is had too late, if there is one
}

// manner is when exactly a process dies.
type manner string

const (
	justBefore manner = "before" // the effect
	justAfter  manner = "after"  // it, without knowing that it was had
	amid       manner = "amid"   // it: half of what was to be appended is durable
	justLate   manner = "late"   // it, which is had all the same when the next process has ended
)

func (m *killer) effect(kind string, do func(amid bool)) (alive bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return false
	}
	m.kinds = append(m.kinds, kind)
	if len(m.kinds) != m.dieAt {
		do(false)
		return true
	}
	switch m.how {
	case justBefore:
	case justAfter, amid:
		do(m.how == amid)
	case justLate:
		// Of all that may come late, only the write of a pool object would matter: a receipt that nothing
		// belongs to is found by the next run, which names recover.
		if writesPool(kind) {
			m.late = func() { do(false) }
		}
	}
	m.dead = true
	m.die()
	return false
}

// writesPool says whether an effect is a write of a pool object, and not of a receipt or of the lock.
func writesPool(kind string) bool {
	name, put := strings.CutPrefix(kind, "PUT ")
	return put && name != "lock" && !strings.Contains(name, ",")
}

func (m *killer) gone() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dead
}

// dyingJournal is the run's journal as a process has it.
type dyingJournal struct {
	*dyingRun
	killer *killer
}

func (j *dyingJournal) Append(events []rollout.Event) error {
	if !j.killer.effect("append", func(amid bool) {
		if amid {
			events = events[:len(events)/2]
		}
		j.journal = append(j.journal, events...)
	}) {
		return errDied
	}
	return nil
}

// untilDeath passes on what a process asks for while it lives. What it asks for afterwards is never answered.
type untilDeath struct {
	killer  *killer
	next    http.Handler
	disturb func(effects int) // called before each effect
}

func (g *untilDeath) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm() // the server notices that a client has gone only once it has read the body
	if r.Method == http.MethodGet {
		if !g.killer.gone() {
			g.next.ServeHTTP(w, r)
			return
		}
	} else {
		kind := r.Method + " " + r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
		answer := &reply{header: http.Header{}}
		if g.killer.effect(kind, func(bool) {
			if g.disturb != nil {
				g.disturb(len(g.killer.kinds))
			}
			g.next.ServeHTTP(answer, r)
		}) {
			answer.send(w)
			return
		}
	}
	<-r.Context().Done()
}

// reply keeps an answer until it is sent: one to a process that dies with it is never read.
type reply struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *reply) Header() http.Header         { return r.header }
func (r *reply) WriteHeader(status int)      { r.status = status }
func (r *reply) Write(b []byte) (int, error) { return r.body.Write(b) }

func (r *reply) send(w http.ResponseWriter) {
	maps.Copy(w.Header(), r.header)
	w.WriteHeader(r.status)
	_, _ = w.Write(r.body.Bytes())
}
