package incident

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/renameio/v2"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/demo"
	"github.com/fleetsync/fleetsync/cmd/internal/testfleet"
	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/manifest"
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
	marks  map[string]map[string]testfleet.Snapshot // what now was at the moments that acts name
	said   map[string]string                        // what people read in what an act says, for use in later ones
}

// act is one thing that somebody does, and what it must come to.
type act struct {
	title string
	args  []string     // of fleetsync; {name} is what an earlier act has said
	rsync []string     // or of rsync, without fleetsync
	edit  func() error // or what is done by hand, as by says
	by    string

	code    int
	says    string   // a regular expression for what it says; a group's name is learnt
	changes []string // hosts whose trees may be others now; all others must be the very same
	back    string   // the moment at which those held exactly what they must hold now
	like    string   // the master whose tree they must hold now, but for what is excluded
	mark    string   // what this moment is called from now on
}

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

// Acts returns how many acts the story has.
func (r *Replay) Acts() int { return len(r.acts()) }

// acts returns the story, in order.
func (r *Replay) acts() []act {
	var everybody []string // but the good master
	for _, h := range r.known.Hosts {
		if h.Name != r.a {
			everybody = append(everybody, h.Name)
		}
	}
	hosts := slices.DeleteFunc(slices.Clone(everybody), r.isMaster)
	const because = "the meeting is in ten minutes"
	copied := filepath.Join(r.fleet.Dir, "copy") + "/"
	return []act{
		{
			title: "A full sync: the whole fleet holds the good tree", args: []string{"sync"},
			changes: everybody, like: r.a, mark: "good",
		},
		{
			title: "Anybody may take the tree from a master that may serve", rsync: []string{"--archive", r.endpoint(r.a), copied},
		},
		{
			title: r.b + " is reimaged; most of its tree is not there yet", edit: r.reimage,
			by: "wikiversions.php is gone, and so is nearly everything; the inventory says serve: false", changes: []string{r.b}, mark: "reimaged",
		},
		{
			title: "Somebody syncs it over the good master", args: []string{"masters", "sync", "--from", r.b, "--to", r.a},
			code: exitRefused, says: "serve: false",
		},
		{
			title: "Somebody does that by hand, as it was done that day", rsync: []string{"--archive", "--delete", r.endpoint(r.b), r.tree(r.a) + "/"},
			code: anyFailure, says: "(?s)pre-xfer exec.*serve: false",
		},
		{
			title: "Somebody runs a full sync from it", args: []string{"sync", "--from", r.b},
			code: exitRefused, says: "serve: false",
		},
		{
			title: "Somebody lets it serve, as it was done that day", edit: func() error { return r.serve("false", "true") },
			by: "the inventory says serve: true",
		},
		{
			title: "Somebody runs a full sync from it", args: []string{"sync", "--from", r.b},
			code: exitRefused, says: "wikiversions.php",
		},
		{
			title: "Somebody syncs it over the good master", args: []string{"masters", "sync", "--from", r.b, "--to", r.a, "--yes"},
			code: exitRefused, says: "wikiversions.php",
		},
		{
			title: "Somebody overrides that: --yes does not cover deletions",
			args:  []string{"masters", "sync", "--from", r.b, "--to", r.a, "--yes", "--override", because},
			code:  exitRefused, says: `--confirm-deletions (?P<gone>\d+)`,
		},
		{
			title: "Somebody guesses how many there are",
			args:  []string{"masters", "sync", "--from", r.b, "--to", r.a, "--yes", "--override", because, "--confirm-deletions", "1"},
			code:  exitRefused, says: `1 deletions were confirmed, and {gone} would be made`,
		},
		{
			title:   "Somebody forces it, with every override and the right number",
			args:    []string{"masters", "sync", "--from", r.b, "--to", r.a, "--yes", "--override", because, "--confirm-deletions", "{gone}"},
			says:    `from ` + r.b + ` to ` + r.a + `: create \d+, change \d+, delete {gone}`,
			changes: []string{r.a}, like: r.b, mark: "broken",
		},
		{
			title: "Somebody runs a full sync from what is left of the good master", args: []string{"sync"},
			code: exitRefused, says: `(?s)wikiversions.php is missing.*\d% of them are gone`,
		},
		{
			title: "Somebody overrides that", args: []string{"sync", "--override", because},
			code: exitRefused, says: `--confirm-deletions (?P<lost>\d+)`,
		},
		{
			title: "Somebody forces it: canaries fail the gate and get their trees back; nobody else is touched",
			args:  []string{"sync", "--override", because, "--confirm-deletions", "{lost}"},
			code:  exitHalted, says: `\d rolled back \(they have the tree that they had before\), \d+ untouched`,
		},
		{
			title:   "Somebody forces that, too: the whole fleet has the broken tree",
			args:    []string{"sync", "--override", because, "--confirm-deletions", "{lost}", "--force", because},
			says:    `run (?P<run>\d{8}-\d{6}-[0-9a-f]+) `,
			changes: everybody, like: r.a,
		},
		{
			title: "The good master gets its tree back, from what it has kept itself",
			args:  []string{"masters", "undo", "--on", r.a, "--yes"}, changes: []string{r.a}, back: "good",
		},
		{
			title: "So does every host: canaries first, judged at the gate", args: []string{"rollback", "{run}"},
			changes: hosts, back: "good",
		},
		{
			title: "Every host still holds what its last good run left there, to the last byte", args: []string{"verify", "--content"},
		},
		{
			title: "That is what is known of the fleet", args: []string{"status"}, says: `(?s)rolled back.*trees: all \d+ hosts hold the newest`,
		},
		{
			title: "What the run changed on " + r.b + " is taken back", args: []string{"masters", "undo", "--on", r.b, "--yes"},
			changes: []string{r.b}, back: "reimaged",
		},
		{
			title: "It may not serve again", edit: func() error { return r.serve("true", "false") }, by: "the inventory says serve: false",
		},
		{
			title: "It is synced from the good master, as it should have been", args: []string{"masters", "sync", "--from", r.a, "--to", r.b, "--yes"},
			changes: []string{r.b}, back: "good",
		},
		{
			title: "Masters do not differ any more", args: []string{"masters", "status"},
		},
		{
			title: "Nobody is behind", args: []string{"sync", "--behind"}, says: "no host is behind",
		},
		{
			title: "Had nothing been kept: the good master's tree is gone", edit: func() error { return os.RemoveAll(r.tree(r.a)) },
			by: "rm -r " + transport.Word(r.tree(r.a)), changes: []string{r.a},
		},
		{
			title: "It is rebuilt from what a proxy holds: in seconds, not in six hours",
			args:  []string{"masters", "restore", "--from-host", r.proxy, "--to", r.a, "--yes"},
			says:  "from " + r.proxy + " to " + r.a, changes: []string{r.a}, like: r.proxy,
		},
	}
}

