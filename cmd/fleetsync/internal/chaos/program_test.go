package chaos

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// deadline is how long any command may take: several times what the slowest takes that waits for a
// lease, on a machine that is busy.
const deadline = 60 * time.Second

// program is one execution of the real program.
type program struct {
	master *master
	args   []string
	cmd    *exec.Cmd
	began  time.Time
	stderr bytes.Buffer
	read   sync.WaitGroup // who reads its output

	mu     sync.Mutex
	lines  []string
	events []rollout.Event
	more   chan struct{} // closed and made anew with each line
	silent chan struct{} // closed when there will be no more
	onLine func(n int, e rollout.Event)
	ended  bool
}

// start starts the program. It is killed at the end of the test if it still runs.
func (m *master) start(t *testing.T, args ...string) *program {
	t.Helper()
	return m.startAfter(t, nil, nil, args...)
}

// startAfter starts the program by way of another command, which becomes it, and calls onLine, unless
// that is nil, for each line of its output, from 1.
func (m *master) startAfter(t *testing.T, by []string, onLine func(n int, e rollout.Event), args ...string) *program {
	t.Helper()
	argv := append([]string{fleetsync(t), "--config", m.config}, args...)
	if m.name != "" {
		argv = append([]string{"unshare", "--uts", "--", "sh", "-c", `hostname "$0" && exec "$@"`, m.name}, argv...)
	}
	argv = append(append([]string(nil), by...), argv...)
	p := &program{master: m, args: args, more: make(chan struct{}), silent: make(chan struct{}), began: time.Now(), onLine: onLine}
	p.cmd = exec.CommandContext(background, argv[0], argv[1:]...)
	p.cmd.Dir = m.Dir
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.read.Add(2)
	go func() {
		defer p.read.Done()
		_, _ = io.Copy(&p.stderr, stderr)
	}()
	go func() {
		defer p.read.Done()
		defer close(p.silent)
		for lines := bufio.NewReader(stdout); ; {
			line, err := lines.ReadString('\n')
			if line != "" {
				p.take(line)
			}
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		if !p.ended {
			p.signal(syscall.SIGCONT)
			p.kill()
			p.read.Wait()
			_ = p.cmd.Wait()
		}
	})
	return p
}

func (p *program) take(line string) {
	var e rollout.Event
	_ = json.Unmarshal([]byte(line), &e) // what is none has no kind
	p.mu.Lock()
	p.lines = append(p.lines, strings.TrimSpace(line))
	if e.Kind != "" {
		p.events = append(p.events, e)
	}
	n := len(p.lines)
	close(p.more)
	p.more = make(chan struct{})
	p.mu.Unlock()
	if p.onLine != nil {
		p.onLine(n, e)
	}
}

// kill ends the process as the kernel would when memory is short. Whoever waits for it learns so.
func (p *program) kill() { p.signal(syscall.SIGKILL) }

func (p *program) signal(s syscall.Signal) {
	_ = p.cmd.Process.Signal(s) // it may have ended
}

// seen returns the events so far.
func (p *program) seen() []rollout.Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]rollout.Event(nil), p.events...)
}

// await waits for an event, and says whether it came before the program's end.
func (p *program) await(t *testing.T, what string, is func(rollout.Event) bool) bool {
	t.Helper()
	late := time.After(deadline)
	for n, over := 0, false; ; {
		p.mu.Lock()
		more, events := p.more, p.events
		p.mu.Unlock()
		for ; n < len(events); n++ {
			if is(events[n]) {
				return true
			}
		}
		if over {
			return false
		}
		select {
		case <-more:
		case <-p.silent:
			over = true
		case <-late:
			p.master.fail(t, "not within %v: %s", deadline, what)
			t.FailNow()
		}
	}
}

// wait waits for the end, tells it and returns the exit code: -1 if it was killed.
func (p *program) wait(t *testing.T) int {
	t.Helper()
	hung := false
	late := time.AfterFunc(deadline, func() {
		hung = true
		p.signal(syscall.SIGQUIT) // the stacks say where
		time.AfterFunc(5*time.Second, p.kill)
	})
	p.read.Wait()
	_ = p.cmd.Wait() // how it ended is in the state
	late.Stop()
	p.ended = true
	code := p.cmd.ProcessState.ExitCode()
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signal() == syscall.SIGINT {
		code = 130 // as a shell says it: a Ctrl-C that comes when the run has ended already ends the process
	}
	w := p.master.world
	w.tell("%s [%s] %s: exit %d after %s", p.began.Format("05.000"), p.where(), strings.Join(p.args, " "), code,
		time.Since(p.began).Round(time.Millisecond))
	for _, line := range p.lines {
		w.tell("    %s", line[:min(len(line), 300)])
	}
	for line := range strings.Lines(p.stderr.String()) {
		w.tell("  ! %s", strings.TrimRight(line, "\n"))
	}
	if hung {
		w.fail(t, "%s hangs", strings.Join(p.args, " "))
	}
	if said := p.stderr.String(); strings.Contains(said, "goroutine ") || strings.Contains(said, "panic:") ||
		strings.Contains(said, "internal:") {
		w.fail(t, "%s: an internal failure", strings.Join(p.args, " "))
	}
	return code
}

func (p *program) where() string {
	if p.master == p.master.here {
		return "here"
	}
	return "other"
}

// run runs the program to its end.
func (m *master) run(t *testing.T, args ...string) (int, *program) {
	t.Helper()
	p := m.start(t, args...)
	return p.wait(t), p
}
