package ssh

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/fleetsync/fleetsync/transport"
)

const (
	// What the zeros of Config mean.
	defaultConnections = 1000
	defaultHandshakes  = 32
	defaultIdle        = time.Minute
	// probedIdle is how long a probed connection waits for its first command: less than a common LoginGraceTime (sshd_config(5)),
	// after which sshd logs an error and counts it against this machine (PerSourcePenalties, 9.8).
	probedIdle = 20 * time.Second
	// maxSessions is MaxSessions of sshd_config(5): how many commands run on one connection at once.
	maxSessions = 10
	// maxRefused is how often a host may refuse the only session until it is believed that it opens none.
	maxRefused = 6
	// maxJumping is how many connections are made through one jump host at once: below the 10 of
	// MaxStartups (sshd_config(5)), beyond which sshd starts to refuse, should all be for one host.
	maxJumping = 8
)

// links are the native connections of a Dialer: one for the commands of each host, and one for each jump host.
// A jump host's is not counted: it could wait for the connections through it to end, and they for it to begin.
type links struct {
	known      knownHosts
	identities identities

	connections, handshakes int
	idleTime                time.Duration

	mu          sync.Mutex
	links       map[string]*link
	open        int             // connections that count
	probing     int             // of these, those of probes
	idle        []*link         // that nobody uses, for the longest time first
	waiting     []chan struct{} // who wants to open one more
	handshaking chan struct{}   // a token for each handshake under way
	background  sync.WaitGroup  // what is done for links besides Run
}

// set takes the limits from c. It is called before anything else.
func (p *links) set(c Config) {
	pick := func(v, otherwise int) int {
		if v <= 0 {
			return otherwise
		}
		return v
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.links != nil {
		return
	}
	p.links = map[string]*link{}
	p.connections, p.handshakes = pick(c.MaxConnections, defaultConnections), pick(c.MaxHandshakes, defaultHandshakes)
	p.idleTime = c.Idle
	if p.idleTime <= 0 {
		p.idleTime = defaultIdle
	}
	p.handshaking = make(chan struct{}, p.handshakes)
}

// use returns the connection by a route, which it opens if there is none. The caller gives it back.
// The error is an *Error.
func (p *links) use(ctx context.Context, r *route, jump bool) (*link, error) {
	key := r.key
	if jump {
		key += "\x00jump"
	}
	p.mu.Lock()
	l := p.links[key]
	if l == nil {
		l = p.begin(ctx, &link{key: key, route: r, jump: jump})
	}
	if !l.wanted {
		l.wanted = true
		close(l.want)
	}
	l.users++
	p.unsetIdle(l)
	p.mu.Unlock()

	select {
	case <-l.up:
	case <-ctx.Done():
		p.giveBack(l)
		return nil, transport.Stopped(ctx)
	}
	if l.err != nil {
		p.giveBack(l)
		return nil, l.err
	}
	return l, nil
}

// begin starts the goroutine of l, which becomes its pool's. The lock is held.
func (p *links) begin(ctx context.Context, l *link) *link {
	// It outlives who wanted it first: others may wait for it.
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.pool, l.stop = p, stop
	l.want, l.up, l.down = make(chan struct{}), make(chan struct{}), make(chan struct{})
	l.sessions, l.limit, l.jumping = make(chan struct{}, maxSessions), maxSessions, make(chan struct{}, maxJumping)
	for range maxSessions {
		l.sessions <- struct{}{}
	}
	p.links[l.key] = l
	p.background.Go(func() { l.live(ctx) })
	return l
}

// adopt makes the connection w of a probe the link of a route, with its slot, for the first command. It does not if the route has
// a link, or if half of all slots are taken: other probes need some. It came through via, which is given back by release.
func (p *links) adopt(ctx context.Context, r *route, w *wire, via *link, release func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.links[r.key] != nil || p.open-p.probing >= (p.connections+1)/2 {
		return false
	}
	p.probing--
	p.setIdle(p.begin(ctx, &link{key: r.key, route: r, wire: w, via: via, release: release}))
	return true
}

// isUp tells whether there is a connection by a route.
func (p *links) isUp(r *route) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.links[r.key]
	if l == nil {
		return false
	}
	select {
	case <-l.up:
		return l.err == nil
	default:
		return false
	}
}

// giveBack ends a use.
func (p *links) giveBack(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.users--
	if l.users > 0 || p.links[l.key] != l {
		return
	}
	select {
	case <-l.up:
	default:
		p.end(l) // nobody waits for it any more
		return
	}
	if len(p.waiting) > 0 && !l.jump {
		p.end(l)
		return
	}
	p.setIdle(l)
}

// setIdle counts l among the idle ones, for a while. The lock is held.
func (p *links) setIdle(l *link) {
	p.idle = append(p.idle, l)
	after := p.idleTime
	if !l.wanted {
		after = min(after, probedIdle)
	}
	l.timer = time.AfterFunc(after, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if slices.Contains(p.idle, l) {
			p.end(l)
		}
	})
}

// unsetIdle takes l from the idle ones. The lock is held.
func (p *links) unsetIdle(l *link) {
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
	if i := slices.Index(p.idle, l); i >= 0 {
		p.idle = slices.Delete(p.idle, i, i+1)
	}
}

// end makes l end and be forgotten. The lock is held.
func (p *links) end(l *link) {
	p.unsetIdle(l)
	if p.links[l.key] == l {
		delete(p.links, l.key)
	}
	l.stop()
}

// takeSlot waits until one more connection may be open. An idle one is ended to make room for it, but not for a probe while
// others are under way, which end soon.
func (p *links) takeSlot(ctx context.Context, probes bool) error {
	p.mu.Lock()
	if p.open < p.connections {
		p.open++
		p.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	p.waiting = append(p.waiting, turn)
	if !probes || p.probing == 0 {
		if l := p.leastMissed(); l != nil {
			p.end(l)
		}
	}
	p.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	i := slices.Index(p.waiting, turn)
	if i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
	}
	p.mu.Unlock()
	if i < 0 {
		p.leaveSlot() // it was our turn
	}
	return context.Cause(ctx)
}

// leastMissed returns the idle connection to end first, or nil: the one that was used the longest time ago; if none was used
// yet, the one probed last, since hosts are probed in the order in which they are wanted. The lock is held.
func (p *links) leastMissed() (found *link) {
	for _, l := range p.idle {
		switch {
		case l.jump:
		case l.wanted:
			return l
		default:
			found = l
		}
	}
	return found
}

// takeProbeSlot is takeSlot for a probe; done is its leaveSlot.
func (p *links) takeProbeSlot(ctx context.Context) (done func(), err error) {
	if err := p.takeSlot(ctx, true); err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.probing++
	p.mu.Unlock()
	return func() {
		p.mu.Lock()
		p.probing--
		p.mu.Unlock()
		p.leaveSlot()
	}, nil
}

// leaveSlot lets one more connection be opened.
func (p *links) leaveSlot() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) > 0 {
		close(p.waiting[0])
		p.waiting = p.waiting[1:]
		return
	}
	p.open--
}

// close ends all connections and waits until nothing is left of them.
func (p *links) close() {
	p.mu.Lock()
	for _, l := range p.links {
		p.end(l)
	}
	p.mu.Unlock()
	p.background.Wait()
}
