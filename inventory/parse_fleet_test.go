package inventory

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const fleetText = `
fleet: mediawiki
tree:
  source: /srv/mediawiki-staging
  destination: /srv/mediawiki
  module: common
  exclude: ["**/.git", "/scap", "*.swp", "cache/", "**/cache/l10n/*.cdb", "/a/b/"]
defaults: {user: deploy, become: mwdeploy, port: 2222, datacenter: eqiad}
groups:
  all-jobs: ["@jobs", mw3]
  jobs: ["mw[4-5]"]
hosts:
  mw[5,3-4]:
  tin: {connection: local, source: "/data/{host}", scratch: "/data/s/{host}", user: root, become: root}
  box: {address: "2001:db8::1", rack: 1e3}
  bax: {endpoint: "rsync://[::1]:8873"}
  bux: {address: 10.0.0.1, endpoint: "rsync://{host}:8873"}
  mira: {datacenter: codfw, rack: 7, port: 22, address: "{host}.mgmt", destination: "/srv/{host}/x"}
roles:
  masters:
    - {host: mira, serve: true}
    - {host: tin, serve: false, slots: 3}
  canaries: ["@jobs"]
  proxies:
    - {hosts: [mw3], slots: 20}
    - {hosts: [box], pooled: false}
`

func TestParseFleet(t *testing.T) {
	got, err := ParseFleet("f.yaml", []byte(fleetText))
	if err != nil {
		t.Fatal(err)
	}
	host := func(name string, change func(*Host)) Host {
		h := Host{
			Name: name, Address: name, Port: 2222, User: "deploy", Become: "mwdeploy", Datacenter: "eqiad",
			Source: "/srv/mediawiki-staging", Destination: "/srv/mediawiki", Scratch: "/srv/.fleetsync",
			Endpoint: "rsync://" + name, Connection: ConnectionSSH,
		}
		change(&h)
		return h
	}
	same := func(*Host) {}
	want := &Fleet{
		Name: "mediawiki",
		Tree: Tree{
			Source: "/srv/mediawiki-staging", Destination: "/srv/mediawiki", Module: "common", Scratch: "/srv/.fleetsync",
			Exclude: []string{"**/.git", "/scap", "*.swp", "cache/", "**/cache/l10n/*.cdb", "/a/b/"},
		},
		Hosts: []Host{
			host("mw5", same), host("mw3", same), host("mw4", same),
			host("tin", func(h *Host) {
				h.Connection, h.Source, h.Scratch, h.User, h.Become = ConnectionLocal, "/data/tin", "/data/s/tin", "root", "root"
			}),
			host("box", func(h *Host) { h.Address, h.Endpoint, h.Rack = "2001:db8::1", "rsync://[2001:db8::1]", "1e3" }),
			host("bax", func(h *Host) { h.Endpoint = "rsync://[::1]:8873" }),
			host("bux", func(h *Host) { h.Address, h.Endpoint = "10.0.0.1", "rsync://bux:8873" }),
			host("mira", func(h *Host) {
				h.Datacenter, h.Rack, h.Port = "codfw", "7", 22
				h.Address, h.Endpoint = "mira.mgmt", "rsync://mira.mgmt"
				h.Destination, h.Scratch = "/srv/mira/x", "/srv/mira/.fleetsync"
			}),
		},
		Groups:   map[string][]string{"jobs": {"mw5", "mw4"}, "all-jobs": {"mw5", "mw3", "mw4"}},
		Masters:  []Master{{"mira", true, DefaultSlots}, {"tin", false, 3}},
		Canaries: []string{"mw5", "mw4"},
		Proxies:  []Proxy{{"mw3", 20, true}, {"box", DefaultSlots, false}},
		Digest:   fmt.Sprintf("%x", sha256.Sum256([]byte(fleetText))),
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Fleet{})); diff != "" {
		t.Error(diff)
	}
	for _, h := range got.Hosts {
		if found, ok := got.Host(h.Name); !ok || found != h {
			t.Errorf("Host(%q) = %v, %v", h.Name, found, ok)
		}
	}
	if h, ok := got.Host("nobody"); ok {
		t.Errorf("Host(nobody) = %v", h)
	}
}

