//go:build linux

package lab

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
)

// processes are the children of a host's first process, which also has to reap whoever lost its parent. All
// of them are waited for by reap; nothing else may wait.
type processes struct {
	mu    sync.Mutex // held from before a process starts until it is in ended
	ended map[int]chan syscall.WaitStatus
	died  chan os.Signal
}

func newProcesses() *processes {
	p := &processes{ended: map[int]chan syscall.WaitStatus{}, died: make(chan os.Signal, 1)}
	signal.Notify(p.died, syscall.SIGCHLD)
	return p
}

// reap waits for children for ever.
func (p *processes) reap() {
	for range p.died {
		p.mu.Lock()
		for {
			var status syscall.WaitStatus
			pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
			if err == syscall.EINTR {
				continue
			}
			if err != nil || pid <= 0 {
				break
			}
			if c := p.ended[pid]; c != nil {
				c <- status
				delete(p.ended, pid)
			}
		}
		p.mu.Unlock()
	}
}

// start starts a program in a session of its own. Its status comes on the channel.
func (p *processes) start(argv []string, attr os.ProcAttr) (pid int, ended <-chan syscall.WaitStatus, _ error) {
	attr.Sys = &syscall.SysProcAttr{Setsid: true}
	p.mu.Lock()
	defer p.mu.Unlock()
	process, err := os.StartProcess(argv[0], argv, &attr)
	if err != nil {
		return 0, nil, err
	}
	pid = process.Pid
	_ = process.Release() // reap waits for it
	c := make(chan syscall.WaitStatus, 1)
	p.ended[pid] = c
	return pid, c, nil
}

// signal sends a signal to a process group of start, unless it is known to have ended.
func (p *processes) signal(pid int, s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended[pid] != nil {
		_ = syscall.Kill(-pid, s)
	}
}

// daemon starts a daemon whose words go to a file in /var/log. Should it end, that is said to died, which must
// have room.
func (p *processes) daemon(argv []string, died chan<- error) error {
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join("/var/log", filepath.Base(path)+".log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the daemon writes it
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer func() { _ = null.Close() }() // never written
	_, ended, err := p.start(append([]string{path}, argv[1:]...), os.ProcAttr{
		Dir: "/", Env: hostEnv(os.Environ()), Files: []*os.File{null, log, log},
	})
	if err != nil {
		return fmt.Errorf("cannot start %s: %w", argv[0], err)
	}
	go func() {
		status := <-ended
		said, _ := os.ReadFile(log.Name())
		if len(said) > 1000 {
			said = said[len(said)-1000:]
		}
		died <- fmt.Errorf("%s ended with status %d, having said: %s", argv[0], status.ExitStatus(), bytes.TrimSpace(said))
	}()
	return nil
}
