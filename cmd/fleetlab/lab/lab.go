//go:build linux

package lab

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/renameio/v2"

	"github.com/fleetsync/fleetsync/cmd/internal/testfleet"
)

// Lab is a lab that is up. Its methods are safe for concurrent use. What is done to a host has been done when the
// method returns.
type Lab struct {
	Dir       string // absolute
	Inventory string // path of the inventory
	Config    string // path of the policy
	SSHConfig string // path of an ssh_config that lets in anywhere, strictly
	Hosts     []Host // etcd's, masters, then all others
	Pools     string // base URL of the pool API, within the lab

	// Of who brought the lab up.
	keep     bool
	lifeline io.Closer
	ended    chan struct{} // closed when nothing of the lab runs any more
	failed   bool          // after ended: it was not asked to end
	closing  sync.Once
}

// ErrRoot says that who asks for a lab may not have one.
var ErrRoot = errors.New("a lab needs root, for namespaces of its own")

// Up brings a lab up: when it returns all daemons answer, and the pool objects are there. It stays up when ctx
// ends, which bounds Up alone; who brings it up must Close it, and it ends with this process, however that
// ends. On an error nothing is left, in the directory or running. The error is a *MissingError
// if a program is missing, and wraps ErrRoot if this process is not root's.
func Up(ctx context.Context, o Options) (*Lab, error) {
	if os.Geteuid() != 0 {
		return nil, ErrRoot
	}
	if err := Missing(); err != nil {
		return nil, err
	}
	o, err := o.resolved()
	if err == nil {
		err = o.validate()
	}
	if err == nil {
		err = empty(o.Dir)
	}
	if err != nil {
		return nil, err
	}
	s := &spec{Options: o, Hosts: lay(o)}
	l := labOf(s)
	l.keep = o.Keep
	err = l.write(s)
	if err == nil {
		err = l.start(ctx)
	}
	if err != nil {
		err = fmt.Errorf("cannot bring the lab up: %w", err)
		if l.lifeline != nil {
			l.end()
		}
		return nil, errors.Join(err, remove(o.Dir))
	}
	return l, nil
}

func labOf(s *spec) *Lab {
	dir := s.Options.Dir
	l := &Lab{
		Dir: dir, Hosts: s.Hosts, SSHConfig: filepath.Join(dir, "ssh", "ssh_config"),
		Inventory: filepath.Join(dir, "inventory.yaml"), Config: filepath.Join(dir, "fleetsync.yaml"),
	}
	for _, h := range s.Hosts {
		if h.Role == RoleConf {
			l.Pools = "http://" + h.Address + ":" + etcdPort
		}
	}
	return l
}

// Open returns the lab in a directory that another process has brought up.
func Open(dir string) (*Lab, error) {
	dir, err := testfleet.Resolve(dir)
	if err != nil {
		return nil, err
	}
	s, err := readSpec(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("there is no lab in %q: bring one up, or name another directory with --dir", dir)
	}
	if err != nil {
		return nil, err
	}
	return labOf(s), nil
}

func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("cannot make a lab: %w; choose another directory", err)
	case len(entries) == 0:
		return nil
	}
	if _, err := readSpec(dir); err == nil {
		return fmt.Errorf("there is a lab in %q already: end it with fleetlab down --dir %s", dir, dir)
	}
	return fmt.Errorf("%q is not empty: choose a directory that does not exist, or remove this one", dir)
}

// write writes all files of a lab but the tree.
func (l *Lab) write(s *spec) error {
	if err := os.MkdirAll(l.Dir, 0o755); err != nil {
		return err
	}
	if err := s.write(); err != nil {
		return err
	}
	keys, err := newKeyring(l.Dir)
	if err != nil {
		return err
	}
	for _, h := range s.Hosts {
		for _, own := range []string{"srv", "lib/fleetsync", "log"} {
			if err := os.MkdirAll(filepath.Join(hostDir(l.Dir, h.Name), own), 0o755); err != nil {
				return err
			}
		}
		if err := keys.writeHost(h); err != nil {
			return err
		}
	}
	passwd, err := os.ReadFile("/etc/passwd")
	if err != nil {
		return err
	}
	if err := writeHosts(l.Dir, s.Hosts, string(passwd)); err != nil {
		return err
	}
	return writeFleet(s.Options, s.Hosts)
}

const logFile = "lab.log"

