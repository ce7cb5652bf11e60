package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/fleetsync/fleetsync/pooling/poolingtest"
)

// withCrashes adds what scripts about more than one process need:
//
//	master NAME       from now on the program is typed on another master: other state, same fleet; here is the first
//	start NAME ARGS.. run fleetsync beside the script; what it says goes to NAME.out and NAME.err
//	finish NAME CODE  wait for its end; -1 is kill -9
//	at RE N kill NAME end it with kill -9 at the Nth request to the store that matches METHOD PATH; the request has its effect
//	at RE N hold      let that request wait; held waits until it does, and go lets it go on
//	newest VAR        set a variable to the newest run of this master
//	shared RE         the store holds a key beside the pools that matches, but for the record of the inventory; ! shared: none
//	set RE OLD NEW    replace text in the values of keys that match, as somebody else would
//	put KEY VALUE     write a key; drop KEY deletes it
//	readonly on|off   the store takes no writes
//	expire DURATION   let the store's clock go forward: leases end
//	balancers [stick|follow]  bring a PyBal up for each datacenter (LVS_eqiad, LVS_codfw), or keep it from noticing changes
func withCrashes(commands map[string]func(*testscript.TestScript, bool, []string)) map[string]func(*testscript.TestScript, bool, []string) {
	maps.Copy(commands, map[string]func(*testscript.TestScript, bool, []string){
		"master": masterCommand, "start": startCommand, "finish": finishCommand, "at": atCommand,
		"held": heldCommand, "go": goCommand, "newest": newestCommand, "shared": sharedCommand, "set": setCommand, "put": putCommand,
		"drop": dropCommand, "readonly": readonlyCommand, "expire": expireCommand, "balancers": balancersCommand,
	})
	return commands
}

// crashes is what a script has under way, by its store.
type crashes struct {
	mu       sync.Mutex
	programs map[string]*exec.Cmd
	stopped  chan struct{} // closed when a request waits
	resume   chan struct{} // closed to let it go on
	lbs      []*poolingtest.Balancer
}

var underWay sync.Map // *scriptWorld → *crashes

func crashesOf(ts *testscript.TestScript) *crashes {
	c, _ := underWay.LoadOrStore(worldOf(ts), &crashes{programs: map[string]*exec.Cmd{}})
	return c.(*crashes)
}

func masterCommand(ts *testscript.TestScript, neg bool, args []string) {
	check(ts, !neg && len(args) == 1, "usage: master NAME")
	w := worldOf(ts)
	if args[0] == "here" {
		ts.Setenv("FLEETSYNC_CONFIG", w.Config)
		return
	}
	path := filepath.Join(w.Dir, args[0]+".yaml")
	if _, err := os.Stat(path); err != nil {
		text := ts.ReadFile(w.Config)
		state := filepath.Join(w.Dir, "state")
		check(ts, strings.Contains(text, "state: "+state+"\n"), "no state folder in %s", text)
		ts.Check(os.WriteFile(path, []byte(strings.Replace(text, "state: "+state+"\n", "state: "+state+"-"+args[0]+"\n", 1)), 0o644))
	}
	ts.Setenv("FLEETSYNC_CONFIG", path)
}

func startCommand(ts *testscript.TestScript, neg bool, args []string) {
	check(ts, !neg && len(args) > 1, "usage: start NAME ARGS...")
	name := args[0]
	path, err := watched()
	ts.Check(err)
	cmd := exec.Command(path, args[1:]...)
	cmd.Env = append(os.Environ(), "FLEETSYNC_CONFIG="+ts.Getenv("FLEETSYNC_CONFIG"), "PATH="+ts.Getenv("PATH"))
	cmd.Dir = ts.MkAbs(".")
	for file, to := range map[string]**os.File{".out": new(*os.File), ".err": new(*os.File)} {
		var err error
		*to, err = os.Create(ts.MkAbs(name + file))
		ts.Check(err)
		if file == ".out" {
			cmd.Stdout = *to
		} else {
			cmd.Stderr = *to
		}
	}
	c := crashesOf(ts)
	c.mu.Lock()
	defer c.mu.Unlock()
	ts.Check(cmd.Start())
	c.programs[name] = cmd
	ts.Defer(func() {
		c.let()
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // again, if the script has
	})
}

func finishCommand(ts *testscript.TestScript, neg bool, args []string) {
	check(ts, !neg && len(args) == 2, "usage: finish NAME CODE")
	c := crashesOf(ts)
	c.mu.Lock()
	cmd := c.programs[args[0]]
	c.mu.Unlock()
	check(ts, cmd != nil, "nothing is called %s", args[0])
	late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	check(ts, late.Stop(), "%s does not end", args[0])
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		ts.Check(err)
	}
	said := ts.ReadFile(args[0] + ".err")
	ts.Logf("[%s]\n%s", args[0], said)
	check(ts, strconv.Itoa(cmd.ProcessState.ExitCode()) == args[1], "%s: exit code %d, want %s", args[0], cmd.ProcessState.ExitCode(), args[1])
	check(ts, unclean(said) == "", "%s", unclean(said))
}

