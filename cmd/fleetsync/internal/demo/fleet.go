package demo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/renameio/v2"

	"github.com/fleetsync/fleetsync/cmd/internal/testfleet"
	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/pooling/poolingtest"
	"github.com/fleetsync/fleetsync/transport"
	"github.com/fleetsync/fleetsync/transport/rsync"
)

// Options says what fleet to make. Defaults returns those of a person who asks for nothing.
type Options struct {
	Dir      string        // is made; must not exist, or be empty
	Hosts    int           // canaries and proxies included, masters not
	Proxies  int           // fewer than Hosts; 0 is a fleet without
	Masters  int           // at least 1
	Files    int           // regular files of the generated tree, at least 1
	Excluded bool          // add files to the generated tree that the inventory excludes; Files does not count them
	Tree     string        // a directory: what is synced is a copy of it; empty generates a tree
	PoolAPI  string        // base URL of an etcd with the v2 API to create the objects in; empty embeds a server
	Soak     time.Duration // of the gate
	Drain    time.Duration // of a depooled proxy
	Program  string        // fleetsync itself: the masters' daemons ask it whether they may serve; empty: they do not ask
	KeepAll  bool          // every host keeps what a sync replaces, not only the canaries
}

// Defaults returns the options of a fleet whose whole run takes seconds. Dir is empty.
func Defaults() Options {
	return Options{Hosts: 24, Proxies: 3, Masters: 2, Files: 3000, Soak: 2 * time.Second, Drain: time.Second}
}

// Fleet is a fleet that is up.
type Fleet struct {
	Dir       string // absolute
	Inventory string // path of the inventory
	Config    string // path of the policy
	Source    string // the tree of the origin
	Web       string // base URL of the web server; a host's page is at /HOST/wiki/Main_Page
	PoolAPI   string // base URL of the pool API
	Created   int    // pool objects that were created
	Kept      int    // pool objects that were there already, and left as they were

	hosts   []host
	closers []func() error // in the order of their starting
}

// Validate returns what is wrong with the options, as far as that can be told before anything is made.
func (o Options) Validate() error {
	o, err := o.resolved()
	if err != nil {
		return err
	}
	return o.validate()
}

// resolved returns the options with absolute paths.
func (o Options) resolved() (Options, error) {
	if o.Dir == "" {
		return o, errors.New("the fleet needs a directory")
	}
	for _, path := range []*string{&o.Dir, &o.Tree} {
		if *path == "" {
			continue
		}
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return o, fmt.Errorf("cannot tell where %q is: %w", *path, err)
		}
		*path = absolute
	}
	o.PoolAPI = strings.TrimRight(o.PoolAPI, "/")
	return o, nil
}

func (o Options) validate() error {
	if o.Tree == "" && o.Files < 1 {
		return errors.New("the tree needs a file")
	}
	if err := testfleet.Check(o.Masters, o.Hosts, o.Proxies, o.Soak, o.Drain); err != nil {
		return err
	}
	if err := o.checkDir(); err != nil {
		return err
	}
	if o.Tree != "" {
		if err := testfleet.CheckTree(o.Tree, o.Dir); err != nil {
			return err
		}
	}
	// The ports are not known yet; any will do to see whether the rest can be read.
	const somewhere = "127.0.0.1:1"
	hosts := lay(o)
	for i := range hosts {
		hosts[i].endpoint = "rsync://" + somewhere
	}
	data, err := inventoryFile(o, hosts)
	if err != nil {
		return err
	}
	if _, err := inventory.ParseFleet("inventory.yaml", data); err != nil {
		return fmt.Errorf("%q cannot hold a fleet: %w", o.Dir, messages(err))
	}
	pools := o.PoolAPI
	if pools == "" {
		pools = "http://" + somewhere
	}
	if data, err = policyFile(o, "http://"+somewhere, pools); err != nil {
		return err
	}
	if _, err := inventory.ParsePolicy("fleetsync.yaml", data); err != nil {
		return messages(err)
	}
	return nil
}

// messages returns what is wrong with a file that nobody has seen, without its lines.
func messages(err error) error {
	var problems inventory.Problems
	if !errors.As(err, &problems) {
		return err
	}
	var all []string
	for _, p := range problems {
		all = append(all, p.Message)
	}
	return errors.New(strings.Join(all, "; "))
}

func (o Options) checkDir() error {
	if !utf8.ValidString(o.Dir) {
		return fmt.Errorf("%q cannot hold a fleet: its name is not UTF-8, which the inventory is written in", o.Dir)
	}
	if strings.Contains(o.Program, "%") {
		return fmt.Errorf("%q cannot be asked by a rsync daemon, which gives %% in a path a meaning of its own (rsyncd.conf(5))", o.Program)
	}
	if strings.Contains(o.Dir, "%") {
		return fmt.Errorf("%q cannot hold a fleet: rsync daemons give %% in a path a meaning of its own (rsyncd.conf(5)); "+
			"choose another directory", o.Dir)
	}
	entries, err := os.ReadDir(o.Dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("cannot make a fleet: %w; choose another directory", err)
	case len(entries) > 0:
		return fmt.Errorf("%q is not empty: choose a directory that does not exist, or remove this one", o.Dir)
	}
	return nil
}

