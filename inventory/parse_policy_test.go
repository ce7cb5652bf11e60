package inventory

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const policyText = `
modes: # before what they override
  canary: {gate: {soak: 1m}}
  resync: {batches: {down: skip, parallel: 200, ramp: [8, 12.5%], max_failures: 50%},
    gate: {soak: 0s, checks: [{name: up, command: [true]}]}}
inventory: ../inventory.yaml
state: state
batches: {parallel: 10, timeout: 1h30m, down: try}
gate:
  interval: 500ms
  checks:
    - {name: front page, http: {url: "http://{host}/wiki/Main_Page", headers: {host: en.wikipedia.org}, body: "a+", latency: 1s}}
    - {name: version, command: [php, -r, "function f(){}\nexit(0);", "{destination}"], timeout: 30s}
pooling:
  endpoints: ["https://conf1001.eqiad.wmnet:4001", "http://[::1]:4001"]
  select: {cluster: appserver, service: [apache2, nginx]}
  threshold: 66.67%
  quarantine: all
  on_foreign_edit: depool-again
  balancers:
    eqiad: {urls: ["http://lvs1003:9090", "https://[::1]"], pools: {apache2: apaches_80, nginx: apaches_443}, timeout: 10m}
    codfw: {urls: ["http://lvs2003:9090"], pools: {apache2: apaches_80, nginx: ""}}
  services: {apache2: 40%}
  health: {http: {url: "http://{host}/healthz", status: 204}}
  user: root
  password_file: secret
  ca_file: /etc/ca.pem
  cert_file: cert.pem
  key_file: ../key.pem
guard:
  required: [wikiversions.php, {match: "^<\\?php", path: wmf-config/InitialiseSettings.php}, {path: -x}, 'a{host}']
  provisioned: /etc/fleetsync/provisioned
  max_delete: 500
  max_shrink: 2.5%
  owners: [mwdeploy, 33, 0, 4294967294]
  git: {untracked: [/private, "*.cdb", "**/cache/l10n/"]}
  min_free: 2G
  sparse: true
verify: sample
keep: {hosts: all, runs: 5, age: 30d, manifests: 1}
hooks:
  run:
    pre: [{name: freeze jobs, command: [/usr/local/bin/freeze, "{run}", "--mode={mode}", "of {fleet}"]}]
    on_failure: [{name: tell, command: [logger, -t, fleetsync, "{run} failed"], timeout: 1s},
      {name: tell again, command: [mail], failure: ignore}]
  hosts:
    pre: [{name: stop job runner, hosts: "@jobrunners", command: [systemctl, stop, jobrunner]}]
    post:
      - {name: restart php, command: [systemctl, reload, php-fpm], parallel: 5, timeout: 2m, failure: ignore}
      - {name: warm, hosts: "not (role:canaries or mw[1017-1020].eqiad)", failure: fail,
         command: [sh, -c, "f() { {x}; }", "{host}", "--in={destination}"]}
lock: {ttl: 1m, prefix: /locks, endpoints: ["http://lock1001:2379"]}
rsync: {bandwidth_limit: 1.5M, compress: true, timeout: 2m, args: [--fuzzy, -HAX, --sockopts=TCP_NODELAY]}
`

