//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fleetsync/fleetsync/cmd/fleetlab/lab"
)

// Where a lab has its trees (fleetlab's inventory.yaml), and where the peers have theirs, so that none finds
// what another has done.
const (
	origin      = "/srv/mediawiki-staging"
	destination = "/srv/mediawiki"
	peerTree    = "/srv/peer"
	ansibleTree = "/srv/ansible"
	nearest     = "/srv/nearest" // a file that names the source of the scap-like run
)

// syncer is a way to bring every host up to date.
type syncer struct {
	name, tree string
	argv, env  []string
	took       []float64 // wall, seconds
	client     []float64 // processor time on the master, seconds
	source     []float64 // processor time of the rsync daemons of the first master and the proxies, seconds
	out        []float64 // what left the first master, MB
}

// syncs measures whole syncs.
func (b *bench) syncs(ctx context.Context) error {
	// Both peers compress: scap by its arguments, synchronize by its default. Ours does not, unless it is told.
	ours, err := b.fleetsync("fleetsync, rsync.compress: true", "batches: {parallel: 80, ramp: [100%]}\nrsync: {compress: true}")
	if err != nil {
		return err
	}
	peer, err := b.scapLike(ctx)
	if err != nil {
		return err
	}
	all := []*syncer{ours, peer}
	if ansible, err := b.synchronize(ctx); err == nil {
		all = append(all, ansible)
	} else {
		fmt.Printf("left out: Ansible's synchronize: %v\n", err)
	}
	fmt.Print("\n(b) all compress, fleetsync by rsync.compress, which is off by default; " +
		"synchronize has no daemon: its rsyncs on the master count as the client\n")
	for _, c := range []struct {
		name  string
		every func(run int) error // before each round
		each  func(*syncer) error // before each of a round's runs
	}{
		{"a cold copy", nil, b.empty},
		{"no-op", nil, nil},
		{"50 files changed", b.change, nil},
	} {
		if err := b.turns(ctx, all, c.every, c.each); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		b.print("(b) "+c.name, all)
	}
	return nil
}