// MinFiles is how many files the tree must have for the story.
const MinFiles = 40

// anyFailure is any exit code but 0: an rsync that a daemon has refused ends 5, or 10 if it notices the end of the
// connection first (measured with 3.5.0).
const anyFailure = -1

// Play plays all acts, up to the first that does not end as it must. After each it calls seen with the exit code, and with
// what was wrong; an error of seen ends the play too.
func (r *Replay) Play(ctx context.Context, seen func(title string, code int, err error) error) error {
	if err := r.grow(); err != nil {
		return err
	}
	var err error
	if r.now, err = r.look(); err != nil {
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
			args[i] = r.told(arg)
		}
		_, _ = fmt.Fprintf(r.out, "$ fleetsync %s\n", line(args))
		code = r.run(ctx, append([]string{"--config", r.fleet.Config}, args...), said, said)
	}
	if code != a.code && (a.code != anyFailure || code == exitDone) {
		return code, fmt.Errorf("its exit code is %d, not %d", code, a.code)
	}
	says, err := regexp.Compile(r.told(a.says))
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

// told fills in what earlier acts have said.
func (r *Replay) told(text string) string {
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

// compare holds every tree and the pools against what they must be.
func (r *Replay) compare(ctx context.Context, a act) error {
	was := r.now
	var err error
	if r.now, err = r.look(); err != nil {
		return err
	}
	for _, h := range r.known.Hosts {
		moment, before := "before", was
		switch {
		case !slices.Contains(a.changes, h.Name):
		case a.back == "":
			continue
		default:
			moment, before = "when it was "+a.back, r.marks[a.back]
		}
		want, is := before[h.Name], r.now[h.Name]
		if err := unlike("what it was "+moment, want.Differ(is), want, is); err != nil {
			return fmt.Errorf("the tree of %s is %w", h.Name, err)
		}
	}
	if a.like != "" {
		if err := r.alike(a.like, a.changes); err != nil {
			return err
		}
	}
	if a.mark != "" {
		r.marks[a.mark] = r.now
	}
	now, err := r.fleet.Objects(ctx)
	if err == nil && !maps.Equal(now, r.before) {
		err = errors.New("the pools are not what they were")
	}
	return err
}

// alike compares hosts' trees with that of another, as far as syncs are about them.
func (r *Replay) alike(with string, names []string) error {
	excluded := manifest.Excluded(r.known.Tree.Exclude)
	want, err := testfleet.TakeSnapshot(r.tree(with), excluded)
	if err != nil {
		return err
	}
	for _, name := range names {
		is, err := testfleet.TakeSnapshot(r.tree(name), excluded)
		if err != nil {
			return err
		}
		leave(want, is)
		if err := unlike("that of "+with, want.DifferSynced(is), want, is); err != nil {
			return fmt.Errorf("the tree of %s is %w", name, err)
		}
	}
	return nil
}

// leave drops the folders of a snapshot that a sync from another had to leave: they hold nothing but what is excluded,
// which is not in the snapshot.
func leave(from, is testfleet.Snapshot) {
	for _, path := range slices.Backward(slices.Sorted(maps.Keys(is))) {
		_, known := from[path]
		if known || !strings.HasPrefix(is[path].Synced, "d") {
			continue
		}
		holds := func(other string) bool { return strings.HasPrefix(other, path+"/") }
		if !slices.ContainsFunc(slices.Collect(maps.Keys(is)), holds) {
			delete(is, path)
		}
	}
}

// unlike returns what is wrong with a tree of which paths differ from what they must be.
func unlike(what string, paths []string, want, is testfleet.Snapshot) error {
	if len(paths) == 0 {
		return nil
	}
	return fmt.Errorf("not %s: %d paths differ:\n%s", what, len(paths), testfleet.Tell(paths, want, is))
}

// look reads the tree of every host.
func (r *Replay) look() (map[string]testfleet.Snapshot, error) {
	all := map[string]testfleet.Snapshot{}
	for _, h := range r.known.Hosts {
		var err error
		if all[h.Name], err = testfleet.TakeSnapshot(r.tree(h.Name), nil); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (r *Replay) isMaster(name string) bool {
	_, is := r.known.Master(name)
	return is
}

// tree returns where a host has its tree: a master where it is taken from.
func (r *Replay) tree(name string) string {
	h, _ := r.known.Host(name)
	if r.isMaster(name) {
		return h.Source
	}
	return h.Destination
}

// endpoint returns what an rsync without us takes a master's tree from.
func (r *Replay) endpoint(name string) string {
	h, _ := r.known.Host(name)
	return h.Endpoint + "/" + r.known.Tree.Module + "/"
}

// grow adds to the good master's tree what grown trees have, and what a backup of files alone would lose: paths that
// are one file, an odd mode, an odd time, an empty folder, what only is there.
func (r *Replay) grow() error {
	root := r.tree(r.a)
	odd := filepath.Join(root, "odd file")
	if err := os.WriteFile(odd, []byte("nobody knows what this is for\n"), 0o640); err != nil {
		return err
	}
	at := time.Unix(1454284800, 123_456_789)
	swap := filepath.Join(root, "wmf-config", ".CommonSettings.php.swp") // which syncs leave out
	return errors.Join(
		os.MkdirAll(filepath.Dir(swap), 0o755),
		os.WriteFile(swap, []byte("what somebody has not saved yet\n"), 0o600),
		os.Chmod(odd, 0o2750), // the umask shall not decide
		os.Chtimes(odd, at, at),
		os.Link(filepath.Join(root, "wikiversions.php"), filepath.Join(root, "wikiversions-today.php")),
		os.Mkdir(filepath.Join(root, "empty"), 0o700),
		os.Chtimes(filepath.Join(root, "empty"), at, at),
	)
}

// reimage leaves of the second master's tree what a machine has that is not provisioned yet.
func (r *Replay) reimage() error {
	root := r.tree(r.b)
	entries, err := os.ReadDir(root)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != "docroot" {
			if err := os.RemoveAll(filepath.Join(root, e.Name())); err != nil {
				return err
			}
		}
	}
	return os.WriteFile(filepath.Join(root, "README"), []byte("This machine is being provisioned.\n"), 0o644)
}

// serve changes what the inventory says of the second master.
func (r *Replay) serve(from, to string) error {
	data, err := os.ReadFile(r.fleet.Inventory)
	if err != nil {
		return err
	}
	was, is := "{host: "+r.b+", serve: "+from+"}", "{host: "+r.b+", serve: "+to+"}"
	if !bytes.Contains(data, []byte(was)) {
		return fmt.Errorf("%s does not say %s", r.fleet.Inventory, was)
	}
	return renameio.WriteFile(r.fleet.Inventory, bytes.ReplaceAll(data, []byte(was), []byte(is)), 0o644)
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
