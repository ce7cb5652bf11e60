package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/hosts"
	"github.com/fleetsync/fleetsync/orchestrator/journal"
	"github.com/fleetsync/fleetsync/orchestrator/manifest"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/orchestrator/session"
	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/pooling/balancer"
	"github.com/fleetsync/fleetsync/pooling/etcd"
	"github.com/fleetsync/fleetsync/transport"
	"github.com/fleetsync/fleetsync/transport/ssh"
)

// setup is what every command begins with: what the two files say.
type setup struct {
	policy *inventory.Policy
	fleet  *inventory.Fleet
	store  journal.Store
	owner  string // who types

	dialer *ssh.Dialer // to the hosts; closed when the command has ended
}

// load reads the policy and its inventory. The mistakes of both are reported together.
func (a *app) load() (*setup, error) {
	policy, err := inventory.LoadPolicy(a.config)
	var problems inventory.Problems
	if err != nil && !errors.As(err, &problems) {
		return nil, unreadable(err, "name it with --config, or try fleetsync demo")
	}
	if policy == nil {
		return nil, err
	}
	fleet, ferr := inventory.LoadFleet(policy.Inventory)
	if ferr != nil {
		var more inventory.Problems
		if !errors.As(ferr, &more) {
			return nil, unreadable(ferr, "it is named by inventory: in "+a.config)
		}
		return nil, append(problems, more...)
	}
	if err != nil {
		return nil, err
	}
	if err := agree(policy, fleet); err != nil {
		return nil, fail(exitInvalid, err, "change the one or the other")
	}
	s := &setup{policy: policy, fleet: fleet, store: journal.Store{Dir: filepath.Join(policy.State, fleet.Name)}, owner: a.user()}
	s.dialer = s.newDialer(false)
	a.atEnd = append(a.atEnd, func() { _ = s.dialer.Close() }) // it has said what it can
	return s, nil
}

// asker returns what asks hosts what they have.
func (s *setup) asker() *hosts.Asker {
	return &hosts.Asker{Fleet: s.fleet, Rsync: s.policy.Rsync, Dialer: s.dialer}
}

// newDialer returns what connects to hosts as the policy says; share keeps a process and a connection of the ssh program
// for each host.
func (s *setup) newDialer(share bool) *ssh.Dialer {
	c := s.policy.SSH
	return &ssh.Dialer{SSH: ssh.Config{
		Client: ssh.Client(c.Client), ConfigFile: c.ConfigFile, ConnectTimeout: c.ConnectTimeout, MaxConnections: c.MaxConnections, Share: share,
	}}
}

// fallbacks names the hosts that only the ssh program can reach.
func (a *app) fallbacks(s *setup) {
	byReason := map[string][]string{}
	for _, f := range s.dialer.Fallbacks() {
		byReason[f.Reason] = append(byReason[f.Reason], f.Host)
	}
	for _, reason := range slices.Sorted(maps.Keys(byReason)) {
		a.say().Warn("reached by the ssh program: %s: %s", inventory.FoldNames(byReason[reason]), reason)
	}
}

// agree says in what the two files contradict each other.
func agree(policy *inventory.Policy, fleet *inventory.Fleet) error {
	excluded := manifest.Excluded(fleet.Tree.Exclude)
	for _, r := range policy.Guard.Required {
		if excluded(r.Path, false) {
			return fmt.Errorf("guard: required: %s is excluded from the tree by the inventory: it would never be there", quoted(r.Path))
		}
	}
	for _, hooks := range [][]inventory.Hook{policy.Hooks.Hosts.Pre, policy.Hooks.Hosts.Post, policy.Hooks.Hosts.OnFailure} {
		if _, err := inventory.Hooked(fleet, hooks); err != nil {
			return fmt.Errorf("hooks: %w", err)
		}
	}
	for _, m := range fleet.Masters {
		host, _ := fleet.Host(m.Host) // it is one
		if marker := policy.Guard.Provisioned; marker == host.Source || strings.HasPrefix(marker, host.Source+"/") {
			// A sync would bring it to a master that is not provisioned.
			return fmt.Errorf("guard: provisioned: %s is in the tree of %s: it must be outside", quoted(marker), m.Host)
		}
	}
	return nil
}