// start starts the world and waits until it is ready.
func (l *Lab) start(ctx context.Context) error {
	log, err := os.Create(filepath.Join(l.Dir, logFile))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()  // others write it
	c := exec.Command("/proc/self/exe") //nolint:noctx // it outlives the context
	c.Args = []string{asWorld, l.Dir}
	c.Env = append(os.Environ(), "FLEETLAB="+l.Dir)
	for i, e := range c.Env {
		if path, ok := strings.CutPrefix(e, "PATH="); ok {
			c.Env[i] = "PATH=" + path + ":/usr/local/sbin:/usr/sbin:/sbin"
		}
	}
	c.Dir = "/"
	c.Stderr = log
	// In a session of its own: a terminal's Ctrl-C is for who brought the lab up.
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces, Setsid: true}
	// A pipe rather than Pdeathsig, which goes by threads (prctl(2)): Go ends some long before the process.
	if l.lifeline, err = c.StdinPipe(); err != nil {
		return err
	}
	r, said, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // only read
	c.Stdout = said
	err = c.Start()
	_ = said.Close()
	if err != nil {
		l.lifeline = nil
		if errors.Is(err, syscall.EPERM) {
			return fmt.Errorf("%w (the kernel refuses: %w)", ErrRoot, err)
		}
		return err
	}
	l.ended = make(chan struct{})
	go func() {
		defer close(l.ended)
		// Whatever it says, it has ended, and with it all that was in its PID namespace.
		l.failed = c.Wait() != nil
	}()
	// At once, or Down could read half of it.
	who := fmt.Sprintf("%d %s\n", c.Process.Pid, started(c.Process.Pid))
	if err := renameio.WriteFile(filepath.Join(l.Dir, pidFile), []byte(who), 0o644); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = r.SetReadDeadline(time.Now()) })
	defer stop()
	line, err := bufio.NewReader(r).ReadString('\n')
	line = strings.TrimSuffix(line, "\n")
	switch {
	case line == ready:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case strings.HasPrefix(line, failed):
		return errors.New(strings.TrimPrefix(line, failed))
	}
	said2, _ := os.ReadFile(log.Name())
	return fmt.Errorf("it ended: %w: %s", err, bytes.TrimSpace(said2))
}

// pidFile names the world's process, and when it was started.
const pidFile = "world.pid"

// started returns when a process was started, in ticks since the machine's boot (proc_pid_stat(5)); empty if it
// has ended, with all of its threads: the last thread of the first process of a PID namespace ends only after all
// others of that are reaped.
func started(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// The name, in brackets, may hold anything.
	f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(f) < 20 || f[0] == "X" {
		return ""
	}
	// A zombie whose other threads are still to end is one already (seen).
	if f[0] == "Z" && (f[17] == "0" || f[17] == "1") {
		return ""
	}
	return f[19]
}

// Ended returns a channel that is closed when the lab has ended and nothing of it runs any more. It is for who
// brought it up.
func (l *Lab) Ended() <-chan struct{} { return l.ended }

// Failed says, after the lab has ended, that nobody asked it to: its first process was killed.
func (l *Lab) Failed() bool {
	<-l.ended
	return l.failed
}

func (l *Lab) end() {
	_ = l.lifeline.Close()
	<-l.ended
}

// Close ends the lab, waits until nothing of it runs any more, and deletes its files unless the options keep
// them. A second call does nothing. It is for who brought the lab up.
func (l *Lab) Close() error {
	var err error
	l.closing.Do(func() {
		l.end()
		if !l.keep {
			err = remove(l.Dir)
		}
	})
	return err
}

// Down ends the lab in a directory, whoever brought it up and however that ended, and deletes its files.
func Down(ctx context.Context, dir string) error {
	l, err := Open(dir)
	if err != nil {
		return err
	}
	var pid int
	var since string
	if data, err := os.ReadFile(filepath.Join(l.Dir, pidFile)); err == nil {
		_, _ = fmt.Sscan(string(data), &pid, &since) // a file that was cut short names nobody
	}
	if pid > 0 && since != "" && started(pid) == since {
		if l.order(ctx, order{Do: doDown}) != nil {
			// It has not come up yet, or hangs. Its process is known for certain, and takes all others along.
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for started(pid) == since {
			select {
			case <-ctx.Done():
				return fmt.Errorf("the lab has not ended: %w", context.Cause(ctx))
			case <-tick.C:
			}
		}
	}
	return remove(l.Dir)
}

// remove deletes what Up made, and the directory if nothing else is in it. Who brought the lab up may be
// about the same at the same time.
func remove(dir string) error {
	if info, err := os.Stat(filepath.Join(dir, pidFile)); err == nil {
		sweep("/dev/shm", info.ModTime())
	}
	var errs []error
	// The one that says that there is a lab goes last.
	for _, name := range []string{"hosts", "ssh", "etc", "inventory.yaml", "fleetsync.yaml", controlSocket, logFile, pidFile, specFile} {
		errs = append(errs, os.RemoveAll(filepath.Join(dir, name)))
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ENOTEMPTY) &&
		!errors.Is(err, syscall.EEXIST) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// order has the world do something.
func (l *Lab) order(ctx context.Context, o order) error {
	c, err := dialIn(l.Dir, controlSocket)
	if err != nil {
		return fmt.Errorf("the lab is not up: %w", err)
	}
	defer func() { _ = c.Close() }() // nothing is written that an answer does not confirm
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Now()) })
	defer stop()
	if err := json.NewEncoder(c).Encode(o); err != nil {
		return fmt.Errorf("the lab does not listen: %w", err)
	}
	var answer outcome
	switch err := json.NewDecoder(c).Decode(&answer); {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return errors.New("the lab has ended")
	case answer.Error != "":
		return errors.New(answer.Error)
	}
	return nil
}

