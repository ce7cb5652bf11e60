package ssh

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/fleetsync/fleetsync/transport"
)

// controlMasters are the connections that the ssh programs of commands share, one per host (ControlMaster, ssh_config(5)). Each is an
// ssh process that holds a remote cat on a lifeline, so that it ends when we do. Where there is none, or it has ended, ssh makes a
// connection of its own.
type controlMasters struct {
	mu      sync.Mutex
	dir     string
	masters map[transport.Host]*controlMaster
}

type controlMaster struct {
	path   string        // of its socket
	up     chan struct{} // closed once it can be used, or never will
	ended  chan struct{}
	cancel context.CancelFunc
}

// maxSocket bounds the path of a control socket: ssh adds 17 bytes while it makes one, and a
// socket's path has room for 107 (unix(7)).
const maxSocket = 107 - 17

// options returns what makes ssh go through the connection to s's host, which it opens first if
// there is none.
func (m *controlMasters) options(ctx context.Context, s *openSSH) []string {
	one := m.open(ctx, s)
	if one == nil {
		return nil
	}
	select {
	case <-one.up:
	case <-ctx.Done():
	}
	return []string{"-o", "ControlMaster=no", "-o", "ControlPath=" + one.path}
}

func (m *controlMasters) open(ctx context.Context, s *openSSH) *controlMaster {
	m.mu.Lock()
	defer m.mu.Unlock()
	if one := m.masters[s.host]; one != nil {
		return one
	}
	if m.dir == "" {
		dir, err := os.MkdirTemp("", "fleetsync-")
		if err != nil {
			return nil
		}
		m.dir, m.masters = dir, map[transport.Host]*controlMaster{}
	}
	path := filepath.Join(m.dir, strconv.Itoa(len(m.masters)))
	if len(path) > maxSocket {
		return nil
	}
	// It outlives the command that was first to need it.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	one := &controlMaster{path: path, up: make(chan struct{}), ended: make(chan struct{}), cancel: cancel}
	m.masters[s.host] = one
	argv := s.command("echo; exec cat >/dev/null", "-o", "ControlMaster=yes", "-o", "ControlPath="+path, "-o", "ControlPersist=no")
	var once sync.Once
	up := func() { once.Do(func() { close(one.up) }) }
	go func() {
		defer close(one.ended)
		defer up()
		_, _ = transport.RunWrapped(ctx, argv, transport.Command{Stdout: call(up)}, s.grace)
	}()
	return one
}

func (m *controlMasters) close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, one := range m.masters {
		one.cancel()
	}
	for _, one := range m.masters {
		<-one.ended
		// Still there only if it had to be killed; an error of Remove shows below.
		_ = os.Remove(one.path)
	}
	dir := m.dir
	m.dir, m.masters = "", nil
	if dir == "" {
		return nil
	}
	// Not the whole tree: what is left in it is not ours.
	if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// call is a writer that calls a function whenever something is written.
type call func()

func (c call) Write(p []byte) (int, error) {
	c()
	return len(p), nil
}