func unreadable(err error, hint string) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return fail(exitInvalid, err, hint)
	}
	return fail(exitInvalid, err, "")
}

// programs returns an error that is transport.ErrMissing if this machine lacks what the fleet's
// connections need.
func (s *setup) programs() error {
	need := map[string]bool{}
	for _, h := range s.fleet.Hosts {
		switch h.Connection {
		case inventory.ConnectionLocal:
			need["rsync"], need["flock"] = true, true
		case inventory.ConnectionSSH:
			need["ssh"] = s.policy.SSH.Client == inventory.SSHOpenSSH
		}
	}
	var names []string
	for _, name := range []string{"rsync", "flock", "ssh"} {
		if need[name] {
			names = append(names, name)
		}
	}
	return transport.Missing(names...)
}

// pools returns a client of the fleet's pools, or nil if the fleet has none.
func (s *setup) pools() (*pooling.Client, error) {
	p := s.policy.Pooling
	if p == nil {
		return nil, nil
	}
	store, err := etcd.New(s.etcdConfig())
	if err != nil {
		return nil, fail(exitInvalid, fmt.Errorf("pooling: %w", err), "")
	}
	client, err := pooling.NewClient(store, pooling.Config{Prefix: p.Prefix, Timeout: p.Timeout, Select: pooling.Selection{
		Datacenters: p.Select["datacenter"], Clusters: p.Select["cluster"], Services: p.Select["service"],
	}})
	if err != nil {
		return nil, fail(exitInvalid, fmt.Errorf("pooling: %w", err), "")
	}
	return client, nil
}

// etcdConfig returns how to reach the pools; the zero Config where there are none.
func (s *setup) etcdConfig() etcd.Config {
	p := s.policy.Pooling
	if p == nil {
		return etcd.Config{}
	}
	return etcd.Config{
		Endpoints: p.Endpoints, Timeout: p.Timeout,
		User: p.User, Password: p.Password, CAFile: p.CAFile, CertFile: p.CertFile, KeyFile: p.KeyFile,
	}
}

// balancers returns who must confirm a depool and a repool, by datacenter.
func (s *setup) balancers() balancer.Groups {
	out := balancer.Groups{}
	if s.policy.Pooling != nil {
		for datacenter, b := range s.policy.Pooling.Balancers {
			out[datacenter] = balancer.Group{URLs: b.URLs, Pools: b.Pools, Timeout: b.Timeout}
		}
	}
	return out
}

// threshold returns the share of each pool that must stay in.
func (s *setup) threshold() pooling.Threshold {
	t := pooling.Threshold{Services: map[string]int{}}
	if p := s.policy.Pooling; p != nil {
		t.Default = p.Threshold.BasisPoints
		for service, amount := range p.Services {
			t.Services[service] = amount.BasisPoints
		}
	}
	return t
}

// shared returns what the masters of the fleet share, or nil if the policy names no store for it.
func (s *setup) shared() (*pooling.Shared, error) {
	c := s.etcdConfig()
	if len(s.policy.Lock.Endpoints) > 0 {
		c.Endpoints = s.policy.Lock.Endpoints
	}
	if len(c.Endpoints) == 0 {
		return nil, nil
	}
	if c.Timeout == 0 || c.Timeout > s.policy.Lock.TTL/2 {
		c.Timeout = s.policy.Lock.TTL / 2 // what takes longer comes too late for a lease
	}
	store, err := etcd.New(c)
	if err != nil {
		return nil, fail(exitInvalid, fmt.Errorf("lock: %w", err), "")
	}
	shared, err := pooling.NewShared(store, pooling.SharedConfig{Fleet: s.fleet.Name, Prefix: s.policy.Lock.Prefix, Timeout: c.Timeout})
	if err != nil {
		return nil, fail(exitInvalid, fmt.Errorf("lock: %w", err), "")
	}
	return shared, nil
}