func TestParsePolicy(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := ParsePolicy(filepath.Join(dir, "p.yaml"), []byte(policyText))
	if err != nil {
		t.Fatal(err)
	}
	checks := []Check{
		{Name: "front page", Timeout: 10 * time.Second, HTTP: &HTTPCheck{
			URL: "http://{host}/wiki/Main_Page", Headers: map[string]string{"Host": "en.wikipedia.org"}, Status: 200, Body: "a+",
			Latency: time.Second,
		}},
		{Name: "version", Timeout: 30 * time.Second, Command: []string{"php", "-r", "function f(){}\nexit(0);", "{destination}"}},
	}
	batches := Batches{
		Parallel: 10, Ramp: []Amount{percent(5), percent(25), percent(100)}, MaxFailures: percent(5), Attempts: 3, Timeout: 90 * time.Minute,
		Down: DownTry,
	}
	emergency := batches
	emergency.Down = DownSkip
	emergency.Parallel, emergency.Ramp, emergency.MaxFailures = 200, []Amount{{Count: 8}, {BasisPoints: 1250, Share: true}}, percent(50)
	want := &Policy{
		Inventory: filepath.Join(filepath.Dir(dir), "inventory.yaml"),
		State:     filepath.Join(dir, "state"),
		Lock:      Lock{TTL: time.Minute, Prefix: "/locks", Endpoints: []string{"http://lock1001:2379"}},
		Rsync: Rsync{BandwidthLimit: "1.5M", Compress: true, Timeout: 2 * time.Minute,
			Args: []string{"--fuzzy", "-HAX", "--sockopts=TCP_NODELAY"}},
		Guard: Guard{
			Required: []Required{
				{Path: "wikiversions.php"}, {Path: "wmf-config/InitialiseSettings.php", Match: `^<\?php`}, {Path: "-x"}, {Path: "a{host}"},
			},
			Provisioned: "/etc/fleetsync/provisioned",
			MaxDelete:   Amount{Count: 500},
			MaxShrink:   Amount{BasisPoints: 250, Share: true},
			Owners:      []string{"mwdeploy", "33", "0", "4294967294"},
			Git:         true,
			Untracked:   []string{"/private", "*.cdb", "**/cache/l10n/"},
			MinFree:     2 << 30,
			Sparse:      true,
		},
		Verify:    VerifySample,
		Retention: Retention{Hosts: KeepAll, Runs: 5, Age: 720 * time.Hour, Manifests: 1},
		SSH:       SSH{Client: SSHNative, MaxConnections: 1000},
		Hooks: Hooks{
			Run: HookSet{
				Pre: []Hook{{Name: "freeze jobs", Command: []string{"/usr/local/bin/freeze", "{run}", "--mode={mode}", "of {fleet}"},
					Timeout: time.Minute, Failure: HookFails}},
				OnFailure: []Hook{
					{Name: "tell", Command: []string{"logger", "-t", "fleetsync", "{run} failed"}, Timeout: time.Second, Failure: HookIgnored},
					{Name: "tell again", Command: []string{"mail"}, Timeout: time.Minute, Failure: HookIgnored},
				},
			},
			Hosts: HookSet{
				Pre: []Hook{{Name: "stop job runner", Hosts: "@jobrunners", Command: []string{"systemctl", "stop", "jobrunner"},
					Timeout: time.Minute, Failure: HookFails}},
				Post: []Hook{
					{Name: "restart php", Command: []string{"systemctl", "reload", "php-fpm"}, Timeout: 2 * time.Minute, Parallel: 5,
						Failure: HookIgnored},
					{
						Name: "warm", Hosts: "not (role:canaries or mw[1017-1020].eqiad)", Timeout: time.Minute, Failure: HookFails,
						Command: []string{"sh", "-c", "f() { {x}; }", "{host}", "--in={destination}"},
					},
				},
			},
		},
		Pooling: &Pooling{
			Endpoints: []string{"https://conf1001.eqiad.wmnet:4001", "http://[::1]:4001"},
			Prefix:    "/conftool/v1/pools",
			Select:    map[string][]string{"cluster": {"appserver"}, "service": {"apache2", "nginx"}},
			Threshold: Amount{BasisPoints: 6667, Share: true},
			Services:  map[string]Amount{"apache2": percent(40)},
			Drain:     10 * time.Second,
			Timeout:   30 * time.Second,
			Health:    &HTTPCheck{URL: "http://{host}/healthz", Status: 204},

			Quarantine:    QuarantineAll,
			OnForeignEdit: ForeignEditDepoolAgain,
			Balancers: map[string]Balancers{
				"eqiad": {
					URLs:  []string{"http://lvs1003:9090", "https://[::1]"},
					Pools: map[string]string{"apache2": "apaches_80", "nginx": "apaches_443"}, Timeout: 10 * time.Minute,
				},
				"codfw": {URLs: []string{"http://lvs2003:9090"}, Pools: map[string]string{"apache2": "apaches_80", "nginx": ""},
					Timeout: 10 * time.Second},
			},

			User: "root", Password: "hunter2",
			CAFile: "/etc/ca.pem", CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(filepath.Dir(dir), "key.pem"),
		},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Policy{})); diff != "" {
		t.Error(diff)
	}
	for mode, want := range map[Mode]Settings{
		ModeSync:   {batches, Gate{20 * time.Second, 500 * time.Millisecond, checks}},
		ModeCanary: {batches, Gate{time.Minute, 500 * time.Millisecond, checks}},
		ModeResync: {emergency, Gate{0, 500 * time.Millisecond, []Check{{Name: "up", Command: []string{"true"}, Timeout: 10 * time.Second}}}},
	} {
		if diff := cmp.Diff(want, got.For(mode)); diff != "" {
			t.Errorf("%s: %s", mode, diff)
		}
	}
}