// Up makes a fleet and brings it up. It stays up when ctx ends, which bounds Up alone; who brings it
// up must Close it. On an error nothing is left, in the directory or running; but objects that were
// created in a pool API given by the options stay. The error wraps transport.ErrMissing if a
// program is missing on this machine.
func Up(ctx context.Context, o Options) (*Fleet, error) {
	if err := transport.Missing("rsync", "flock"); err != nil {
		return nil, err
	}
	o, err := o.resolved()
	if err == nil {
		err = o.validate()
	}
	if err != nil {
		return nil, err
	}
	f := &Fleet{
		Dir: o.Dir, Inventory: filepath.Join(o.Dir, "inventory.yaml"), Config: filepath.Join(o.Dir, "fleetsync.yaml"),
		Source: filepath.Join(o.Dir, "staging"), hosts: lay(o),
	}
	_, err = os.Stat(o.Dir)
	existed := err == nil
	if err := f.up(ctx, o); err != nil {
		return nil, errors.Join(err, f.Close(), f.remove(existed))
	}
	return f, nil
}

func (f *Fleet) up(ctx context.Context, o Options) error {
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return fmt.Errorf("cannot make a fleet: %w", err)
	}
	if err := o.tree().Make(ctx, f.Source); err != nil {
		return err
	}
	if err := f.startDaemons(ctx, o); err != nil {
		return err
	}
	if err := f.startServers(ctx, o); err != nil {
		return err
	}
	return f.writeFiles(o)
}

func (o Options) tree() testfleet.Tree {
	return testfleet.Tree{Copy: o.Tree, Files: o.Files, Excluded: o.Excluded}
}

// startDaemons makes the hosts' directories, and starts a daemon for whoever serves.
func (f *Fleet) startDaemons(ctx context.Context, o Options) error {
	// A daemon lives as long as its context, hence until Close.
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, cancel)
	var daemons []*rsync.Daemon
	f.closers = append(f.closers, func() error {
		cancel() // all at once: each takes 0.4 s to end (measured, rsync 3.5.0)
		var errs []error
		for _, d := range daemons {
			errs = append(errs, closeDaemon(d))
		}
		return errors.Join(errs...)
	})
	for i := range f.hosts {
		h := &f.hosts[i]
		served := h.destination(f.Dir)
		if h.role == testfleet.RoleMaster {
			served = h.source(f.Dir)
		}
		if err := os.MkdirAll(served, 0o755); err != nil {
			return fmt.Errorf("cannot make host %s: %w", h.name, err)
		}
		if !h.serves() {
			continue
		}
		own := filepath.Join(h.dir(f.Dir), "rsyncd")
		if err := os.MkdirAll(own, 0o755); err != nil {
			return fmt.Errorf("cannot make host %s: %w", h.name, err)
		}
		c := rsync.DaemonConfig{Module: module, Path: served, Dir: own}
		if h.role == testfleet.RoleMaster && o.Program != "" {
			// The daemon runs it by a shell (rsyncd.conf(5)), and gives % a meaning, which no path here has.
			c.Parameters = []string{"pre-xfer exec = " + transport.Quote(o.Program, "--config", f.Config, "masters", "may-serve", "--host", h.name)}
		}
		d, err := rsync.StartDaemon(life, c)
		if err != nil {
			return fmt.Errorf("host %s: %w", h.name, err)
		}
		daemons = append(daemons, d)
		h.endpoint = d.Endpoint
	}
	if !stop() {
		return context.Cause(ctx)
	}
	return nil
}

func closeDaemon(d *rsync.Daemon) error {
	err := d.Close()
	// A daemon that gets SIGTERM exits 0 (measured, rsync 3.5.0).
	if e := (*transport.Error)(nil); errors.As(err, &e) && e.ExitCode == 0 {
		return nil
	}
	return err
}

func (f *Fleet) startServers(ctx context.Context, o Options) error {
	url, closeWeb, err := serveWeb(newWeb(o, f.hosts))
	if err != nil {
		return err
	}
	f.Web = url
	f.closers = append(f.closers, closeWeb)
	f.PoolAPI = o.PoolAPI
	if f.PoolAPI == "" {
		s, err := poolingtest.NewServer()
		if err != nil {
			return fmt.Errorf("the embedded pool API: %w", err)
		}
		f.PoolAPI = s.URL
		f.closers = append(f.closers, s.Close)
	}
	f.Created, f.Kept, err = testfleet.CreateObjects(ctx, f.PoolAPI, objects(f.hosts))
	return err
}

// writeFiles writes the inventory and the policy, and loads them.
func (f *Fleet) writeFiles(o Options) error {
	data, err := inventoryFile(o, f.hosts)
	if err == nil {
		err = renameio.WriteFile(f.Inventory, data, 0o644)
	}
	if err == nil {
		data, err = policyFile(o, f.Web, f.PoolAPI)
	}
	if err == nil {
		err = renameio.WriteFile(f.Config, data, 0o644)
	}
	if err != nil {
		return fmt.Errorf("cannot write the fleet's files: %w", err)
	}
	if _, err := inventory.LoadFleet(f.Inventory); err != nil {
		return err
	}
	_, err = inventory.LoadPolicy(f.Config)
	return err
}

// Close ends every daemon and server and waits for them. It deletes nothing. A second call does nothing.
func (f *Fleet) Close() error {
	var errs []error
	for len(f.closers) > 0 {
		last := len(f.closers) - 1
		errs = append(errs, f.closers[last]())
		f.closers = f.closers[:last]
	}
	return errors.Join(errs...)
}

// remove deletes what Up made, and the directory unless that existed before.
func (f *Fleet) remove(existed bool) error {
	var errs []error
	for _, path := range []string{f.Inventory, f.Config, f.Source, filepath.Join(f.Dir, "hosts")} {
		errs = append(errs, os.RemoveAll(path))
	}
	if !existed {
		if err := os.Remove(f.Dir); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