// Fleets without proxies, canaries, groups and defaults are ordinary.
func TestParseFleetThatIsSmall(t *testing.T) {
	const text = "fleet: t\ntree: {source: /srv/a, destination: /b, module: m}\nhosts: {m: }\nroles: {masters: [{host: m, serve: true}]}"
	for _, text := range []string{text, "\ufeff" + text, "# x\n---\n" + text + "\n...\n", strings.ReplaceAll(text, "\n", "\r\n")} {
		f, err := ParseFleet("f.yaml", []byte(text))
		if err != nil {
			t.Errorf("%q:\n%v", text, err)
		} else if f.Tree.Scratch != "/.fleetsync" || f.Hosts[0].Scratch != "/.fleetsync" {
			t.Errorf("scratch is %q and %q", f.Tree.Scratch, f.Hosts[0].Scratch)
		}
	}
}

// Hosts of one machine may share a scratch folder, and nothing else.
func TestParseFleetOnOneMachine(t *testing.T) {
	const text = "fleet: t\ntree: {source: /t/tree, destination: '/t/hosts/{host}', module: m}\n" +
		"defaults: {connection: local}\nhosts: {'h[1-9]': , m: }\nroles: {masters: [{host: m, serve: true}]}"
	if _, err := ParseFleet("f.yaml", []byte(text)); err != nil {
		t.Error(err)
	}
}

func TestLoadFleet(t *testing.T) {
	path := filepath.Join(t.TempDir(), "inventory.yaml")
	if _, err := LoadFleet(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := LoadFleet(filepath.Dir(path)); err == nil || errors.As(err, new(Problems)) {
		t.Errorf("a folder: %v", err)
	}
	if err := os.WriteFile(path, []byte("fleets: t\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := LoadFleet(path)
	checkProblems(t, err, "fleets: t\n")
	if !strings.HasPrefix(err.Error(), path+":1:1: ") {
		t.Errorf("no position: %v", err)
	}
}

// What is no text, and text made to exhaust whoever reads it, gives an error soon.
func TestParseFleetIsBounded(t *testing.T) {
	const head = "fleet: t\ntree: {source: /srv/a, destination: /srv/b, module: m}\n"
	var groups strings.Builder
	groups.WriteString(head + "hosts: {'h[1-50000]': }\nroles: {masters: [{host: h1, serve: true}]}\ngroups:\n  g0: ['h[1-50000]']\n")
	for i := range 1000 {
		fmt.Fprintf(&groups, "  g%d: ['@g%d']\n", i+1, i)
	}
	for name, text := range map[string]string{
		"NUL":          "fleet: \x00",
		"UTF-16":       "\xff\xfef\x00l\x00",
		"not UTF-8":    "fleet: \xc3\x28",
		"escape":       "fleet: \x1b[2J",
		"large":        strings.Repeat("# comment\n", maxFile/10+1),
		"flow":         strings.Repeat("[", 100_000),
		"blocks":       strings.Repeat("- ", 100_000),
		"braces":       strings.Repeat("{a: ", 100_000),
		"unknown keys": manyKeys(20_000),
		"one line":     "fleet: " + strings.Repeat("x", 1<<20) + " y",
		"group chain":  groups.String(),
		"large ranges": head + "hosts:\n  h[1-99999]:\n" + manyRanges(100) + "roles: {masters: [{host: h1, serve: true}]}\n",
		"alias bomb":   "a: &a [x,x]\n" + strings.Repeat("b: &a [*a,*a,*a,*a]\n", 1000),
		"unknown hosts": head + "hosts: {'h[1-20000]': }\nroles:\n  masters: [{host: h1, serve: true}]\n  canaries:\n" +
			strings.Repeat("    - g1\n", 20_000),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseFleet("f.yaml", []byte(text))
			var problems Problems
			if !errors.As(err, &problems) {
				t.Fatalf("%v is not Problems", err)
			}
			if n := len(err.Error()); n > 200_000 {
				t.Errorf("an error of %d bytes", n)
			}
		})
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "key%d: x\n", i)
	}
	return b.String()
}

func manyRanges(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "  %c%d-[1-99999]:\n", 'a'+i%26, i)
	}
	return b.String()
}

