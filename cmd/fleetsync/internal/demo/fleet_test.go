package demo

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/cmd/internal/testfleet"
	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/transport"
	"github.com/fleetsync/fleetsync/transport/rsync"
	"github.com/fleetsync/fleetsync/transport/transporttest"
)

// small returns options of a fleet that is up in a moment.
func small(t *testing.T) Options {
	t.Helper()
	transporttest.Need(t, "rsync")
	transporttest.Need(t, "flock")
	o := Defaults()
	o.Dir, o.Hosts, o.Files = filepath.Join(t.TempDir(), "fleet"), 6, 60
	return o
}

func up(t *testing.T, o Options) (*Fleet, *inventory.Fleet, *inventory.Policy) {
	t.Helper()
	f, err := Up(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		wantNothingRunning(t, f.Dir)
	})
	fleet, err := inventory.LoadFleet(f.Inventory)
	if err != nil {
		t.Fatal(err)
	}
	policy, err := inventory.LoadPolicy(f.Config)
	if err != nil {
		t.Fatal(err)
	}
	return f, fleet, policy
}

// wantNothingRunning waits until no process of this machine names a directory.
func wantNothingRunning(t *testing.T, dir string) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(20 * time.Second)
	for {
		left := running(t, dir)
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still running: %q", left)
		}
		<-tick.C
	}
}

// running returns the command lines of processes that name a directory.
func running(t *testing.T, dir string) []string {
	t.Helper()
	all, err := testfleet.Processes(dir)
	if err != nil {
		t.Skip(err)
	}
	return slices.Collect(maps.Values(all))
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	reply, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply.StatusCode, strings.TrimSpace(string(body))
}

// pull syncs a host from a source as a run does.
func pull(t *testing.T, fleet *inventory.Fleet, host, source string) {
	t.Helper()
	h, _ := fleet.Host(host)
	s, _ := fleet.Host(source)
	p := rsync.Pull{Source: s.Endpoint + "/" + fleet.Tree.Module, Destination: h.Destination, Scratch: h.Scratch,
		Exclude: fleet.Tree.Exclude, MaxDelete: rsync.Unlimited}
	for _, m := range fleet.Masters {
		if m.Host == host {
			p.Destination = h.Source
		}
	}
	if _, err := rsync.Sync(t.Context(), transport.Local{}, p, rsync.Watch{Log: func(line string) { t.Log(line) }}); err != nil {
		t.Fatal(err)
	}
}