// The defaults are what the documentation promises.
func TestParsePolicyDefaults(t *testing.T) {
	got, err := ParsePolicy("etc/p.yaml", []byte("inventory: i.yaml\npooling: {endpoints: ['http://h:1']}\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := &Policy{
		Inventory: "etc/i.yaml",
		State:     "/var/lib/fleetsync",
		Lock:      Lock{TTL: 30 * time.Second, Prefix: "/fleetsync/v1"},
		Rsync:     Rsync{Timeout: time.Minute},
		Guard:     Guard{MaxDelete: percent(10), MaxShrink: percent(10), Git: true},
		Verify:    VerifyAll,
		Retention: Retention{Hosts: KeepCanaries, Runs: 3, Age: 336 * time.Hour, Manifests: 10},
		SSH:       SSH{Client: SSHNative, MaxConnections: 1000},
		Pooling: &Pooling{
			Endpoints: []string{"http://h:1"}, Prefix: "/conftool/v1/pools", Threshold: Amount{BasisPoints: 5000, Share: true},
			Drain: 10 * time.Second, Timeout: 30 * time.Second,
			Quarantine: QuarantineCanaries, OnForeignEdit: ForeignEditStop,
		},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Policy{})); diff != "" {
		t.Error(diff)
	}
	settings := Settings{
		Batches{80, []Amount{{0, 500, true}, {0, 2500, true}, {0, 10000, true}}, Amount{0, 500, true}, 3, 15 * time.Minute, DownSkip},
		Gate{20 * time.Second, 5 * time.Second, nil},
	}
	for _, mode := range []Mode{ModeSync, ModeCanary, ModeResync} {
		if diff := cmp.Diff(settings, got.For(mode)); diff != "" {
			t.Errorf("%s: %s", mode, diff)
		}
	}
	if got, err := ParsePolicy("p.yaml", []byte("inventory: i.yaml")); err != nil || got.Pooling != nil {
		t.Errorf("without pooling: %+v, %v", got, err)
	}
}

// A lock needs no pools, and its keys may stand beside theirs.
// Planted faults that this and testdata found: comparing prefixes without a slash behind them; comparing
// one way only; comparing while pooling is not read yet.
func TestParseLock(t *testing.T) {
	pooling := "pooling: {endpoints: ['http://h:1'], prefix: /a/pools}\n"
	for text, want := range map[string]Lock{
		"lock: {}\n":                                 {TTL: 30 * time.Second, Prefix: "/fleetsync/v1"},
		"lock: {ttl: 5s}\n":                          {TTL: 5 * time.Second, Prefix: "/fleetsync/v1"},
		"lock: {ttl: 10m}\n":                         {TTL: 10 * time.Minute, Prefix: "/fleetsync/v1"},
		"lock: {endpoints: ['http://h:1']}\n":        {TTL: 30 * time.Second, Prefix: "/fleetsync/v1", Endpoints: []string{"http://h:1"}},
		"lock: {prefix: /conftool/v1/pools}\n":       {TTL: 30 * time.Second, Prefix: "/conftool/v1/pools"},
		"lock: {prefix: /a/pools2}\n" + pooling:      {TTL: 30 * time.Second, Prefix: "/a/pools2"},
		pooling + "lock: {prefix: /a/pool}\n":        {TTL: 30 * time.Second, Prefix: "/a/pool"},
		"lock: {prefix: /a/lock}\n" + pooling:        {TTL: 30 * time.Second, Prefix: "/a/lock"},
		"lock: {prefix: /pools/a}\n" + pooling:       {TTL: 30 * time.Second, Prefix: "/pools/a"},
		"lock: {prefix: /conftool/v1}\n" + pooling:   {TTL: 30 * time.Second, Prefix: "/conftool/v1"},
		pooling + "lock: {prefix: /A/pools/locks}\n": {TTL: 30 * time.Second, Prefix: "/A/pools/locks"},
	} {
		got, err := ParsePolicy("p.yaml", []byte("inventory: i.yaml\n"+text))
		if err != nil {
			t.Errorf("%s%v", text, err)
			continue
		}
		if diff := cmp.Diff(want, got.Lock); diff != "" {
			t.Errorf("%s%s", text, diff)
		}
	}
}

func TestParseAmount(t *testing.T) {
	for s, want := range map[string]Amount{
		"0": {}, "5": {Count: 5}, "0%": {Share: true}, "5%": percent(5), "100%": percent(100),
		"2.5%": {BasisPoints: 250, Share: true}, "0.05%": {BasisPoints: 5, Share: true}, "100.00%": percent(100),
	} {
		if got, f := parseAmount(s, "hosts"); f != nil || got != want {
			t.Errorf("parseAmount(%q) = %+v, %v", s, got, f)
		}
	}
	for _, s := range []string{"", "%", "-5%", "100.01%", "200%", "5 %", "5.%", ".5%", "1.234%", "1e2", "05%", "٥%", "9999999"} {
		if got, f := parseAmount(s, "hosts"); f == nil {
			t.Errorf("parseAmount(%q) = %+v", s, got)
		}
	}
}