func atCommand(ts *testscript.TestScript, neg bool, args []string) {
	check(ts, !neg && (len(args) == 4 && args[2] == "kill" || len(args) == 3 && args[2] == "hold"), "usage: at RE N kill NAME | at RE N hold")
	re, err := regexp.Compile(args[0])
	ts.Check(err)
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	c := crashesOf(ts)
	stopped, resume := make(chan struct{}), make(chan struct{})
	c.mu.Lock()
	c.stopped, c.resume = stopped, resume
	c.mu.Unlock()
	var mu sync.Mutex
	worldOf(ts).Pools.Faults.Plan(func(r *http.Request) poolingtest.Fault {
		mu.Lock()
		is := re.MatchString(r.Method + " " + r.URL.Path)
		if is {
			n--
		}
		is = is && n == 0
		mu.Unlock()
		switch {
		case is && args[2] == "hold":
			close(stopped)
			<-resume
		case is:
			c.mu.Lock()
			_ = c.programs[args[3]].Process.Kill()
			c.mu.Unlock()
		}
		return poolingtest.None
	})
}

func heldCommand(ts *testscript.TestScript, neg bool, args []string) {
	check(ts, !neg && len(args) == 0, "usage: held")
	c := crashesOf(ts)
	select {
	case <-c.stopped:
	case <-time.After(patience):
		ts.Fatalf("no such request")
	}
}

// let lets a held request go on.
func (c *crashes) let() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.resume != nil {
		close(c.resume)
		c.resume = nil
	}
}

func goCommand(ts *testscript.TestScript, neg bool, args []string) {
	check(ts, !neg && len(args) == 0, "usage: go")
	crashesOf(ts).let()
}

func newestCommand(ts *testscript.TestScript, neg bool, args []string) {
	check(ts, !neg && len(args) == 1, "usage: newest VAR")
	found, err := filepath.Glob(filepath.Join(worldOf(ts).Dir, "state", "demo", "2*"))
	ts.Check(err)
	check(ts, len(found) > 0, "no run")
	ts.Setenv(args[0], filepath.Base(slices.Max(found)))
}

func sharedCommand(ts *testscript.TestScript, neg bool, args []string) {
	check(ts, len(args) == 1, "usage: [!] shared RE")
	re, err := regexp.Compile(args[0])
	ts.Check(err)
	var matching, all []string
	for key, value := range worldOf(ts).Pools.Etcd.Values("/fleetsync/v1") {
		all = append(all, key+" = "+value)
		if !strings.HasSuffix(key, "/inventory/last") && re.MatchString(key) {
			matching = append(matching, key)
		}
	}
	check(ts, len(matching) > 0 != neg, "the store holds %s", strings.Join(all, "\n"))
}

func setCommand(ts *testscript.TestScript, neg bool, args []string) {
	check(ts, !neg && len(args) == 3, "usage: set RE OLD NEW")
	re, err := regexp.Compile(args[0])
	ts.Check(err)
	w, n := worldOf(ts), 0
	for _, dir := range []string{"/conftool", "/fleetsync"} {
		for key, value := range w.Pools.Etcd.Values(dir) {
			if changed := strings.ReplaceAll(value, args[1], args[2]); re.MatchString(key) && changed != value {
				ts.Check(w.Pools.Etcd.Put(key, changed))
				n++
			}
		}
	}
	check(ts, n > 0, "no value to change")
}

func putCommand(ts *testscript.TestScript, neg bool, args []string) {
	check(ts, !neg && len(args) == 2, "usage: put KEY VALUE")
	ts.Check(worldOf(ts).Pools.Etcd.Put(args[0], args[1]))
}

func dropCommand(ts *testscript.TestScript, neg bool, args []string) {
	check(ts, !neg && len(args) == 1, "usage: drop KEY")
	check(ts, worldOf(ts).Pools.Etcd.Delete(args[0]), "no such key")
}

func readonlyCommand(ts *testscript.TestScript, neg bool, args []string) {
	check(ts, !neg && len(args) == 1, "usage: readonly on|off")
	fault := poolingtest.None
	if args[0] == "on" {
		fault = poolingtest.Proxy403
	}
	worldOf(ts).Pools.Faults.Plan(func(r *http.Request) poolingtest.Fault {
		if r.Method == http.MethodGet {
			return poolingtest.None
		}
		return fault
	})
}

func expireCommand(ts *testscript.TestScript, neg bool, args []string) {
	check(ts, !neg && len(args) == 1, "usage: expire DURATION")
	d, err := time.ParseDuration(args[0])
	ts.Check(err)
	worldOf(ts).Pools.Etcd.Advance(d)
}

func balancersCommand(ts *testscript.TestScript, neg bool, args []string) {
	check(ts, !neg && len(args) <= 1, "usage: balancers [stick|follow]")
	w, c := worldOf(ts), crashesOf(ts)
	if len(args) == 1 {
		for _, b := range c.lbs {
			b.Stick(args[0] == "stick")
		}
		return
	}
	var policy bytes.Buffer
	policy.WriteString("  balancers:\n")
	for _, datacenter := range []string{"eqiad", "codfw"} {
		b := &poolingtest.Balancer{Etcd: w.Pools.Etcd, Pools: map[string]string{"apaches_80": "/conftool/v1/pools/" + datacenter +
			"/appserver/apache2"}}
		page := httptest.NewServer(b)
		ts.Defer(page.Close)
		c.lbs = append(c.lbs, b)
		fmt.Fprintf(&policy, "    %s: {urls: [%q], pools: {apache2: apaches_80, nginx: \"\"}, timeout: 500ms}\n", datacenter, page.URL)
		resp, err := http.Get(page.URL + "/pools/apaches_80") // it knows from now on how things are
		ts.Check(err)
		ts.Check(resp.Body.Close())
	}
	text := ts.ReadFile(w.Config)
	ts.Check(os.WriteFile(w.Config, []byte(strings.Replace(text, "pooling:\n", "pooling:\n"+policy.String(), 1)), 0o644))
}