func snapshot(t *testing.T, dir string) testfleet.Snapshot {
	t.Helper()
	s, err := testfleet.TakeSnapshot(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func wantSynced(t *testing.T, got, want testfleet.Snapshot) {
	t.Helper()
	if paths := want.DifferSynced(got); len(paths) > 0 {
		t.Errorf("%d paths differ:\n%s", len(paths), testfleet.Tell(paths, want, got))
	}
}

func TestFleetSyncs(t *testing.T) {
	o := small(t)
	o.Excluded = true
	f, fleet, policy := up(t, o)

	if fleet.Tree.Source != f.Source || policy.State != filepath.Join(f.Dir, "state") {
		t.Errorf("source %q, state %q", fleet.Tree.Source, policy.State)
	}
	if len(fleet.Hosts) != 8 || len(fleet.Proxies) != 3 || len(fleet.Canaries) != 2 || len(fleet.Masters) != 2 {
		t.Errorf("%d hosts, %d proxies, %d canaries, %d masters", len(fleet.Hosts), len(fleet.Proxies), len(fleet.Canaries), len(fleet.Masters))
	}
	if f.Created != 12 || f.Kept != 0 {
		t.Errorf("%d objects created, %d kept", f.Created, f.Kept)
	}
	canary := fleet.Canaries[0]
	page, health := f.Web+"/"+canary+"/wiki/Main_Page", f.Web+"/"+canary+"/healthz"
	if status, _ := get(t, page); status != http.StatusNotFound {
		t.Errorf("the page of a host without a tree has status %d", status)
	}

	// From the origin to a proxy and the other master, from there to others: every daemon serves.
	origin := fleet.Masters[0].Host
	last := origin
	for _, p := range fleet.Proxies {
		pull(t, fleet, p.Host, last)
		last = p.Host
	}
	pull(t, fleet, canary, last)
	pull(t, fleet, fleet.Masters[1].Host, origin)
	pull(t, fleet, fleet.Canaries[1], fleet.Masters[1].Host)

	want := snapshot(t, f.Source)
	for path := range want {
		if strings.Contains(path, ".git") || strings.HasSuffix(path, ".swp") || strings.HasSuffix(path, ".cdb") {
			delete(want, path)
		}
	}
	tin, _ := fleet.Host(fleet.Masters[1].Host)
	places := []string{tin.Source}
	for _, host := range []string{fleet.Proxies[2].Host, canary, fleet.Canaries[1]} {
		h, _ := fleet.Host(host)
		places = append(places, h.Destination)
	}
	for _, place := range places {
		wantSynced(t, snapshot(t, place), want)
	}

	if status, body := get(t, page); status != http.StatusOK || body != "Main Page: MediaWiki 1.27.0-wmf.11" {
		t.Errorf("the page of a synced host: %d %q", status, body)
	}
	if status, _ := get(t, health); status != http.StatusOK {
		t.Errorf("a synced host's health has status %d", status)
	}
	h, _ := fleet.Host(canary)
	if err := os.Remove(filepath.Join(h.Destination, "wikiversions.php")); err != nil {
		t.Fatal(err)
	}
	if status, body := get(t, page); status != http.StatusInternalServerError {
		t.Errorf("the page of a broken tree: %d %q", status, body)
	}
	if err := os.WriteFile(filepath.Join(f.Dir, "hosts", canary, "down"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{page, health} {
		if status, _ := get(t, url); status != http.StatusServiceUnavailable {
			t.Errorf("%s of a host that is down: %d", url, status)
		}
	}
	if status, _ := get(t, f.Web+"/nobody/healthz"); status != http.StatusNotFound {
		t.Errorf("an unknown host's health has status %d", status)
	}

	if len(running(t, f.Dir)) == 0 {
		t.Error("no daemon is seen running, so that this test cannot see one that is left")
	}
	for range 2 {
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, url := range []string{page, f.PoolAPI} {
		if reply, err := http.Get(url); err == nil {
			_ = reply.Body.Close()
			t.Errorf("%s is still served", url)
		}
	}
	if _, err := os.Stat(f.Inventory); err != nil {
		t.Errorf("Close deleted: %v", err)
	}
}

func TestOptionsAreRefused(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	full := filepath.Join(dir, "full")
	tree := filepath.Join(dir, "tree")
	for _, d := range []string{filepath.Join(full, "something"), filepath.Join(tree, "folder"), filepath.Join(dir, "empty")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(filepath.Join(tree, "folder"), link); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*Options)
		want   string
	}{
		"no directory":          {func(o *Options) { o.Dir = "" }, "needs a directory"},
		"used directory":        {func(o *Options) { o.Dir = full }, "is not empty"},
		"a file":                {func(o *Options) { o.Dir = file }, "not a directory"},
		"below a file":          {func(o *Options) { o.Dir = filepath.Join(file, "x") }, "not a directory"},
		"percent":               {func(o *Options) { o.Dir += "%h" }, "rsyncd.conf"},
		"braces":                {func(o *Options) { o.Dir += "{host}x{y}" }, "braces"},
		"end of line":           {func(o *Options) { o.Dir += "\nfleet: other" }, "cannot be printed"},
		"not UTF-8":             {func(o *Options) { o.Dir += "\xff" }, "UTF-8"},
		"kernel's":              {func(o *Options) { o.Dir = "/proc/fleet" }, "folder of the system"},
		"no room for a canary":  {func(o *Options) { o.Proxies = o.Hosts }, "too few"},
		"no hosts":              {func(o *Options) { o.Hosts, o.Proxies = 0, 0 }, "too few"},
		"negative proxies":      {func(o *Options) { o.Proxies = -1 }, "fewer than none"},
		"no master":             {func(o *Options) { o.Masters = 0 }, "master"},
		"no file":               {func(o *Options) { o.Files = 0 }, "needs a file"},
		"negative soak":         {func(o *Options) { o.Soak = -1 }, "negative"},
		"endless drain":         {func(o *Options) { o.Drain = 1e18 }, "out of range"},
		"tree missing":          {func(o *Options) { o.Tree = filepath.Join(dir, "missing") }, "no such file"},
		"tree is a file":        {func(o *Options) { o.Tree = file }, "not a directory"},
		"tree is empty":         {func(o *Options) { o.Tree = filepath.Join(dir, "empty") }, "is empty"},
		"directory in the tree": {func(o *Options) { o.Tree, o.Dir = tree, filepath.Join(tree, "a", "b") }, "into itself"},
		"the tree, by a link":   {func(o *Options) { o.Tree, o.Dir = tree, link }, "into itself"},
		"pool API":              {func(o *Options) { o.PoolAPI = "ftp://127.0.0.1" }, "bad endpoint"},
		"pool API with a path":  {func(o *Options) { o.PoolAPI = "http://127.0.0.1:1/v2" }, "more than a host"},
	} {
		t.Run(name, func(t *testing.T) {
			o := small(t)
			c.change(&o)
			if err := o.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Validate: %v, want %q", err, c.want)
			}
			if f, err := Up(t.Context(), o); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Up: %v %v, want %q", f, err, c.want)
			}
			if o.Dir != file && o.Dir != full && o.Dir != link {
				if _, err := os.Lstat(o.Dir); err == nil && o.Dir != "" {
					t.Errorf("%q was made", o.Dir)
				}
			}
		})
	}
}

func TestOddDirectories(t *testing.T) {
	for _, name := range []string{
		`with 'quotes" and $HOME`, `# ; [x] *?`, `back\slash`, "ünïcödé – 日本", `-n`, `a: b, &c *d !e |`, `<tag>`, ` blank `, "😀", `$(x)`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // a daemon takes its time to end
			o := small(t)
			o.Dir, o.Hosts, o.Proxies, o.Masters, o.Files = filepath.Join(o.Dir, name), 2, 1, 1, 5
			f, fleet, _ := up(t, o)
			if f.Dir != o.Dir {
				t.Errorf("directory %q", f.Dir)
			}
			pull(t, fleet, fleet.Proxies[0].Host, fleet.Masters[0].Host)
			pull(t, fleet, fleet.Canaries[0], fleet.Proxies[0].Host)
			h, _ := fleet.Host(fleet.Canaries[0])
			wantSynced(t, snapshot(t, h.Destination), snapshot(t, f.Source))
			if status, body := get(t, f.Web+"/"+h.Name+"/wiki/Main_Page"); status != http.StatusOK {
				t.Errorf("page: %d %s", status, body)
			}
		})
	}
}

