package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/fleetsync/fleetsync/cmd/internal/testfleet"
	"github.com/fleetsync/fleetsync/pooling/poolingtest"
)

var update = flag.Bool("update", false, "write what the scripts' golden files should hold")

// The scripts run the real program as a person types it. Beyond testscript's commands they have
//
//	fleet DIR [hosts=8] [proxies=3] [files=60] [keepall] [asks]   bring a fleet up until the script ends; FLEETSYNC_CONFIG names
//	                  its policy; with asks, the masters' daemons ask the program whether they may serve
//	code N ARGS...    run fleetsync and want that exit code; whatever it says is held to what fits every command; the race
//	                  detector watches the first time that the script wants that code of that command
//	edit FILE OLD NEW replace text that must be in the file
//	raw FILE TEXT     write a file; TEXT is a Go string's inside, as in a\x00b
//	pools [FAULT]     make the pool API answer with a fault of poolingtest; without one it is well again
//	depool HOST       set a host's objects to no, as somebody else would
//	same pools        the pool objects are what they were when the fleet came up
//	same trees        the hosts have the files that they had when the fleet came up
//	same source       the hosts have what the source has
//
// Planted faults that they were seen to find: control characters that are left in what is shown; a
// corrupt line that is counted from 0; a recover that lists hosts in quarantine among those that it puts back, or that leaves the
// journal of a run as it died within a quarantine, or within a release; a status that takes receipts for hosts that are out.
func TestScripts(t *testing.T) {
	t.Parallel()
	needPrograms(t)
	fleetsync, err := shipped()
	if err != nil {
		t.Fatal(err)
	}
	form1, err := filepath.Abs("../../orchestrator/journal/testdata/form1") // journals from before events had a form
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       *update,
		Setup: func(env *testscript.Env) error {
			env.Setenv("FLEETSYNC", fleetsync)
			env.Setenv("FORM1", form1)
			env.Setenv("HOSTILE", "\x1b[31m\x1b]0;title\a\u202e \u009b2J")
			env.Values[scriptKey{}] = &scriptWorld{seen: map[string]bool{}}
			return nil
		},
		Cmds: withCrashes(map[string]func(*testscript.TestScript, bool, []string){
			"fleet": fleetCommand, "code": codeCommand, "edit": editCommand, "raw": rawCommand,
			"pools": poolsCommand, "depool": depoolCommand, "same": sameCommand,
		}),
		Condition: func(condition string) (bool, error) {
			if condition == "root" {
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("no condition is called %q", condition)
		},
	})
}

type scriptKey struct{}

// scriptWorld is what a script has brought up.
type scriptWorld struct {
	*world
	trees map[string]testfleet.Snapshot
	seen  map[string]bool // commands, and how they ended, that the race detector has watched
}

func worldOf(ts *testscript.TestScript) *scriptWorld { return ts.Value(scriptKey{}).(*scriptWorld) }

// check fails a script as t.Fatal does a test.
func check(ts *testscript.TestScript, ok bool, format string, args ...any) {
	if !ok {
		ts.Fatalf(format, args...)
	}
}

func fleetCommand(ts *testscript.TestScript, neg bool, args []string) {
	check(ts, !neg && len(args) > 0, "usage: fleet DIR [hosts=N] [proxies=N] [files=N] [keepall] [asks]")
	o := small()
	o.Dir = ts.MkAbs(args[0])
	for _, arg := range args[1:] {
		switch arg {
		case "keepall":
			o.KeepAll = true
			continue
		case "asks":
			o.Program = ts.Getenv("FLEETSYNC")
			continue
		}
		name, value, _ := strings.Cut(arg, "=")
		n, err := strconv.Atoi(value)
		ts.Check(err)
		switch name {
		case "hosts":
			o.Hosts = n
		case "proxies":
			o.Proxies = n
		case "files":
			o.Files = n
		default:
			ts.Fatalf("no option is called %q", name)
		}
	}
	w, err := bringUp(o)
	ts.Check(err)
	ts.Defer(func() { _ = w.close() })
	s := worldOf(ts)
	s.world = w
	s.trees, err = s.walkAll()
	ts.Check(err)
	ts.Setenv("FLEETSYNC_CONFIG", w.Config)
	ts.Setenv("POOL_API", w.PoolAPI)
}

