package rsync

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/fleetsync/fleetsync/transport"
)

// DaemonConfig is what an rsync daemon serves.
type DaemonConfig struct {
	Module         string   // name of the one module
	Path           string   // the directory it serves, read only
	Dir            string   // an existing directory for the daemon's own files, used by no other daemon
	Address        string   // to listen on; 127.0.0.1 when empty
	Port           int      // 0 is one the kernel chooses
	MaxConnections int      // 0 is no limit
	Parameters     []string // further lines of the module, as rsyncd.conf(5)
}

// Daemon is a running rsync --daemon. Close ends it, and so does the end of this process, however it
// comes.
type Daemon struct {
	Endpoint string // rsync://ADDRESS:PORT

	cancel context.CancelFunc
	ended  chan struct{}
	err    error // after ended
}

// StartDaemon starts a daemon that lives until ctx ends or Close is called, and returns once it
// answers. Who starts it must Close it.
func StartDaemon(ctx context.Context, c DaemonConfig) (*Daemon, error) {
	if err := transport.Missing("rsync"); err != nil {
		return nil, err
	}
	if c.Address == "" {
		c.Address = "127.0.0.1"
	}
	config, err := c.file()
	if err != nil {
		return nil, err
	}
	name := filepath.Join(c.Dir, "rsyncd.conf")
	if err := os.WriteFile(name, []byte(config), 0o644); err != nil {
		return nil, fmt.Errorf("rsync daemon: %w", err)
	}
	// The port is free when it is chosen; somebody may be quicker to take it.
	for try := 1; ; try++ {
		d, err := c.start(ctx, name)
		if err == nil || c.Port != 0 || try == 5 || ctx.Err() != nil {
			return d, err
		}
	}
}

func (c DaemonConfig) start(ctx context.Context, config string) (*Daemon, error) {
	port := c.Port
	if port == 0 {
		l, err := net.Listen("tcp", net.JoinHostPort(c.Address, "0"))
		if err != nil {
			return nil, fmt.Errorf("rsync daemon: %w", err)
		}
		port = l.Addr().(*net.TCPAddr).Port
		if err := l.Close(); err != nil {
			return nil, fmt.Errorf("rsync daemon: %w", err)
		}
	}
	address := net.JoinHostPort(c.Address, strconv.Itoa(port))
	ctx, cancel := context.WithCancel(ctx)
	d := &Daemon{Endpoint: "rsync://" + address, cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(d.ended)
		r, err := transport.Local{}.Run(ctx, transport.Command{Args: []string{"rsync", "--daemon", "--no-detach",
			"--config=" + config, "--address=" + c.Address, "--port=" + strconv.Itoa(port)}})
		if err == nil {
			err = &transport.Error{Class: transport.ClassPermanent, Program: "rsync", ExitCode: r.ExitCode, Message: summary(r.Stderr)}
		}
		d.err = err
	}()
	if err := d.ready(ctx, address); err != nil {
		cancel()
		<-d.ended
		return nil, fmt.Errorf("rsync daemon on %s: %w", address, err)
	}
	return d, nil
}

// ready waits until the daemon greets who connects.
func (d *Daemon) ready(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if awaitGreeting(ctx, address) == nil {
			// If it was somebody else who took the port, ours has ended or is about to.
			select {
			case <-d.ended:
			case <-tick.C:
				select {
				case <-d.ended:
				default:
					return nil
				}
			}
		}
		select {
		case <-d.ended:
			return d.err
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// Close ends the daemon and waits until it has ended. The error tells why it had ended before.
func (d *Daemon) Close() error {
	select {
	case <-d.ended:
		d.cancel()
		if errors.Is(d.err, context.Canceled) {
			return nil
		}
		return d.err
	default:
		d.cancel()
		<-d.ended
		return nil
	}
}

// file returns the daemon's configuration.
func (c DaemonConfig) file() (string, error) {
	for what, s := range map[string]string{"module": c.Module, "path": c.Path, "directory": c.Dir} {
		// Of these rsyncd.conf(5) gives a meaning to the end of a line and to %; it trims blanks.
		if s == "" || transport.HasControl(s) || strings.ContainsAny(s, "%") || strings.TrimSpace(s) != s || strings.HasSuffix(s, `\`) {
			return "", fmt.Errorf("rsync daemon: %s %q cannot be written to its configuration", what, s)
		}
	}
	if strings.ContainsAny(c.Module, "/[]") {
		return "", fmt.Errorf("rsync daemon: %q is no name of a module", c.Module)
	}
	lines := []string{
		"use chroot = no", "reverse lookup = no", "munge symlinks = no",
		"log file = " + filepath.Join(c.Dir, "rsyncd.log"),
		"lock file = " + filepath.Join(c.Dir, "rsyncd.lock"),
		"[" + c.Module + "]",
		"path = " + c.Path,
		"read only = yes", "list = no",
		"max connections = " + strconv.Itoa(c.MaxConnections),
	}
	if os.Geteuid() == 0 {
		// Else it would serve as nobody and not read what only root can.
		lines = append(lines, "uid = root", "gid = root")
	}
	return strings.Join(append(lines, c.Parameters...), "\n") + "\n", nil
}
