//go:build linux

package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/fleetsync/fleetsync/cmd/internal/testfleet"
)

// world is the lab's first process: it holds the bridge, starts the hosts and does to them what is asked.
type world struct {
	spec *spec
	dir  string

	mu    sync.Mutex // one thing at a time is done to hosts
	hosts []*running
}

// running is what a world knows of a host.
type running struct {
	Host
	index int
	pid   int           // of its first process; 0: it is down
	gone  chan struct{} // closed when that process and all of its namespace have ended
	rate  string        // of its link now; empty is unshaped
	relay *relay        // between its link and the bridge; nil: they are connected

	cut    bool // its link was taken down
	skewed bool // its sessions read its clock from a file
}

// namespaces are what a world and each host have of their own.
const namespaces = syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWUTS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC

// runWorld is the world. It ends when its standard input does, or when it is asked to; with it, the first process of
// its PID namespace, everything in there is killed (pid_namespaces(7)).
func runWorld(dir string) error {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		syscall.Exit(0) // nothing is left to tell, or to clean
	}()
	syscall.Umask(0o022)
	s, err := readSpec(dir)
	if err != nil {
		return err
	}
	if err := private(); err != nil {
		return err
	}
	w := &world{spec: s, dir: dir}
	if err := w.up(context.Background()); err != nil {
		return err
	}
	l, err := listenIn(dir, controlSocket)
	if err != nil {
		return err
	}
	_, _ = fmt.Println(ready)
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return err
		}
		go w.serve(c)
	}
}

func (w *world) up(ctx context.Context) error {
	if err := w.disks(); err != nil {
		return err
	}
	for i, h := range w.spec.Hosts {
		w.hosts = append(w.hosts, &running{Host: h, index: i})
	}
	var g errgroup.Group // one failure ends the lab
	g.Go(func() error {
		for i, name := range named(w.spec.Hosts, RoleMaster) {
			tree := filepath.Join(hostDir(w.dir, name), source) // /srv is srv
			if err := os.MkdirAll(tree, 0o755); err != nil {
				return err
			}
			if i == 0 {
				o := w.spec.Options
				if err := (testfleet.Tree{Copy: o.Tree, Files: o.Files, Bytes: o.BytesPerFile}).Make(ctx, tree); err != nil {
					return err
				}
			}
		}
		return nil
	})
	g.Go(func() error {
		if err := batch(ctx, "ip", worldLinks()...); err != nil {
			return err
		}
		return w.boot(ctx, w.hosts...)
	})
	if err := g.Wait(); err != nil {
		return err
	}
	conf, err := w.spec.index(Conf)
	if err != nil {
		return err
	}
	passed := stopwatch()
	_, _, err = testfleet.CreateObjects(ctx, "http://"+net.JoinHostPort(w.spec.Hosts[conf].Address, etcdPort), poolObjects(w.spec.Hosts))
	passed("created pool objects")
	return err
}

// stopwatch returns a function that writes to the lab's log what has just been done, and how long it took.
func stopwatch() func(what string) {
	last := time.Now()
	return func(what string) {
		_, _ = fmt.Fprintf(os.Stderr, "%s: %.2f s\n", what, time.Since(last).Seconds())
		last = time.Now()
	}
}

// disks gives hosts a /srv of their size. It is the world's, so that it outlives their power cuts.
func (w *world) disks() error {
	for _, h := range w.spec.Hosts {
		if w.spec.Options.SrvSize == "" || h.Role == RoleConf {
			continue
		}
		srv := filepath.Join(hostDir(w.dir, h.Name), "srv")
		if err := unix.Mount("tmpfs", srv, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755,size="+w.spec.Options.SrvSize); err != nil {
			return fmt.Errorf("cannot give %s a disk of %s: %w", h.Name, w.spec.Options.SrvSize, err)
		}
	}
	return nil
}

// boot brings hosts up that are down, and returns when their daemons answer.
func (w *world) boot(ctx context.Context, hosts ...*running) error {
	type start struct {
		*running
		in  io.WriteCloser
		out *bufio.Reader
	}
	var starts []start
	passed := stopwatch()
	for _, h := range hosts {
		in, out, err := w.start(h)
		if err != nil {
			return fmt.Errorf("cannot start %s: %w", h.Name, err)
		}
		starts = append(starts, start{h, in, bufio.NewReader(out)})
	}
	passed("started first processes")
	// All links in one process of ip, and all of tc: one each would cost more than all the rest.
	var links, shapes []string
	for _, h := range hosts {
		links = append(links, hostLinks(h.index, h.pid)...)
		h.rate = ""
		if w.spec.Options.Rate != "" && h.Role != RoleConf {
			h.rate = w.spec.Options.Rate
			shapes = append(shapes, shape(port(h.index), h.rate))
		}
	}
	if err := batch(ctx, "ip", links...); err != nil {
		return err
	}
	if err := batch(ctx, "tc", shapes...); err != nil {
		return err
	}
	passed("made links")
	for _, s := range starts {
		// The pipe stays open as long as the world lives.
		if _, err := io.WriteString(s.in, "go\n"); err != nil {
			return fmt.Errorf("%s ended before it was up: see lab.log", s.Name)
		}
	}
	for _, s := range starts {
		line, err := s.out.ReadString('\n')
		if line = strings.TrimSuffix(line, "\n"); line != ready {
			if err == nil {
				err = errors.New(strings.TrimPrefix(line, failed))
			}
			return fmt.Errorf("%s did not come up: %w", s.Name, err)
		}
	}
	passed("waited for daemons")
	return nil
}

