package testfleet

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

// Pages answers as the web server of one host, each time from what is there at that moment: below /wiki/ with the version
// that the tree's Versions names, if the tree is whole, and at /healthz whether there is a folder to serve from.
type Pages struct {
	Tree      string
	Down      string // a path: while something is there, every answer is 503
	Generated bool   // the tree is Generate's, so that it can be told whether it is whole
}

// Handler returns the host's pages.
func (p Pages) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /wiki/{page...}", p.unlessDown(p.page))
	mux.HandleFunc("GET /healthz", p.unlessDown(p.health))
	return mux
}

// NewServer returns a server that does not wait for ever for a client that says nothing. The caller starts and ends it.
func NewServer(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
}

func (p Pages) unlessDown(answer func() (status int, text string)) http.HandlerFunc {
	return func(reply http.ResponseWriter, _ *http.Request) {
		status, text := http.StatusServiceUnavailable, "this host is down: there is a file "+p.Down
		if _, err := os.Lstat(p.Down); errors.Is(err, fs.ErrNotExist) {
			status, text = answer()
		}
		reply.Header().Set("Content-Type", "text/plain; charset=utf-8")
		reply.WriteHeader(status)
		_, _ = fmt.Fprintln(reply, text) // the client has gone; nobody is left to tell
	}
}

// health says whether there is a folder to serve from. What is in it is the gate's business: a host
// that has not been synced yet is as healthy as it was when it was pooled.
func (p Pages) health() (status int, text string) {
	if _, err := os.ReadDir(p.Tree); err != nil {
		return http.StatusInternalServerError, err.Error()
	}
	return http.StatusOK, "ok"
}

// page says what the tree holds, or that it is broken.
func (p Pages) page() (status int, text string) {
	entries, err := os.ReadDir(p.Tree)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && len(entries) == 0:
		return http.StatusNotFound, "nothing has been synced to this host"
	case err != nil:
		return http.StatusInternalServerError, err.Error()
	case !p.Generated:
		return http.StatusOK, fmt.Sprintf("Main Page: %d entries at the top of the tree", len(entries))
	}
	v, err := version(p.Tree)
	if err != nil {
		return http.StatusInternalServerError, err.Error()
	}
	return http.StatusOK, "Main Page: MediaWiki " + v
}

var versionFolder = regexp.MustCompile(`=> '(php-([0-9A-Za-z.-]+))'`)

// version returns the version that a tree serves its front page from.
func version(tree string) (string, error) {
	file, err := os.Open(filepath.Join(tree, Versions))
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
		return "", errors.New(Versions + " names no version")
	}
	if _, err := os.ReadDir(filepath.Join(tree, string(found[1]))); err != nil {
		return "", err
	}
	return string(found[2]), nil
}
