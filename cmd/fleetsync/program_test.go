package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode"

	"golang.org/x/sys/unix"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// background is the context of what ends with a test's own clean-up.
var background = context.Background()

func mkfifo(name string) error { return unix.Mkfifo(name, 0o600) }

// program is one execution of the real program, as a process of its own.
type program struct {
	cmd    *exec.Cmd
	events chan rollout.Event // what it prints with --json, as it comes
	seen   []rollout.Event    // those that await has read
	stdout bytes.Buffer
	stderr bytes.Buffer
	read   sync.WaitGroup // who reads its output
	tty    *os.File       // the terminal's other end; nil if it has none
	ended  bool
}

// result is how a program ended.
type result struct {
	code           int
	stdout, stderr string
	events         []rollout.Event
}

// run runs the program on the fleet to its end: the shipped one, unless the world is watched.
func (w *world) run(t *testing.T, args ...string) result {
	t.Helper()
	path, err := shipped()
	if w.watched {
		path, err = watched()
	}
	if err != nil {
		t.Fatal(err)
	}
	return w.begin(t, path, false, args...).wait(t)
}

// sync runs the program with --json, wants an exit code and returns what the events say.
func (w *world) sync(t *testing.T, code int, args ...string) *books {
	t.Helper()
	r := w.run(t, append([]string{"--json"}, args...)...)
	wantCode(t, r, code)
	return w.audit(t, r.events)
}

func wantCode(t *testing.T, r result, code int) {
	t.Helper()
	if r.code != code {
		t.Fatalf("exit code %d, want %d\n%s", r.code, code, r.stderr)
	}
}

// start starts the watched program on the fleet, as a shell would on a terminal or, without one, as cron.
func (w *world) start(t *testing.T, terminal bool, args ...string) *program {
	t.Helper()
	path, err := watched()
	if err != nil {
		t.Fatal(err)
	}
	return w.begin(t, path, terminal, args...)
}

func (w *world) begin(t *testing.T, path string, terminal bool, args ...string) *program {
	t.Helper()
	p := &program{events: make(chan rollout.Event, 1<<16)}
	p.cmd = exec.Command(path)
	p.cmd.Args = append([]string{"fleetsync", "--config", w.Config}, args...)
	p.cmd.Env = append(os.Environ(), w.env...)
	p.cmd.Dir = w.Dir
	// A test that runs out of time dies without its clean-up, and must not leave a run behind.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said io.Reader
	if terminal {
		said = p.terminal(t)
	} else if said, err = p.cmd.StderrPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if terminal {
		_ = p.cmd.Stdin.(*os.File).Close() // the child has it: its end is then seen on ours
	}
	p.read.Add(2)
	go func() {
		defer p.read.Done()
		_, _ = io.Copy(&p.stderr, said) // a terminal ends with EIO
	}()
	go func() {
		defer p.read.Done()
		defer close(p.events)
		p.readEvents(stdout)
	}()
	t.Cleanup(func() {
		if !p.ended {
			_ = p.cmd.Process.Kill()
			p.read.Wait()
			_ = p.cmd.Wait()
		}
	})
	return p
}

func (p *program) readEvents(stdout io.Reader) {
	lines := bufio.NewReader(stdout)
	for {
		line, err := lines.ReadBytes('\n')
		p.stdout.Write(line)
		var e rollout.Event
		if json.Unmarshal(line, &e) == nil && e.Kind != "" {
			p.events <- e
		}
		if err != nil {
			return
		}
	}
}

// terminal gives the program a pseudo-terminal as its controlling one, for input and stderr.
func (p *program) terminal(t *testing.T) *os.File {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudo-terminals here: ", err)
	}
	t.Cleanup(func() { _ = ours.Close() })
	var number uint32
	control, err := ours.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	err = control.Control(func(fd uintptr) {
		if failed = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); failed == nil {
			number, failed = unix.IoctlGetUint32(int(fd), unix.TIOCGPTN)
		}
	})
	if err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	theirs, err := os.OpenFile(filepath.Join("/dev/pts", uitoa(number)), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stdin, p.cmd.Stderr = theirs, theirs
	// A session whose foreground process group is the program's: Ctrl-C goes to all of that group.
	p.cmd.SysProcAttr.Setsid, p.cmd.SysProcAttr.Setctty, p.cmd.SysProcAttr.Ctty = true, true, 0
	p.tty = ours
	return ours
}

func uitoa(n uint32) string {
	data, _ := json.Marshal(n) // numbers never fail
	return string(data)
}

// interrupt types Ctrl-C.
func (p *program) interrupt(t *testing.T) {
	t.Helper()
	if _, err := p.tty.Write([]byte{3}); err != nil {
		t.Fatal(err)
	}
}

func (p *program) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// await waits for an event.
func (p *program) await(t *testing.T, what string, is func(rollout.Event) bool) rollout.Event {
	t.Helper()
	limit := time.After(patience)
	for {
		select {
		case e, ok := <-p.events:
			if !ok {
				p.read.Wait()
				t.Fatalf("the program ended without: %s\n%s", what, p.stderr.String())
			}
			p.seen = append(p.seen, e)
			if is(e) {
				return e
			}
		case <-limit:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

func (p *program) awaitStep(t *testing.T, kind rollout.EventKind, step string) rollout.Event {
	t.Helper()
	return p.await(t, string(kind)+" "+step, func(e rollout.Event) bool {
		return e.Kind == kind && string(e.Step) == step
	})
}

// awaitAbort waits until the run knows of a signal.
func (p *program) awaitAbort(t *testing.T, level int) {
	t.Helper()
	p.await(t, "abort_asked", func(e rollout.Event) bool { return e.Kind == rollout.AbortAsked && e.Level == level })
}

// wait waits for the program's end and returns what it said.
func (p *program) wait(t *testing.T) result {
	t.Helper()
	late := time.AfterFunc(2*patience, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()
	p.read.Wait()
	err := p.cmd.Wait()
	p.ended = true
	for e := range p.events {
		p.seen = append(p.seen, e)
	}
	r := result{code: p.cmd.ProcessState.ExitCode(), stdout: p.stdout.String(), stderr: p.stderr.String(), events: p.seen}
	if r.code < 0 && p.cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("the program: %v", err)
	}
	if p.tty == nil {
		if wrong := unclean(r.stderr); wrong != "" {
			t.Error(wrong)
		}
	}
	if strings.Contains(r.stderr, "goroutine ") || strings.Contains(r.stderr, "panic:") {
		t.Errorf("a stack trace:\n%s", r.stderr)
	}
	if strings.Contains(r.stderr, "DATA RACE") {
		t.Errorf("a race:\n%s", r.stderr)
	}
	return r
}

// unclean says what a terminal would do with text but print it; empty if nothing.
func unclean(s string) string {
	for line := range strings.Lines(s) {
		for _, r := range strings.TrimSuffix(line, "\n") {
			if r != '\t' && (unicode.IsControl(r) || unicode.In(r, unicode.Cf)) {
				return "a control character is shown: " + quoteLine(line)
			}
		}
	}
	return ""
}

func quoteLine(s string) string {
	data, _ := json.Marshal(s) // strings never fail
	return string(data)
}
