package incident

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"strings"
	"sync"
	"syscall"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/demo"
	"github.com/fleetsync/fleetsync/cmd/internal/testfleet"
	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/transport"
)

// Program runs one command line of fleetsync without the terminal's input, and returns its exit code.
type Program func(ctx context.Context, args []string, stdout, stderr io.Writer) int

// The exit codes that acts end with, as the README promises them to users.
const (
	exitDone    = 0
	exitHalted  = 4
	exitRefused = 14
)

// Replay plays the incident of 2 February 2016 on a fleet of this machine: a reimaged master, whose tree is not
// complete, is synced over the good one. First everything refuses; then it is forced through, and taken back.
//
// After every act each tree is held against what it was at some moment, to the last byte and nanosecond, and the pools
// against what they were at first.
type Replay struct {
	run   Program
	fleet *demo.Fleet
	out   io.Writer // where people see it

	known  *inventory.Fleet
	a, b   string // the masters: the good one, and the one that is reimaged
	proxy  string
	before map[string]string                        // the pool objects at first
	now    map[string]testfleet.Snapshot            // by host
	marks  map[string]map[string]testfleet.Snapshot // all trees at the moments that acts name
	said   map[string]string                        // what earlier acts have said, by the name of its group
}

// MinFiles is how many files the tree must have, so that there is something to lose.
const MinFiles = 40

// New prepares to play on a fleet that was made with Program and KeepAll. What the program and people say goes to out.
func New(run Program, fleet *demo.Fleet, out io.Writer) (*Replay, error) {
	known, err := inventory.LoadFleet(fleet.Inventory)
	if err != nil {
		return nil, err
	}
	if len(known.Masters) < 2 || len(known.Proxies) == 0 {
		return nil, errors.New("the incident takes two masters and a proxy")
	}
	return &Replay{
		run: run, fleet: fleet, out: out, known: known,
		a: known.Masters[0].Host, b: known.Masters[1].Host, proxy: known.Proxies[0].Host,
		marks: map[string]map[string]testfleet.Snapshot{}, said: map[string]string{},
	}, nil
}

// Acts returns how many acts there are.
func (r *Replay) Acts() int { return len(r.acts()) }

// Play plays all acts, up to the first that does not end as it must. After each it calls seen with the exit code, and with
// what was wrong; an error of seen ends the play too.
func (r *Replay) Play(ctx context.Context, seen func(title string, code int, err error) error) error {
	if err := r.grow(); err != nil {
		return err
	}
	var err error
	if r.now, err = r.snapshots(); err != nil {
		return err
	}
	if r.before, err = r.fleet.Objects(ctx); err != nil {
		return err
	}
	acts := r.acts()
	for i, a := range acts {
		_, _ = fmt.Fprintf(r.out, "\n%s\n%d. %s\n", strings.Repeat("=", 78), i+1, a.title)
		code, err := r.do(ctx, a)
		if err == nil {
			err = r.compare(ctx, a)
		}
		if err != nil {
			_, _ = fmt.Fprintf(r.out, "--> NOT as it must: %v\n", err)
			err = fmt.Errorf("act %d: %s: %w", i+1, a.title, err)
		} else {
			_, _ = fmt.Fprintf(r.out, "--> %s as it must (exit code %d)%s\n", ending(a.code), code, outcome(a))
		}
		if err = errors.Join(err, seen(a.title, code, err)); err != nil {
			return err
		}
	}
	return nil
}

func ending(code int) string {
	switch code {
	case exitDone:
		return "ended"
	case exitHalted:
		return "halted"
	default:
		return "refused"
	}
}

// outcome says what was found out about the trees.
func outcome(a act) string {
	who := fmt.Sprintf("%d trees", len(a.changes))
	if len(a.changes) == 1 {
		who = "the tree of " + a.changes[0]
	}
	switch {
	case len(a.changes) == 0 && a.edit != nil:
		return ""
	case len(a.changes) == 0:
		return "; every tree and every pool is what it was"
	case a.back != "":
		return fmt.Sprintf("; %s: to the last byte and nanosecond as when it was %s", who, a.back)
	case a.like != "":
		return fmt.Sprintf("; %s: as on %s", who, a.like)
	default:
		return ""
	}
}

// do does what somebody does, and holds how it ends against what it must end with.
func (r *Replay) do(ctx context.Context, a act) (int, error) {
	if a.edit != nil {
		_, _ = fmt.Fprintf(r.out, "   (%s)\n\n", a.by)
		return exitDone, a.edit()
	}
	said := &sharedWriter{to: r.out}
	var code int
	if a.rsync != nil {
		_, _ = fmt.Fprintf(r.out, "$ rsync %s\n", line(a.rsync))
		var err error
		if code, err = bareRsync(ctx, said, a.rsync); err != nil {
			return code, err
		}
	} else {
		args := make([]string, len(a.args))
		for i, arg := range a.args {
			args[i] = r.filled(arg)
		}
		_, _ = fmt.Fprintf(r.out, "$ fleetsync %s\n", line(args))
		code = r.run(ctx, append([]string{"--config", r.fleet.Config}, args...), said, said)
	}
	if code != a.code && (a.code != anyFailure || code == exitDone) {
		return code, fmt.Errorf("its exit code is %d, not %d", code, a.code)
	}
	says, err := regexp.Compile(r.filled(a.says))
	if err != nil {
		return code, err
	}
	found := says.FindStringSubmatch(said.said.String())
	if found == nil {
		return code, fmt.Errorf("it does not say %q", says)
	}
	for i, name := range says.SubexpNames() {
		if name != "" {
			r.said[name] = found[i]
		}
	}
	return code, nil
}

// filled returns text with what earlier acts have said in the place of its {names}.
func (r *Replay) filled(text string) string {
	for name, value := range r.said {
		text = strings.ReplaceAll(text, "{"+name+"}", value)
	}
	return text
}

// line returns a command line that people can paste.
func line(args []string) string {
	words := make([]string, len(args))
	for i, arg := range args {
		words[i] = transport.Word(arg)
	}
	return strings.Join(words, " ")
}

// bareRsync runs an rsync as somebody types it, without us.
func bareRsync(ctx context.Context, said io.Writer, args []string) (int, error) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	c := exec.CommandContext(ctx, "rsync", args...)
	c.Stdout, c.Stderr = said, said
	err := c.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode(), ctx.Err()
	}
	return exitDone, err
}

// sharedWriter hands on what several goroutines write, and remembers it.
type sharedWriter struct {
	mu   sync.Mutex
	to   io.Writer
	said strings.Builder
}

func (w *sharedWriter) Write(data []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, _ = w.said.Write(data) // never fails, says its documentation
	return w.to.Write(data)
}