// start starts the first process of a host.
func (w *world) start(h *running) (in io.WriteCloser, out io.Reader, _ error) {
	c := exec.Command("/proc/self/exe") //nolint:noctx // a host lives until it is killed
	c.Args = []string{asHost, w.dir, h.Name}
	c.Stderr = os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces, Setsid: true}
	in, err := c.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	// Not a pipe of exec's: that one is closed when the process ends, and may be before it is read.
	r, said, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	c.Stdout = said
	err = c.Start()
	_ = said.Close()
	if err != nil {
		return nil, nil, err
	}
	h.pid, h.gone, h.skewed, h.cut = c.Process.Pid, make(chan struct{}), false, false
	go func() {
		_ = c.Wait() // killed
		close(h.gone)
	}()
	return in, r, nil
}

// up says whether a host is up.
func (h *running) up() bool {
	if h.pid == 0 {
		return false
	}
	select {
	case <-h.gone:
		return false
	default:
		return true
	}
}

// kill is a power cut: nobody gets a farewell.
func (w *world) kill(ctx context.Context, h *running) error {
	if !h.up() {
		return fmt.Errorf("%s is down already", h.Name)
	}
	if err := w.link(ctx, h, "down"); err != nil {
		return err
	}
	if err := syscall.Kill(h.pid, syscall.SIGKILL); err != nil {
		return err
	}
	// The kernel lets the first process end after all others of its namespace (pid_namespaces(7)).
	<-h.gone
	return w.unplug(ctx, h)
}

// unplug takes away what a host that is down leaves in the world. With the host's end of the link its other end
// goes, too, but only when the kernel comes to it.
func (w *world) unplug(ctx context.Context, h *running) error {
	h.pid = 0
	devices := []string{port(h.index)}
	if h.relay != nil {
		h.relay.close()
		h.relay = nil
		devices = append(devices, relayPort(h.index))
	}
	for _, d := range devices {
		err := batch(ctx, "ip", "link del "+d)
		if _, e := net.InterfaceByName(d); err != nil && e == nil {
			return err
		}
	}
	return nil
}

func (w *world) link(ctx context.Context, h *running, state string) error {
	return batch(ctx, "ip", "link set "+port(h.index)+" "+state)
}

// delay takes a host's link off the bridge and puts a relay between them, which keeps each frame for half of
// a round trip's delay; 0 puts the link back.
func (w *world) delay(ctx context.Context, h *running, roundTrip time.Duration) error {
	link, near, far := port(h.index), relayPort(h.index), relayPort(h.index)+"r"
	if err := w.direct(ctx, h); err != nil || roundTrip == 0 {
		return err
	}
	// Without arp off the world would answer for itself on devices that are on no bridge.
	if err := batch(ctx, "ip",
		"link add "+near+" type veth peer name "+far,
		"link set "+near+" master "+bridge+" up",
		"link set "+far+" arp off up",
		"link set "+link+" nomaster arp off",
	); err != nil {
		return err
	}
	var err error
	h.relay, err = newRelay(link, far, roundTrip/2)
	return err
}

// direct takes a host's relay away, if it has one.
func (w *world) direct(ctx context.Context, h *running) error {
	if h.relay == nil {
		return nil
	}
	h.relay.close()
	h.relay = nil
	return batch(ctx, "ip", "link del "+relayPort(h.index), "link set "+port(h.index)+" arp on master "+bridge)
}

// shape bounds a host's link, each way; an empty rate leaves it unbounded.
func (w *world) shape(ctx context.Context, h *running, rate string) error {
	line := func(device string) string { return shape(device, rate) }
	if rate == "" {
		if h.rate == "" {
			return nil
		}
		line = unshape
	}
	if err := batch(ctx, "tc", line(port(h.index))); err != nil {
		return err
	}
	if err := batchIn(ctx, h.pid, "tc", line("eth0")); err != nil {
		return err
	}
	h.rate = rate
	return nil
}

// filler is what fills a disk.
const filler = ".fleetlab-fills-this-disk"

