package ssh

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/fleetsync/fleetsync/transport"
)

const (
	// defaultConnections and defaultHandshakes are what SSHConfig's zeros mean.
	defaultConnections = 1000
	defaultHandshakes  = 32
	defaultIdle        = time.Minute
	// keptIdle is how long a connection is kept that nobody has used yet: less than a LoginGraceTime of sshd_config(5) that is
	// common, after which sshd complains, and counts it against us (PerSourcePenalties, 9.8).
	keptIdle = 20 * time.Second
	// maxSessions is MaxSessions of sshd_config(5): how many commands run on one connection at once.
	maxSessions = 10
	// maxRefused is how often a host may refuse the only session until it is believed that it opens none.
	maxRefused = 6
	// maxJumped is how many connections are made through one jump host at once: below the 10 of
	// MaxStartups (sshd_config(5)), beyond which sshd starts to refuse, should all be for one host.
	maxJumped = 8
)

// links are the native connections of a Dialer: one per host, and apart from those one per jump host.
// A jump host's is not counted, or the connections through it could wait for it and it for them.
type links struct {
	known      knownHosts
	identities identities

	connections, handshakes int
	idleTime                time.Duration

	mu       sync.Mutex
	links    map[string]*link
	open     int             // connections that count
	asking   int             // of these, those that only ask whether a host is there
	idle     []*link         // that nobody uses, for the longest time first
	waiting  []chan struct{} // who wants to open one more
	shaking  chan struct{}   // a token for each handshake under way
	attended sync.WaitGroup  // what is done for links besides Run
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
	p.shaking = make(chan struct{}, p.handshakes)
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
	p.rouse(l)
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

// begin makes l live. The lock is held.
func (p *links) begin(ctx context.Context, l *link) *link {
	// Others may wait for it when ctx ends.
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.pool, l.stop = p, stop
	l.want, l.up, l.down = make(chan struct{}), make(chan struct{}), make(chan struct{})
	l.sessions, l.limit, l.jumped = make(chan struct{}, maxSessions), maxSessions, make(chan struct{}, maxJumped)
	for range maxSessions {
		l.sessions <- struct{}{}
	}
	p.links[l.key] = l
	p.attended.Go(func() { l.live(ctx) })
	return l
}

// keep takes w over as the connection by a route, to be made use of later, with its place among those that count, unless there
// is one, or those that are open leave little room to ask others. It came through via, which is given back by release.
func (p *links) keep(ctx context.Context, r *route, w *wire, via *link, release func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.links[r.key] != nil || p.open-p.asking >= (p.connections+1)/2 {
		return false
	}
	p.asking--
	p.rest(p.begin(ctx, &link{key: r.key, route: r, wire: w, via: via, release: release}))
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
		p.shut(l) // nobody waits for it any more
		return
	}
	if len(p.waiting) > 0 && !l.jump {
		p.shut(l)
		return
	}
	p.rest(l)
}

// rest counts l among the idle ones, for a while. The lock is held.
func (p *links) rest(l *link) {
	p.idle = append(p.idle, l)
	after := p.idleTime
	if !l.wanted {
		after = min(after, keptIdle)
	}
	l.timer = time.AfterFunc(after, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if slices.Contains(p.idle, l) {
			p.shut(l)
		}
	})
}

// rouse takes l from the idle ones. The lock is held.
func (p *links) rouse(l *link) {
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
	if i := slices.Index(p.idle, l); i >= 0 {
		p.idle = slices.Delete(p.idle, i, i+1)
	}
}

// shut makes l end and be forgotten. The lock is held.
func (p *links) shut(l *link) {
	p.rouse(l)
	if p.links[l.key] == l {
		delete(p.links, l.key)
	}
	l.stop()
}

// enter waits until one more connection may be open. An idle one is closed to make room, but not for who only asks whether a host
// is there while others do, who will soon leave.
func (p *links) enter(ctx context.Context, asks bool) error {
	p.mu.Lock()
	if p.open < p.connections {
		p.open++
		p.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	p.waiting = append(p.waiting, turn)
	if !asks || p.asking == 0 {
		if l := p.spare(); l != nil {
			p.shut(l)
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
		p.leave() // it was our turn
	}
	return context.Cause(ctx)
}

// spare returns the idle connection that is the least missed, or nil: the one that was used the longest time ago; if none was used
// yet, the last that was kept, since hosts are asked in the order in which they are wanted. The lock is held.
func (p *links) spare() (kept *link) {
	for _, l := range p.idle {
		switch {
		case l.jump:
		case l.wanted:
			return l
		default:
			kept = l
		}
	}
	return kept
}

// ask is enter for who only asks whether a host is there; done is its leave.
func (p *links) ask(ctx context.Context) (done func(), err error) {
	if err := p.enter(ctx, true); err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.asking++
	p.mu.Unlock()
	return func() {
		p.mu.Lock()
		p.asking--
		p.mu.Unlock()
		p.leave()
	}, nil
}

// leave lets one more connection be opened.
func (p *links) leave() {
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
		p.shut(l)
	}
	p.mu.Unlock()
	p.attended.Wait()
}