func TestEmptyDirectoryIsUsed(t *testing.T) {
	o := small(t)
	o.Dir = t.TempDir()
	up(t, o)
}

func TestRelativeDirectory(t *testing.T) {
	o := small(t)
	o.Dir, o.Tree = "fleet", "tree"
	t.Chdir(t.TempDir())
	if err := os.MkdirAll("tree/folder", 0o755); err != nil {
		t.Fatal(err)
	}
	f, fleet, _ := up(t, o)
	if !filepath.IsAbs(f.Config) || !filepath.IsAbs(fleet.Tree.Source) {
		t.Errorf("%q and %q are not absolute", f.Config, fleet.Tree.Source)
	}
}

func TestMissingPrograms(t *testing.T) {
	o := small(t)
	t.Setenv("PATH", t.TempDir())
	if _, err := Up(t.Context(), o); !errors.Is(err, transport.ErrMissing) || !strings.Contains(err.Error(), "rsync, flock") {
		t.Errorf("%v", err)
	}
	wantNothing(t, o.Dir)
}

// The last thing that can fail is the pool API: all else is up by then. Seen to fail when what was up
// was not closed, and when the directory was not removed.
func TestFailedUpLeavesNothing(t *testing.T) {
	o := small(t)
	o.PoolAPI = "http://127.0.0.1:1"
	if _, err := Up(t.Context(), o); err == nil || !strings.Contains(err.Error(), "pool objects") {
		t.Errorf("%v", err)
	}
	wantNothing(t, o.Dir)

	o.Dir = t.TempDir()
	if _, err := Up(t.Context(), o); err == nil {
		t.Error("no error")
	}
	if entries, err := os.ReadDir(o.Dir); err != nil || len(entries) > 0 {
		t.Errorf("%v %v", entries, err)
	}
	wantNothingRunning(t, o.Dir)
}

func TestStoppedUpLeavesNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o := small(t)
	if _, err := Up(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	wantNothing(t, o.Dir)
}

// A fleet outlives the context that it was made under: what is interrupted still needs it to end
// well. Seen to fail with daemons under that context.
func TestFleetOutlivesContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f, err := Up(ctx, small(t))
	if err != nil {
		t.Fatal(err)
	}
	defer wantNothingRunning(t, f.Dir)
	defer func() { _ = f.Close() }()
	cancel()
	fleet, err := inventory.LoadFleet(f.Inventory)
	if err != nil {
		t.Fatal(err)
	}
	pull(t, fleet, fleet.Canaries[0], fleet.Masters[0].Host)
}

func wantNothing(t *testing.T, dir string) {
	t.Helper()
	if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%q is left: %v", dir, err)
	}
	wantNothingRunning(t, dir)
}