func (s *scriptWorld) walkAll() (map[string]testfleet.Snapshot, error) {
	hosts, err := os.ReadDir(filepath.Join(s.Dir, "hosts"))
	if err != nil {
		return nil, err
	}
	all := map[string]testfleet.Snapshot{}
	for _, h := range hosts {
		if h.Name() == origin {
			continue
		}
		if all[h.Name()], err = testfleet.TakeSnapshot(s.tree(h.Name()), nil); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// kindOf returns an exit code with a command: the words before any flag and what is no lower-case word, of which no
// command has more than two.
func kindOf(args []string) string {
	kind := args[:1:1]
	for _, arg := range args[1:] {
		switch word := strings.Trim(arg, "abcdefghijklmnopqrstuvwxyz-") == ""; {
		case strings.HasPrefix(arg, "-") && len(kind) == 1:
			// a flag of every command's
		case !word || strings.HasPrefix(arg, "-") || len(kind) == 3:
			return strings.Join(kind, " ")
		default:
			kind = append(kind, arg)
		}
	}
	return strings.Join(kind, " ")
}

func codeCommand(ts *testscript.TestScript, neg bool, args []string) {
	check(ts, !neg && len(args) > 0, "usage: code N ARGS...")
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	path := ts.Getenv("FLEETSYNC")
	if kind, seen := kindOf(args), worldOf(ts).seen; !seen[kind] {
		seen[kind] = true
		path, err = watched()
		ts.Check(err)
	}
	err = ts.Exec(path, args[1:]...)
	code := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	stdout, stderr := ts.ReadFile("stdout"), ts.ReadFile("stderr")
	check(ts, code == want, "exit code %d, want %d", code, want)
	asJSON := isJSON(args[1:])
	for _, said := range []string{stdout, stderr} {
		for _, trace := range []string{"goroutine ", "panic:", "runtime error", "DATA RACE", "<nil>", "%!"} {
			check(ts, !strings.Contains(said, trace), "a trace of the program's inside: %q", trace)
		}
	}
	wrong := unclean(stderr)
	if asJSON {
		wantJSON(ts, stdout)
	} else {
		wrong += unclean(stdout)
	}
	check(ts, wrong == "", "%s", wrong)
	check(ts, code == 0 || len(stderr) > 0, "nothing says why")
	check(ts, code < exitUsage || code > 99 || len(stderr) < 8<<10, "%d bytes of explanation", len(stderr))
}

// isJSON says whether the program is asked for JSON.
func isJSON(args []string) bool {
	end := slices.Index(args, "--")
	if end < 0 {
		end = len(args)
	}
	return slices.Contains(args[:end], "--json")
}

// wantJSON wants every line to be one JSON object.
func wantJSON(ts *testscript.TestScript, stdout string) {
	for line := range strings.Lines(stdout) {
		var object map[string]any
		err := json.Unmarshal([]byte(line), &object)
		check(ts, err == nil && strings.HasSuffix(line, "\n"), "with --json stdout says %q: %v", line, err)
	}
}

func editCommand(ts *testscript.TestScript, neg bool, args []string) {
	check(ts, !neg && len(args) == 3, "usage: edit FILE OLD NEW")
	text := ts.ReadFile(args[0])
	check(ts, strings.Contains(text, args[1]), "%s holds no %q:\n%s", args[0], args[1], text)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.ReplaceAll(text, args[1], args[2])), 0o644))
}

func rawCommand(ts *testscript.TestScript, neg bool, args []string) {
	check(ts, !neg && len(args) == 2, "usage: raw FILE TEXT")
	text, err := strconv.Unquote(`"` + args[1] + `"`)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o644))
}

func poolsCommand(ts *testscript.TestScript, neg bool, args []string) {
	check(ts, !neg && len(args) <= 1, "usage: pools [FAULT]")
	var plan func(*http.Request) poolingtest.Fault
	if len(args) == 1 {
		plan = func(*http.Request) poolingtest.Fault { return poolingtest.Fault(args[0]) }
	}
	worldOf(ts).Pools.Faults.Plan(plan)
}

func depoolCommand(ts *testscript.TestScript, neg bool, args []string) {
	check(ts, !neg && len(args) == 1, "usage: depool HOST")
	w := worldOf(ts)
	for key, value := range w.objects() {
		if filepath.Base(key) == args[0] {
			ts.Check(w.Pools.Etcd.Put(key, strings.ReplaceAll(value, `"yes"`, `"no"`)))
		}
	}
}

func sameCommand(ts *testscript.TestScript, neg bool, args []string) {
	check(ts, !neg && len(args) == 1, "usage: same pools|trees|source")
	s := worldOf(ts)
	switch args[0] {
	case "pools":
		now := s.objects()
		check(ts, maps.Equal(s.before, now), "the pool objects are %v, were %v", now, s.before)
	case "trees":
		now, err := s.walkAll()
		ts.Check(err)
		for host, was := range s.trees {
			paths := was.DifferTouched(now[host])
			check(ts, len(paths) == 0, "%s: %s", host, testfleet.Tell(paths, was, now[host]))
		}
	case "source":
		source, err := testfleet.TakeSnapshot(s.Source, nil)
		ts.Check(err)
		now, err := s.walkAll()
		ts.Check(err)
		for host, is := range now {
			paths := source.DifferSynced(is)
			check(ts, len(paths) == 0, "%s: %s", host, testfleet.Tell(paths, source, is))
		}
	default:
		ts.Fatalf("the same %q?", args[0])
	}
}