func TestLoadPolicy(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "p.yaml")
	if _, err := LoadPolicy(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if err := os.WriteFile(path, []byte("inventory: i.yaml\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if p, err := LoadPolicy(path); err != nil || p.Inventory != filepath.Join(dir, "i.yaml") {
		t.Errorf("%+v, %v", p, err)
	}
}

// A password is in no error, wherever somebody put it, and whatever else is wrong with its line.
// Planted fault that this found: showing the source line of every problem.
func TestParsePolicyHidesPasswords(t *testing.T) {
	for _, text := range []string{
		"inventory: x\npooling: {endpoints: ['http://h:1'], user: a, password: hunter2}\n",
		"inventory: x\npooling: {password: hunter2, colour: red}\n",
		"inventory: x\npooling:\n  password: 'hunter2\n",
		"inventory: x\npooling: {'Password' : hunter2}\n",
		"inventory: x\npooling: {endpoints: ['http://root:hunter2@h:1'], x: y}\n",
		"inventory: x\npooling: {endpoints: ['http://root:hunter2 @h:1']}\n",
		"inventory: x\nlock: {endpoints: ['http://root:hunter2@h:1', 'http://root:hunter2 @h:1'], x: y}\n",
		"inventory: x\npooling: {balancers: {eqiad: {urls: ['http://u:hunter2@h']}}}\n",
		"inventory: x\ngate: {checks: [{name: a, http: {url: 'http://u:hunter2@h/'}}]}\n",
		"inventory: x\ngate: {checks: [{name: a, http: {url: 'http://u:hunter2 @h/'}}]}\n",
		"inventory: x\ngate: {checks: [{name: a, http: {url: x, headers: {Authorization: hunter2}}}]}\n",
	} {
		_, err := ParsePolicy("p.yaml", []byte(text))
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s:\n%v", text, err)
		}
	}
	if _, err := ParseFleet("f.yaml", []byte("hosts: {a: {endpoint: 'rsync://u:hunter2@h'}}\n")); strings.Contains(err.Error(), "hunter2") {
		t.Error(err)
	}
}