// straggler measures runs in which one host's link is ten times slower than the others'.
func (b *bench) straggler(ctx context.Context) error {
	const fast, slow, at = "20mbit", "2mbit", "6"
	rolling, err := b.fleetsync("fleetsync, "+at+" at a time", "batches: {parallel: "+at+", ramp: [100%]}")
	if err != nil {
		return err
	}
	discrete, err := b.fleetsync("fleetsync, batches of "+at, "batches: {parallel: "+at+", ramp: ["+at+"]}")
	if err != nil {
		return err
	}
	for _, name := range b.hosts() {
		if err := b.lab.Slow(ctx, name, fast); err != nil {
			return err
		}
	}
	if err := b.lab.Slow(ctx, b.lab.Named(lab.RoleHost)[0], slow); err != nil {
		return err
	}
	all := []*syncer{rolling, discrete}
	if err := b.turns(ctx, all, nil, b.empty); err != nil {
		return err
	}
	b.print("(c) a cold copy, links of "+fast+", one of "+slow, all)
	for _, name := range b.hosts() {
		if err := b.lab.Heal(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// turns runs all, one after the other, and that again.
func (b *bench) turns(ctx context.Context, all []*syncer, every func(int) error, each func(*syncer) error) error {
	for _, s := range all {
		s.took, s.client, s.source, s.out = nil, nil, nil, nil
	}
	for run := range b.runs {
		if every != nil {
			if err := every(run); err != nil {
				return err
			}
		}
		for i := range all {
			s := all[(i+run)%len(all)] // nobody is always the first
			if each != nil {
				if err := each(s); err != nil {
					return err
				}
			}
			cpu, out, err := b.sources(ctx)
			if err != nil {
				return err
			}
			r, err := measure(ctx, b.lab, b.master, s.env, s.argv...)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			cpuAfter, outAfter, err := b.sources(ctx)
			if err != nil {
				return err
			}
			if err := b.same(s); err != nil {
				return err
			}
			s.took, s.client = append(s.took, r.Wall.Seconds()), append(s.client, r.CPU.Seconds())
			s.source, s.out = append(s.source, cpuAfter-cpu), append(s.out, (outAfter-out)/1e6)
		}
	}
	return nil
}

func (b *bench) print(what string, all []*syncer) {
	fmt.Printf("\n%s, %d runs: median (least–greatest)\n\n", what, b.runs)
	fmt.Print("| | wall s | wall, times the first | CPU s of sources' rsyncd | CPU s of the client | MB out of the master |\n" +
		"|---|---|---|---|---|---|\n")
	for _, s := range all {
		fmt.Printf("| %s | %s | %.2f | %s | %s | %s |\n", s.name, spread(s.took, "%.2f"), median(s.took)/median(all[0].took),
			spread(s.source, "%.2f"), spread(s.client, "%.2f"), spread(s.out, "%.2f"))
	}
}

// fleetsync returns a run of our own program: soak, drain and checks at zero, every tree verified. Lines of
// its policy are given.
func (b *bench) fleetsync(name, policy string) (*syncer, error) {
	f, err := os.CreateTemp(b.lab.Dir, "policy-*.yaml")
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(f, "inventory: inventory.yaml\nstate: /var/lib/fleetsync\nverify: all\n%s\n"+
		"gate: {soak: 0s}\npooling: {endpoints: [%q], prefix: /conftool/v1/pools, drain: 0s}\n", policy, b.lab.Pools)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	return &syncer{name: name, tree: destination, argv: []string{b.program, "sync", "--yes"},
		env: []string{"FLEETSYNC_CONFIG=" + f.Name()}}, nil
}

// scapLike returns a run as scap has it: from the master to the other masters and the proxies, then from a
// proxy of the same datacenter to every host, 80 at once, with scap's arguments of rsync.
func (b *bench) scapLike(ctx context.Context) (*syncer, error) {
	var first, rest []string
	serves := map[string][]string{}
	for _, h := range b.lab.Hosts {
		if h.Role != lab.RoleProxy {
			continue
		}
		serves[h.Datacenter] = append(serves[h.Datacenter], h.Name)
		module := "[peer]\npath = " + peerTree + "\nread only = yes\nlist = no\n"
		if _, err := b.lab.Exec(ctx, h.Name, "sh", "-c", `printf %s "$1" >> /run/rsyncd.conf`, "sh", module); err != nil {
			return nil, err
		}
	}
	for i, h := range b.lab.Hosts {
		source := b.master + "/common"
		switch {
		case h.Role == lab.RoleConf || h.Name == b.master:
			continue
		case h.Role == lab.RoleMaster || h.Role == lab.RoleProxy:
			first = append(first, h.Name)
		default:
			rest = append(rest, h.Name)
			near := serves[h.Datacenter]
			source = near[i%len(near)] + "/peer"
		}
		if err := os.WriteFile(b.lab.Path(h.Name, nearest), []byte(source+"\n"), 0o644); err != nil {
			return nil, err
		}
		if err := os.MkdirAll(b.lab.Path(h.Name, peerTree), 0o755); err != nil {
			return nil, err
		}
	}
	const clush = `clush -S -q -f 80 -o "-F $1" -w "$%d" 'rsync --archive --delete --delete-delay --delay-updates ` +
		`--compress --stats "rsync://$(cat ` +
		nearest + `)/" ` + peerTree + `/'`
	return &syncer{name: "scap-like", tree: peerTree, argv: []string{
		"sh", "-c", fmt.Sprintf(clush+" && "+clush, 2, 3), "sh", b.lab.SSHConfig, strings.Join(first, ","), strings.Join(rest, ","),
	}}, nil
}

// synchronize returns Ansible's way: a playbook with its module of that name pushes from the master, which is
// its controller, to every host by ssh, 80 at once, with its defaults but for delete and the strict
// known_hosts of all others.
func (b *bench) synchronize(ctx context.Context) (*syncer, error) {
	var hosts []string
	for _, h := range b.lab.Hosts {
		if h.Role == lab.RoleConf || h.Name == b.master {
			continue
		}
		hosts = append(hosts, h.Name)
		if err := os.MkdirAll(b.lab.Path(h.Name, ansibleTree), 0o755); err != nil {
			return nil, err
		}
	}
	playbook := filepath.Join(b.lab.Dir, "synchronize.yaml")
	if err := os.WriteFile(playbook, []byte("- hosts: all\n  gather_facts: false\n  tasks:\n    - ansible.posix.synchronize: {src: "+
		origin+"/, dest: "+ansibleTree+"/, archive: true, delete: true, use_ssh_args: true, verify_host: true}\n"), 0o644); err != nil {
		return nil, err
	}
	s := &syncer{
		name: "ansible synchronize", tree: ansibleTree,
		argv: []string{
			"ansible-playbook", "-i", strings.Join(hosts, ",") + ",", "-f", "80", "--ssh-common-args", "-F " + b.lab.SSHConfig,
			"-e", "ansible_python_interpreter=/usr/bin/python3", playbook,
		},
		env: []string{"ANSIBLE_PIPELINING=true", "ANSIBLE_HOME=" + filepath.Join(b.lab.Dir, "ansible"), "ANSIBLE_REMOTE_TMP=/run/ansible"},
	}
	// It says whether the module is there: ansible-core has it not, Debian's ansible has.
	_, err := measure(ctx, b.lab, b.master, s.env, append(slices.Clone(s.argv), "--syntax-check")...)
	return s, err
}

// received returns, by host, where a syncer brings the tree. Fleetsync brings it to other masters as an origin.
func (b *bench) received(s *syncer) map[string]string {
	trees := map[string]string{}
	for _, name := range b.hosts() {
		trees[name] = s.tree
	}
	for _, name := range b.lab.Named(lab.RoleMaster)[1:] {
		trees[name] = s.tree
		if s.tree == destination {
			trees[name] = origin
		}
	}
	return trees
}

// empty deletes what a syncer has brought to the hosts.
func (b *bench) empty(s *syncer) error {
	for name, tree := range b.received(s) {
		tree = b.lab.Path(name, tree)
		if err := errors.Join(os.RemoveAll(tree), os.Mkdir(tree, 0o755)); err != nil {
			return err
		}
	}
	return nil
}

// change writes a line into 50 of the origin's files.
func (b *bench) change(run int) error {
	files, err := b.files(b.master, origin)
	if err != nil {
		return err
	}
	for i := range 50 {
		name := files[(run+i*len(files)/50)%len(files)]
		text, err := os.ReadFile(name)
		if err == nil {
			err = os.WriteFile(name, fmt.Appendf(text, "\n# %d\n", time.Now().UnixNano()), 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// same makes sure that a syncer has done it: sizes and times of each host's files are the origin's.
func (b *bench) same(s *syncer) error {
	list := func(name, tree string) ([]string, error) {
		files, err := b.files(name, tree)
		for i, f := range files {
			info, e := os.Stat(f)
			if e != nil {
				return nil, e
			}
			files[i] = fmt.Sprint(strings.TrimPrefix(f, b.lab.Path(name, tree)), info.Size(), info.ModTime())
		}
		return files, err
	}
	want, err := list(b.master, origin)
	if err != nil {
		return err
	}
	for name, tree := range b.received(s) {
		got, err := list(name, tree)
		if err != nil {
			return err
		}
		if !slices.Equal(got, want) {
			return fmt.Errorf("%s has left %s with another tree: %d files, not %d", s.name, name, len(got), len(want))
		}
	}
	return nil
}

// files returns the paths of the regular files of a host's tree, sorted, as this machine sees them.
func (b *bench) files(host, tree string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(b.lab.Path(host, tree), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	})
	return files, err
}

// sources returns what the rsync daemons of the first master and of the proxies have used, ended children
// included (proc_pid_stat(5): utime, stime, cutime, cstime, in hundredths), and how much the master has sent
// (proc_pid_net(5)).
func (b *bench) sources(ctx context.Context) (cpu, out float64, err error) {
	for _, name := range append([]string{b.master}, b.lab.Named(lab.RoleProxy)...) {
		text, err := b.lab.Exec(ctx, name, "sh", "-c", `cat /proc/$(cat /run/rsyncd.pid)/stat; grep eth0: /proc/net/dev`)
		if err != nil {
			return 0, 0, err
		}
		stat, dev, _ := strings.Cut(text, "\n")
		for _, ticks := range strings.Fields(stat)[13:17] {
			n, err := strconv.ParseFloat(ticks, 64)
			if err != nil {
				return 0, 0, err
			}
			cpu += n / 100
		}
		if name == b.master {
			if out, err = strconv.ParseFloat(strings.Fields(dev)[9], 64); err != nil {
				return 0, 0, err
			}
		}
	}
	return cpu, out, nil
}