// session returns what sessions on the fleet have in common. Its clients are closed when the command has ended.
func (a *app) session(s *setup) (*session.Config, error) {
	pools, err := s.pools()
	if err != nil {
		return nil, err
	}
	shared, err := s.shared()
	if err != nil {
		return nil, err
	}
	if pools != nil {
		a.atEnd = append(a.atEnd, pools.Close)
	}
	if shared != nil {
		a.atEnd = append(a.atEnd, shared.Close)
	}
	return &session.Config{
		Fleet: s.fleet, Policy: s.policy, Store: s.store,
		Pools: pools, Shared: shared, Threshold: s.threshold(), Balancers: s.balancers(),
		Dialer: s.dialer, Share: func() *ssh.Dialer { return s.newDialer(true) },
		Trees: func() (*rollout.Trees, error) {
			trees, _, err := a.trees(s)
			return trees, err
		},
		Digest: s.asker().Digest,
		Owner:  s.owner, Machine: s.machine(), Printer: a.say(),
	}, nil
}

func (s *setup) machine() string {
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return name
}

// user is who types: the user behind sudo, if there is one.
func (a *app) user() string {
	if name := a.getenv("SUDO_USER"); name != "" {
		return name
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "unknown"
}

// spare asks the pools which of the fleet's proxies they cannot spare. It only reads.
func (s *setup) spare(ctx context.Context, pools *pooling.Client, r *request) error {
	selected := map[string]bool{}
	for _, name := range r.Selection {
		selected[name] = true
	}
	var proxies []string
	for _, p := range s.fleet.Proxies {
		if p.Pooled && (r.Selection == nil || selected[p.Host]) {
			proxies = append(proxies, p.Host)
		}
	}
	if len(proxies) == 0 {
		return nil
	}
	snapshot, err := pools.Pools(ctx)
	if err != nil {
		return fail(exitInvalid, fmt.Errorf("the pools cannot be read: %w", err), "check pooling.endpoints and pooling.prefix; nothing was touched")
	}
	r.pools = digestOf(snapshot)
	threshold := s.threshold()
	if threshold.Down, err = snapshot.Down(ctx, s.balancers().Down, proxies); err != nil {
		return fail(exitInvalid, fmt.Errorf("the balancers cannot be asked what is down: %w", err), "check pooling.balancers; nothing was touched")
	}
	_, reasons := snapshot.Fit(proxies, threshold)
	for _, host := range proxies {
		reason, ok := reasons[host]
		switch {
		case !ok:
		case errors.Is(reason, pooling.ErrNoObjects):
			// A typing error in select or prefix would look the same, and would let every proxy serve
			// while its users are on it.
			return fail(exitInvalid, fmt.Errorf("proxy %s: %w", host, reason),
				"check pooling.select and pooling.prefix, or say pooled: false for a proxy that is in no pool")
		default:
			r.Left = append(r.Left, rollout.Left{Host: host, Reason: reason.Error()})
		}
	}
	return nil
}

// digestOf returns a digest of what all pool objects say.
func digestOf(snapshot pooling.Snapshot) string {
	sum := sha256.New()
	for _, pool := range slices.Sorted(maps.Keys(snapshot.Pools)) {
		objects := slices.Clone(snapshot.Pools[pool])
		slices.SortFunc(objects, func(a, b pooling.Object) int { return strings.Compare(a.Key, b.Key) })
		for _, o := range objects {
			_, _ = fmt.Fprintf(sum, "%q %q\n", o.Key, o.Value) // a hash never fails
		}
	}
	return hex.EncodeToString(sum.Sum(nil))
}