func TestPasswordFile(t *testing.T) {
	dir := t.TempDir()
	for content, ok := range map[string]bool{
		"hunter2": true, "hunter2\n": true, "hunter2\r\n": true, "a b": true, "ü": true,
		"": false, "\n": false, "a\nb\n": false, "a\x00b": false, strings.Repeat("x", maxPassword+1): false,
	} {
		if err := os.WriteFile(filepath.Join(dir, "secret"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := ParsePolicy(filepath.Join(dir, "p.yaml"),
			[]byte("inventory: x\npooling: {endpoints: ['http://h:1'], user: a, password_file: secret}\n"))
		switch {
		case (err == nil) != ok:
			t.Errorf("%.20q: %v", content, err)
		case ok && p.Pooling.Password != strings.TrimRight(content, "\r\n"):
			t.Errorf("%q gives %q", content, p.Pooling.Password)
		}
	}
}

func FuzzParsePolicy(f *testing.F) {
	f.Add([]byte(policyText))
	for _, text := range archived(f, "testdata/policy/*.txtar") {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ParsePolicy("nowhere/p.yaml", data)
		if err != nil {
			checkProblems(t, err, string(data))
			return
		}
		checkPolicy(t, p)
	})
}

// checkPolicy fails unless a policy keeps its bounds.
func checkPolicy(t *testing.T, p *Policy) {
	t.Helper()
	if p.Inventory == "" || p.State == "" || p.Rsync.Timeout < time.Second || p.Rsync.Timeout%time.Second != 0 {
		t.Fatalf("bad policy %+v", p)
	}
	if l := p.Lock; l.TTL < minTTL || l.TTL > maxTTL || l.TTL%time.Second != 0 || checkPrefix(l.Prefix) != nil {
		t.Fatalf("bad lock %+v", l)
	}
	checkGuard(t, p.Guard)
	checkHooks(t, p.Hooks)
	switch k := p.Retention; {
	case k.Hosts != KeepCanaries && k.Hosts != KeepAll, k.Runs < 1, k.Manifests < 1, k.Age < time.Hour, k.Age > 3650*24*time.Hour:
		t.Fatalf("bad keep %+v", k)
	case p.Verify != VerifyNone && p.Verify != VerifySample && p.Verify != VerifyAll:
		t.Fatalf("bad verify %q", p.Verify)
	}
	for _, arg := range p.Rsync.Args {
		if arg[0] != '-' || strings.Contains(arg, "del") || strings.ContainsAny(arg, "\n\x00") {
			t.Fatalf("bad argument %q", arg)
		}
	}
	for _, mode := range []Mode{ModeSync, ModeCanary, ModeResync} {
		s := p.For(mode)
		b, g := s.Batches, s.Gate
		if b.Parallel < 1 || b.Attempts < 1 || b.Attempts > maxAttempts || b.Timeout <= 0 || len(b.Ramp) == 0 ||
			b.Down != DownSkip && b.Down != DownTry ||
			slices.Contains(b.Ramp, Amount{}) || g.Soak < 0 || g.Interval <= 0 {
			t.Fatalf("bad settings %+v", s)
		}
		for _, c := range g.Checks {
			if c.Name == "" || (c.HTTP == nil) == (c.Command == nil) || c.Timeout <= 0 {
				t.Fatalf("bad check %+v", c)
			}
		}
	}
	if pool := p.Pooling; pool != nil {
		if len(pool.Endpoints) == 0 || !pool.Threshold.Share || pool.Threshold.BasisPoints > 10_000 || pool.Timeout <= 0 ||
			(pool.User == "") != (pool.Password == "") {
			t.Fatalf("bad pooling %+v", pool)
		}
		// An oracle of its own: component by component.
		pools, lock := strings.Split(pool.Prefix, "/"), strings.Split(p.Lock.Prefix, "/")
		if n := min(len(pools), len(lock)); slices.Equal(pools[:n], lock[:n]) {
			t.Fatalf("the lock's prefix %s overlaps with the pools' %s", p.Lock.Prefix, pool.Prefix)
		}
		if pool.OnForeignEdit != ForeignEditStop && pool.OnForeignEdit != ForeignEditDepoolAgain {
			t.Fatalf("bad answer %q", pool.OnForeignEdit)
		}
		if q := pool.Quarantine; q != QuarantineNone && q != QuarantineCanaries && q != QuarantineAll {
			t.Fatalf("bad quarantine %q", q)
		}
		for datacenter, b := range pool.Balancers {
			if checkWord(datacenter) != nil || len(b.URLs) == 0 || len(b.Pools) == 0 || b.Timeout <= 0 || b.Timeout > maxConfirm {
				t.Fatalf("bad balancers of %q: %+v", datacenter, b)
			}
			for service, name := range b.Pools {
				if checkWord(service) != nil || name != "" && checkWord(name) != nil {
					t.Fatalf("bad pool %q: %q", service, name)
				}
			}
			for _, service := range pool.Select["service"] {
				_, mapped := b.Pools[service]
				if in := pool.Select["datacenter"]; !mapped && (len(in) == 0 || slices.Contains(in, datacenter)) {
					t.Fatalf("%s has no pool for the selected service %s", datacenter, service)
				}
			}
		}
	}
}

// checkGuard fails unless a guard keeps its bounds.
func checkGuard(t *testing.T, g Guard) {
	t.Helper()
	if !g.MaxShrink.Share || g.MaxShrink.BasisPoints > 10_000 || g.MaxDelete.BasisPoints > 10_000 || g.MaxDelete.Count < 0 || g.MinFree < 0 {
		t.Fatalf("bad bounds %+v", g)
	}
	if g.Provisioned != "" && (!filepath.IsAbs(g.Provisioned) || filepath.Clean(g.Provisioned) != g.Provisioned || g.Provisioned == "/") {
		t.Fatalf("bad path %q", g.Provisioned)
	}
	paths := map[string]bool{}
	for _, r := range g.Required {
		if !filepath.IsLocal(r.Path) || filepath.Clean(r.Path) != r.Path || r.Path == "." || paths[r.Path] ||
			strings.ContainsAny(r.Path, "\n\x00\x1b") {
			t.Fatalf("bad path %q", r.Path)
		}
		paths[r.Path] = true
		regexp.MustCompile(r.Match)
	}
	for _, owner := range g.Owners {
		if owner == "" || strings.ContainsAny(owner, ":/\n\x00 ") || owner[0] == '-' {
			t.Fatalf("bad owner %q", owner)
		}
	}
	if len(g.Untracked) > 0 && !g.Git {
		t.Fatalf("patterns without an audit: %q", g.Untracked)
	}
	for _, pattern := range g.Untracked {
		if checkExclude(pattern) != nil {
			t.Fatalf("bad pattern %q", pattern)
		}
	}
}