// A fleet of 10,000 hosts with groups, roles and overrides.
func largeFleet() []byte {
	var b bytes.Buffer
	b.WriteString("fleet: t\ntree: {source: /srv/a, destination: /srv/b, module: m}\ndefaults: {user: deploy}\nhosts:\n  m1:\n")
	for i := range 10_000 {
		fmt.Fprintf(&b, "  mw%d.eqiad.wmnet: {datacenter: eqiad, rack: r%d, address: 10.0.%d.%d}\n", i, i/40, i/256, i%256)
	}
	b.WriteString("groups:\n")
	for i := range 100 {
		fmt.Fprintf(&b, "  g%d: [\"mw[%d-%d].eqiad.wmnet\"]\n", i, i*100, i*100+99)
	}
	b.WriteString("roles:\n  masters: [{host: m1, serve: true}]\n  canaries: ['@g0']\n  proxies: [{hosts: ['@g1']}]\n")
	return b.Bytes()
}

func BenchmarkParseFleet10000(b *testing.B) {
	data := largeFleet()
	for b.Loop() {
		if _, err := ParseFleet("f.yaml", data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseFleet10000Local(b *testing.B) {
	data := []byte("fleet: t\ntree: {source: /t/tree, destination: '/t/hosts/{host}', module: m}\n" +
		"defaults: {connection: local}\nhosts: {'h[1-10000]': , m: }\nroles: {masters: [{host: m, serve: true}]}")
	for b.Loop() {
		if _, err := ParseFleet("f.yaml", data); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzParseFleet(f *testing.F) {
	f.Add([]byte(fleetText))
	for _, text := range archived(f, "testdata/fleet/*.txtar") {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		fleet, err := ParseFleet("f.yaml", data)
		if err != nil {
			checkProblems(t, err, string(data))
			return
		}
		checkFleet(t, fleet)
	})
}

// checkFleet fails unless a fleet keeps what its type promises.
func checkFleet(t *testing.T, f *Fleet) {
	t.Helper()
	exists := func(names ...string) {
		for _, name := range names {
			if h, ok := f.Host(name); !ok || h.Name != name {
				t.Fatalf("%q is not in the fleet", name)
			}
		}
	}
	if f.Name == "" || f.Tree.Module == "" || len(f.Hosts) == 0 || len(f.Masters) == 0 {
		t.Fatalf("something is missing: %+v", f)
	}
	seen := map[string]bool{}
	for _, h := range f.Hosts {
		if seen[strings.ToLower(h.Name)] {
			t.Fatalf("%q is there twice", h.Name)
		}
		seen[strings.ToLower(h.Name)] = true
		exists(h.Name)
		if strings.ContainsAny(h.Name, "/:[]*?$`'\" \\") || strings.HasPrefix(h.Name, "-") {
			t.Fatalf("bad name %q", h.Name)
		}
		for _, path := range []string{h.Source, h.Destination, h.Scratch} {
			if !strings.HasPrefix(path, "/") || filepath.Clean(path) != path || path == "/" {
				t.Fatalf("bad path %q", path)
			}
		}
		for _, s := range []string{h.Source, h.Destination, h.Scratch, h.Address, h.Endpoint, h.User, h.Become} {
			if strings.ContainsAny(s, "{}\n\x00\x1b") || strings.HasPrefix(s, "-") {
				t.Fatalf("bad value %q", s)
			}
		}
		if h.Address == "" || h.Endpoint == "" || h.Connection == "" || h.Port < 0 || h.Port > 65535 {
			t.Fatalf("bad host %+v", h)
		}
		if strings.HasPrefix(h.Scratch+"/", h.Destination+"/") || strings.HasPrefix(h.Destination+"/", h.Scratch+"/") {
			t.Fatalf("scratch %q and destination %q", h.Scratch, h.Destination)
		}
	}
	serves := false
	role := map[string]string{}
	take := func(name, r string) {
		exists(name)
		if role[name] != "" {
			t.Fatalf("%q is %s and %s", name, role[name], r)
		}
		role[name] = r
	}
	for _, m := range f.Masters {
		take(m.Host, "master")
		serves = serves || m.Serve
	}
	for _, c := range f.Canaries {
		take(c, "canary")
	}
	for _, p := range f.Proxies {
		take(p.Host, "proxy")
		if p.Slots < 1 {
			t.Fatalf("%d slots", p.Slots)
		}
	}
	if !serves {
		t.Fatal("no master may serve")
	}
	for name, members := range f.Groups {
		if len(members) == 0 {
			t.Fatalf("group %q is empty", name)
		}
		exists(members...)
	}
}
