//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleetsync/fleetsync/cmd/fleetlab/lab"
)

// cost is what a command took.
type cost struct {
	Wall time.Duration // until the command itself ended
	CPU  time.Duration // user and system, of all its processes
	Code int
	Said string // the end of what it printed
}

// runMeasure is the part that runs a command on the host where it is counted.
func runMeasure(ctx context.Context, argv []string) error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return err
	}
	var said bytes.Buffer
	c := exec.CommandContext(ctx, argv[0], argv[1:]...)
	c.Stdout, c.Stderr = &said, &said
	// A process in the background may keep the output open, as ssh's ControlMaster does.
	c.WaitDelay = 10 * time.Millisecond
	began := time.Now()
	err := c.Run()
	r := cost{Wall: time.Since(began)}
	if c.ProcessState == nil {
		return err
	}
	r.Code = c.ProcessState.ExitCode()
	if err := adopt(); err != nil {
		return err
	}
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &u); err != nil {
		return err
	}
	r.CPU = time.Duration(u.Utime.Nano() + u.Stime.Nano())
	text := said.String()
	r.Said = text[max(0, len(text)-2000):]
	return json.NewEncoder(os.Stdout).Encode(r)
}

// adopt ends the processes that the command has left behind, which are ours now, and waits for them.
func adopt() error {
	for {
		own := strconv.Itoa(os.Getpid())
		left, err := os.ReadFile("/proc/" + own + "/task/" + own + "/children")
		if err != nil {
			return err
		}
		for pid := range strings.FieldsSeq(string(left)) {
			if n, err := strconv.Atoi(pid); err == nil {
				_ = syscall.Kill(n, syscall.SIGTERM) // it may have ended
			}
		}
		switch _, err := syscall.Wait4(-1, nil, 0, nil); err {
		case nil, syscall.EINTR:
		case syscall.ECHILD:
			return nil
		default:
			return err
		}
	}
}

// measure runs a command on a host once the machine is quiet, and returns what it took there; an error if it failed.
func measure(ctx context.Context, l *lab.Lab, host string, env []string, argv ...string) (cost, error) {
	self, err := os.Executable()
	if err != nil {
		return cost{}, err
	}
	if err := settle(ctx); err != nil {
		return cost{}, err
	}
	c := l.Command(ctx, host, append([]string{self, asMeasure}, argv...)...)
	c.Env = append(c.Environ(), env...)
	c.Stderr = os.Stderr
	out, err := c.Output()
	var r cost
	if err == nil {
		err = json.Unmarshal(out, &r)
	}
	if err == nil && r.Code != 0 {
		err = fmt.Errorf("exit %d: %s", r.Code, r.Said)
	}
	if err != nil {
		return r, fmt.Errorf("%s on %s: %w", argv[0], host, err)
	}
	return r, nil
}

// settle waits until the machine has nothing left to do of what ran before, as daemons of the hosts that end their sessions: it
// would be counted with who comes next. It gives up after a while, on a machine that is never idle.
func settle(ctx context.Context) error {
	const slice, quiet, most = 100 * time.Millisecond, 3, 100
	tick := time.NewTicker(slice)
	defer tick.Stop()
	before, err := busy()
	for slices, calm := 0, 0; err == nil && slices < most && calm < quiet; slices++ {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		var now time.Duration
		now, err = busy()
		calm++
		if now-before > slice/10 {
			calm = 0
		}
		before = now
	}
	return err
}

// busy returns how long the processors of the machine have been at work (proc_stat(5)).
func busy() (time.Duration, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	var ticks int64
	for i, field := range strings.Fields(line) {
		if i == 0 || i == 4 || i == 5 || i > 8 { // its name, idle and iowait, guests, which are counted as user
			continue
		}
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %w", err)
		}
		ticks += n
	}
	const perSecond = 100 // USER_HZ, on every architecture that Go knows
	return time.Duration(ticks) * time.Second / perSecond, nil
}