func (w *world) fill(h *running) error {
	if w.spec.Options.SrvSize == "" || h.Role == RoleConf {
		return fmt.Errorf("%s has no disk of its own that could be full: bring the lab up with --srv-size", h.Name)
	}
	srv := filepath.Join(hostDir(w.dir, h.Name), "srv")
	var disk unix.Statfs_t
	if err := unix.Statfs(srv, &disk); err != nil {
		return err
	}
	if disk.Type != unix.TMPFS_MAGIC {
		return fmt.Errorf("%s has the machine's disk, which shall not be filled", h.Name)
	}
	f, err := os.OpenFile(filepath.Join(srv, filler), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // of zeros nothing is lost
	for zeros := make([]byte, 1<<20); err == nil; {
		_, err = f.Write(zeros) // the last one in part
	}
	if !errors.Is(err, unix.ENOSPC) {
		return err
	}
	return nil
}

// heal takes back what was done to a host that is up: partition, slow, delay, skew and fill-disk.
func (w *world) heal(ctx context.Context, h *running) error {
	if err := os.Remove(filepath.Join(hostDir(w.dir, h.Name), "srv", filler)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if !h.up() {
		return nil
	}
	rate := w.spec.Options.Rate
	if h.Role == RoleConf {
		rate = ""
	}
	if h.rate != rate {
		if err := w.shape(ctx, h, rate); err != nil {
			return err
		}
	}
	if err := w.direct(ctx, h); err != nil {
		return err
	}
	if h.skewed {
		if err := h.skew(ctx, 0); err != nil {
			return err
		}
	}
	if err := w.link(ctx, h, "up"); err != nil || !h.cut {
		return err
	}
	h.cut = false
	return h.reached(ctx)
}

// reached waits until a host answers from the world. The kernel sets a link up when it comes to it, up to a second later
// (net/core/link_watch.c: linkwatch_schedule_work), and who is sent something before that waits for a second try.
func (h *running) reached(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		once, stop := context.WithTimeout(ctx, 2*time.Second)
		c, err := (&net.Dialer{}).DialContext(once, "tcp", net.JoinHostPort(h.Address, "22"))
		stop()
		if err == nil {
			return c.Close()
		}
		if errors.Is(err, syscall.ECONNREFUSED) { // that is an answer
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer though its link is up: %w", h.Name, err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

const controlSocket = "control"

// order is what a world is asked to do.
type order struct {
	Do   verb
	Host string
	Rate string        // of slow
	Wait time.Duration // of delay: a round trip takes so much longer; of skew: the clock is so much ahead
}

// verb is what can be done to a host, or to the lab.
type verb string

const (
	doKill      verb = "kill"
	doStart     verb = "start"
	doPartition verb = "partition"
	doHeal      verb = "heal"
	doFillDisk  verb = "fill-disk"
	doSlow      verb = "slow"
	doDelay     verb = "delay"
	doSkew      verb = "skew"
	doDown      verb = "down"
)

// outcome is the answer to an order.
type outcome struct{ Error string }

func (w *world) serve(c *net.UnixConn) {
	defer func() { _ = c.Close() }() // nothing is written that an answer does not confirm
	var o order
	if json.NewDecoder(c).Decode(&o) != nil {
		return // whoever it was has gone
	}
	var answer outcome
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := w.do(ctx, o); err != nil {
		answer.Error = err.Error()
	}
	_ = json.NewEncoder(c).Encode(answer)
	if o.Do == doDown {
		syscall.Exit(0)
	}
}

func (w *world) do(ctx context.Context, o order) error {
	if o.Do == doDown {
		return nil // after the answer
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	i, err := w.spec.index(o.Host)
	if err != nil {
		return err
	}
	h := w.hosts[i]
	up := h.up()
	switch o.Do {
	case doKill:
		return w.kill(ctx, h)
	case doStart:
		if up {
			return fmt.Errorf("%s is up already", h.Name)
		}
		if h.pid != 0 {
			// It ended by itself.
			if err := w.unplug(ctx, h); err != nil {
				return err
			}
		}
		return w.boot(ctx, h)
	case doHeal:
		return w.heal(ctx, h)
	case doFillDisk:
		return w.fill(h)
	case doPartition, doSlow, doDelay, doSkew:
		switch {
		case !up:
			return fmt.Errorf("%s is down", h.Name)
		case o.Do == doPartition:
			h.cut = true
			return w.link(ctx, h, "down")
		case o.Do == doDelay:
			return w.delay(ctx, h, o.Wait)
		case o.Do == doSkew:
			return h.skew(ctx, o.Wait)
		}
		return w.shape(ctx, h, o.Rate)
	case doDown:
		return nil
	default:
		return fmt.Errorf("%q is nothing that can be done to a host", o.Do)
	}
}
