package demo

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

// web answers for the web servers of all hosts, each from what is at its destination at that moment.
type web struct {
	hosts     map[string]place
	generated bool // the tree is of our making, so that it can be told whether it is whole
}

// place is where a host is.
type place struct{ dir, destination string }

func newWeb(o Options, hosts []host) http.Handler {
	w := web{hosts: map[string]place{}, generated: o.Tree == ""}
	for _, h := range hosts {
		w.hosts[h.name] = place{h.dir(o.Dir), h.destination(o.Dir)}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{host}/wiki/{page...}", w.serve(w.page))
	mux.HandleFunc("GET /{host}/healthz", w.serve(w.health))
	return mux
}

// serve returns a handler of a request to one host.
func (w web) serve(answer func(destination string) (status int, text string)) http.HandlerFunc {
	return func(reply http.ResponseWriter, r *http.Request) {
		p, ok := w.hosts[r.PathValue("host")]
		if !ok {
			http.Error(reply, "no such host", http.StatusNotFound)
			return
		}
		status, text := http.StatusServiceUnavailable, "this host is down: there is a file "+filepath.Join(p.dir, "down")
		if _, err := os.Lstat(filepath.Join(p.dir, "down")); errors.Is(err, fs.ErrNotExist) {
			status, text = answer(p.destination)
		}
		reply.Header().Set("Content-Type", "text/plain; charset=utf-8")
		reply.WriteHeader(status)
		_, _ = fmt.Fprintln(reply, text) // the client has gone; nobody is left to tell
	}
}

// health says whether there is a folder to serve from. What is in it is the gate's business: a host
// that has not been synced yet is as healthy as it was when it was pooled.
func (w web) health(destination string) (status int, text string) {
	if _, err := os.ReadDir(destination); err != nil {
		return http.StatusInternalServerError, err.Error()
	}
	return http.StatusOK, "ok"
}

// page says what the tree holds, or that it is broken.
func (w web) page(destination string) (status int, text string) {
	entries, err := os.ReadDir(destination)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && len(entries) == 0:
		return http.StatusNotFound, "nothing has been synced to this host"
	case err != nil:
		return http.StatusInternalServerError, err.Error()
	case !w.generated:
		return http.StatusOK, fmt.Sprintf("Main Page: %d entries at the top of the tree", len(entries))
	}
	v, err := version(destination)
	if err != nil {
		return http.StatusInternalServerError, err.Error()
	}
	return http.StatusOK, "Main Page: MediaWiki " + v
}

var versionFolder = regexp.MustCompile(`=> '(php-([0-9A-Za-z.-]+))'`)

// version returns the version that the front page is served from.
func version(tree string) (string, error) {
	file, err := os.Open(filepath.Join(tree, "wikiversions.php"))
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }() // nothing was written
	data, err := io.ReadAll(io.LimitReader(file, 1<<20))
	if err != nil {
		return "", err
	}
	found := versionFolder.FindSubmatch(data)
	if found == nil {
		return "", errors.New("wikiversions.php names no version")
	}
	if _, err := os.ReadDir(filepath.Join(tree, string(found[1]))); err != nil {
		return "", err
	}
	return string(found[2]), nil
}

// serveWeb serves on a loopback port of the kernel's choice until the function it returns is called.
func serveWeb(h http.Handler) (url string, closeServer func() error, _ error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("cannot serve the hosts' pages: %w", err)
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l) // ends with ErrServerClosed
	}()
	return "http://" + l.Addr().String(), func() error {
		err := s.Close()
		<-done
		return err
	}, nil
}
