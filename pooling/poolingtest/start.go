package poolingtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
)

// T is what StartEtcd needs of a *testing.T.
type T interface {
	Helper()
	Skipf(format string, args ...any)
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
	Cleanup(func())
	TempDir() string
	Context() context.Context
}

// etcd 3.4 chooses the port itself if that is 0, and says so. It is ready once it has also written down its version, which
// moves the index; under load that comes later (measured).
var serving = regexp.MustCompile(`serving insecure client requests on (127\.0\.0\.1:[0-9]+)`)

// StartEtcd starts a real etcd with the v2 API on a loopback port of the kernel's choice and returns its base URL. It
// ends with the test. Where etcd is missing the test is skipped, or fails if the environment has CI.
func StartEtcd(t T) string {
	t.Helper()
	program, err := exec.LookPath("etcd")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("etcd is missing: apt-get install etcd-server")
		}
		t.Skipf("etcd is missing: apt-get install etcd-server")
	}
	const anyPort = "http://127.0.0.1:0"
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), program, "--enable-v2", "--data-dir", t.TempDir(),
		"--listen-client-urls", anyPort, "--advertise-client-urls", anyPort, "--listen-peer-urls", anyPort,
		"--heartbeat-interval", "10", "--election-timeout", "100", "--logger", "capnslog", "--log-outputs", "stderr")
	out, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatalf("cannot start etcd: %v", err)
	}
	ready := make(chan string, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(ready)
		var last []string
		var address string
		version := false
		for lines := bufio.NewScanner(out); lines.Scan(); {
			last = append(last, lines.Text())
			if m := serving.FindStringSubmatch(lines.Text()); m != nil {
				address = m[1]
			}
			version = version || strings.Contains(lines.Text(), "set the initial cluster version")
			if address != "" && version {
				ready <- "http://" + address
				_, _ = io.Copy(io.Discard, out) // or etcd would block on a full pipe
				return
			}
		}
		t.Logf("etcd said:\n%s", strings.Join(last, "\n"))
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
		_ = cmd.Wait() // killed
	})
	base, ok := <-ready
	if !ok {
		t.Fatalf("etcd ended before it was ready")
	}
	return base
}

// Create creates a key through the API of an endpoint unless something is there already, and reports whether it did.
func Create(ctx context.Context, endpoint, key, value string) (bool, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return false, fmt.Errorf("pool API: %w", err)
	}
	escaped := strings.Split(strings.Trim(key, "/"), "/")
	for i, part := range escaped {
		escaped[i] = url.PathEscape(part)
	}
	form := url.Values{"value": {value}, "prevExist": {"false"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, u.JoinPath(keys, strings.Join(escaped, "/")).String(),
		strings.NewReader(form.Encode()))
	if err != nil {
		return false, fmt.Errorf("pool API: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false, fmt.Errorf("pool API: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	switch resp.StatusCode {
	case http.StatusCreated:
		return true, nil
	case http.StatusPreconditionFailed:
		return false, nil
	default:
		return false, errors.New("pool API: cannot create " + key + ": HTTP " + resp.Status)
	}
}
