package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"time"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/hosts"
	"github.com/fleetsync/fleetsync/orchestrator/journal"
	"github.com/fleetsync/fleetsync/orchestrator/preflight"
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
	past   *preflight.History
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
	if err := preflight.Agree(policy, fleet); err != nil {
		return nil, withHint(invalidError{err}, "change the one or the other")
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
	return &ssh.Dialer{Config: ssh.Config{
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

func unreadable(err error, hint string) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return withHint(invalidError{err}, hint)
	}
	return invalidError{err}
}

// programs returns an error that is transport.ErrMissing if this machine lacks what the fleet's
// connections need.
func (s *setup) programs() error {
	return transport.Missing(preflight.Programs(s.policy, s.fleet)...)
}

// pools returns a client of the fleet's pools, or nil if the fleet has none.
func (s *setup) pools() (*pooling.Client, error) {
	p := s.policy.Pooling
	if p == nil {
		return nil, nil
	}
	store, err := etcd.New(s.etcdConfig())
	if err != nil {
		return nil, invalidError{fmt.Errorf("pooling: %w", err)}
	}
	client, err := pooling.NewClient(store, pooling.Config{Prefix: p.Prefix, Timeout: p.Timeout, Select: pooling.Selection{
		Datacenters: p.Select["datacenter"], Clusters: p.Select["cluster"], Services: p.Select["service"],
	}})
	if err != nil {
		return nil, invalidError{fmt.Errorf("pooling: %w", err)}
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
		return nil, invalidError{fmt.Errorf("lock: %w", err)}
	}
	shared, err := pooling.NewShared(store, pooling.SharedConfig{Fleet: s.fleet.Name, Prefix: s.policy.Lock.Prefix, Timeout: c.Timeout})
	if err != nil {
		return nil, invalidError{fmt.Errorf("lock: %w", err)}
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
		Pools: pools, Shared: shared, Balancers: s.balancers(),
		Dialer: s.dialer, Share: func() *ssh.Dialer { return s.newDialer(true) },
		History: s.history, Owner: s.owner, Machine: s.machine(), Printer: a.say(),
	}, nil
}

// history returns what the journals of this machine tell, of the runs that there are when it is first asked for: whoever will change
// that has the fleet's lock by then.
func (s *setup) history() *preflight.History {
	if s.past == nil {
		s.past = preflight.NewHistory(session.Journals{Store: s.store}, s.fleet)
	}
	return s.past
}

// newRun returns the name of a run that begins now.
func (s *setup) newRun() string {
	var random [2]byte
	_, _ = rand.Read(random[:]) // never fails, says its documentation
	return s.store.NewRun(time.Now(), random)
}

// selection returns the hosts that --limit selects; nil, of an empty one, is all.
func (s *setup) selection(limit string) ([]string, error) {
	if limit == "" {
		return nil, nil
	}
	selection, err := s.fleet.Select(limit)
	if err != nil {
		return nil, usage(fmt.Errorf("--limit: %w", err), "")
	}
	return selection, nil
}

func (s *setup) isMaster(name string) bool {
	_, ok := s.fleet.Master(name)
	return ok
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