// Kill cuts a host's power: all of its processes end at once, and nobody hears of it. Its disk stays.
func (l *Lab) Kill(ctx context.Context, host string) error {
	return l.order(ctx, order{Do: doKill, Host: host})
}

// Start boots a host that is down, and returns when its daemons answer.
func (l *Lab) Start(ctx context.Context, host string) error {
	return l.order(ctx, order{Do: doStart, Host: host})
}

// Partition takes a host's link down. Commands still reach it.
func (l *Lab) Partition(ctx context.Context, host string) error {
	return l.order(ctx, order{Do: doPartition, Host: host})
}

// Delay makes every round trip over a host's link take so much longer; 0 is no longer. It replaces an earlier Delay.
func (l *Lab) Delay(ctx context.Context, host string, roundTrip time.Duration) error {
	if roundTrip < 0 || roundTrip > time.Minute {
		return fmt.Errorf("%v is no delay of a link: up to a minute is", roundTrip)
	}
	return l.order(ctx, order{Do: doDelay, Host: host, Wait: roundTrip})
}

// Skew sets a host's clock wrong: so much ahead, behind if it is negative. It replaces an earlier Skew, and ends with the host's
// power. What reads it is what clock.go says, which needs libfaketime: the error is a *MissingError if that is missing.
func (l *Lab) Skew(ctx context.Context, host string, by time.Duration) error {
	if by < -maxSkew || by > maxSkew {
		return fmt.Errorf("%v is no skew of a clock: up to %v is", by, maxSkew)
	}
	if _, err := faketime(); err != nil {
		return err
	}
	return l.order(ctx, order{Do: doSkew, Host: host, Wait: by})
}

// Heal takes back Partition, Slow, Delay, Skew and FillDisk.
func (l *Lab) Heal(ctx context.Context, host string) error {
	return l.order(ctx, order{Do: doHeal, Host: host})
}

// FillDisk fills a host's /srv to the last page. The lab needs disks of a size (Options.SrvSize).
func (l *Lab) FillDisk(ctx context.Context, host string) error {
	return l.order(ctx, order{Do: doFillDisk, Host: host})
}

// Slow bounds a host's link, each way, to a rate as tc(8) writes it: 1mbit, 500kbit; empty is no bound.
func (l *Lab) Slow(ctx context.Context, host, rate string) error {
	if rate != "" && !rates.MatchString(rate) {
		return badRate(rate)
	}
	return l.order(ctx, order{Do: doSlow, Host: host, Rate: rate})
}

// Named returns the names of the hosts of a role, in their order.
func (l *Lab) Named(r Role) []string { return named(l.Hosts, r) }

// Path returns where this machine sees a path below a host's /srv, /var/lib, /var/log or /etc/ssh; empty if it does not. With
// disks of a size /srv is seen by commands alone.
func (l *Lab) Path(host, path string) string {
	for of, at := range map[string]string{"/srv": "srv", "/var/lib": "lib", "/var/log": "log", "/etc/ssh": "ssh"} {
		if rest, ok := strings.CutPrefix(path+"/", of+"/"); ok {
			return filepath.Join(hostDir(l.Dir, host), at, rest)
		}
	}
	return ""
}

// Command returns a command that runs on a host as root: in its namespaces, with the caller's environment but
// for HOME and the like, in the caller's working directory, which most of the file system is shared with. Signals that a
// program can catch are handed on; when the command is killed, so is what runs on the host, but not what that
// has started in sessions of its own. Its exit code is that of what runs there, 128 and more for a
// signal, 255 if the host is down or goes down meanwhile. Where FLEETSYNC_CONFIG is not set it
// is the lab's.
func (l *Lab) Command(ctx context.Context, host string, argv ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, "/proc/self/exe")
	c.Args = append([]string{asClient, l.Dir, host}, argv...)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a terminal's Ctrl-C is for the caller
	return c
}

// Become makes this process a command on a host, as Command does; it returns only if it cannot.
func (l *Lab) Become(host string, argv ...string) error {
	return syscall.Exec("/proc/self/exe", append([]string{asClient, l.Dir, host}, argv...), os.Environ())
}

// Exec runs a command on a host and returns what it printed. An error tells what it printed on standard error.
func (l *Lab) Exec(ctx context.Context, host string, argv ...string) (string, error) {
	c := l.Command(ctx, host, argv...)
	var out, said strings.Builder
	c.Stdout, c.Stderr = &out, &said
	if err := c.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: %s: %w: %s", host, strings.Join(argv, " "), err, strings.TrimSpace(said.String()))
	}
	return out.String(), nil
}
