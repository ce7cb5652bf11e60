package chaos

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// etcd is a real etcd with the v2 API that can be stopped, paused and started again on what it has
// written. poolingtest.StartEtcd starts one that lives as long as its test.
type etcd struct {
	dir string

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{} // its output has ended
	base string        // where it listens: a port of the kernel's choice, another after each start
}

func newEtcd(t *testing.T) *etcd {
	t.Helper()
	e := &etcd{dir: t.TempDir()}
	t.Cleanup(e.stop)
	if err := e.start(); err != nil {
		t.Fatal(err)
	}
	return e
}

var serving = regexp.MustCompile(`serving insecure client requests on (127\.0\.0\.1:[0-9]+)`)

// start starts it, unless it runs, and waits until it answers.
func (e *etcd) start() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.cmd != nil {
		return nil
	}
	const anyPort = "http://127.0.0.1:0"
	cmd := exec.CommandContext(background, "etcd", "--enable-v2", "--data-dir", e.dir,
		"--listen-client-urls", anyPort, "--advertise-client-urls", anyPort, "--listen-peer-urls", anyPort,
		"--heartbeat-interval", "50", "--election-timeout", "250", "--logger", "capnslog", "--log-outputs", "stderr")
	out, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return fmt.Errorf("cannot start etcd: %w", err)
	}
	ready := make(chan string, 1)
	e.cmd, e.done = cmd, make(chan struct{})
	go func() {
		defer close(e.done)
		defer close(ready)
		var last []string
		for lines := bufio.NewScanner(out); lines.Scan(); {
			last = append(last, lines.Text())
			if m := serving.FindStringSubmatch(lines.Text()); m != nil {
				ready <- "http://" + m[1]
				_, _ = io.Copy(io.Discard, out) // or etcd would block on a full pipe
				return
			}
		}
		ready <- strings.Join(last, "\n")
	}()
	e.base = <-ready
	if !strings.HasPrefix(e.base, "http://") {
		return fmt.Errorf("etcd ended before it was ready:\n%s", e.base)
	}
	if !eventually(time.Minute, func() bool {
		_, err := e.keysAt(e.base, "/")
		return err == nil
	}) {
		return fmt.Errorf("etcd does not answer")
	}
	return nil
}

// stop ends it as a power cut would.
func (e *etcd) stop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.cmd == nil {
		return
	}
	_ = e.cmd.Process.Kill()
	<-e.done
	_ = e.cmd.Wait() // killed
	e.cmd = nil
}

// pause stops it in its tracks, until resume. What it is asked meanwhile waits in its sockets.
func (e *etcd) pause() { e.signal(syscall.SIGSTOP) }

func (e *etcd) resume() { e.signal(syscall.SIGCONT) }

func (e *etcd) signal(s syscall.Signal) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.cmd != nil {
		_ = e.cmd.Process.Signal(s)
	}
}

func (e *etcd) address() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.base
}

// keys returns all keys below a path with their values, as etcd itself says, not by way of a front.
func (e *etcd) keys(t *testing.T, path string) map[string]string {
	t.Helper()
	keys, err := e.keysAt(e.address(), path)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func (e *etcd) keysAt(base, path string) (map[string]string, error) {
	client := http.Client{Timeout: 10 * time.Second}
	resp, err := client.Get(base + "/v2/keys" + path + "?recursive=true&quorum=true")
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusNotFound {
		return nil, nil
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("etcd says %s", resp.Status)
	}
	type node struct {
		Key   string
		Value *string
		Nodes []node
	}
	var answer struct{ Node node }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, err
	}
	keys := map[string]string{}
	var walk func(n node)
	walk = func(n node) {
		if n.Value != nil {
			keys[n.Key] = *n.Value
		}
		for _, child := range n.Nodes {
			walk(child)
		}
	}
	walk(answer.Node)
	return keys, nil
}

const (
	poolsPrefix  = "/conftool/v1/pools"
	sharedPrefix = "/fleetsync/v1/demo"
)

func (e *etcd) pools(t *testing.T) map[string]string { return e.keys(t, poolsPrefix) }

// left returns what a run has left in the shared store. A probe of one that was killed between writing
// and deleting it runs out by itself, within a minute, and means nothing to anybody; which inventory the
// last run had is meant to stay.
func (e *etcd) left(t *testing.T) map[string]string {
	keys := e.keys(t, sharedPrefix)
	for key := range keys {
		if strings.HasPrefix(filepath.Base(key), "probe-") || strings.HasPrefix(key, sharedPrefix+"/inventory/") {
			delete(keys, key)
		}
	}
	return keys
}
