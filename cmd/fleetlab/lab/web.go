//go:build linux

package lab

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

// newWeb returns the HTTP server of a host. Each answer is made from what is there at that moment: below
// /wiki/ the version that the tree's wikiversions.php names, if the tree is whole, and at /healthz whether
// there is a folder to serve from. generated says that the tree is of the lab's making; of another nothing
// is known but that it is not empty. A file /srv/down makes all answers 503.
func newWeb(generated bool) *http.Server {
	serve := func(answer func() (int, string)) http.HandlerFunc {
		return func(reply http.ResponseWriter, _ *http.Request) {
			status, text := http.StatusServiceUnavailable, "this host is down: there is a file /srv/down"
			if _, err := os.Lstat("/srv/down"); errors.Is(err, os.ErrNotExist) {
				status, text = answer()
			}
			reply.Header().Set("Content-Type", "text/plain; charset=utf-8")
			reply.WriteHeader(status)
			_, _ = fmt.Fprintln(reply, text) // the client has gone; nobody is left to tell
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", serve(func() (int, string) {
		if _, err := os.ReadDir(destination); err != nil {
			return http.StatusInternalServerError, err.Error()
		}
		return http.StatusOK, "ok"
	}))
	mux.HandleFunc("GET /wiki/{page...}", serve(func() (int, string) { return page(destination, generated) }))
	return &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
}

// page says what a tree holds, or that it is broken.
func page(tree string, generated bool) (status int, text string) {
	entries, err := os.ReadDir(tree)
	switch {
	case errors.Is(err, os.ErrNotExist), err == nil && len(entries) == 0:
		return http.StatusNotFound, "nothing has been synced to this host"
	case err != nil:
		return http.StatusInternalServerError, err.Error()
	case !generated:
		return http.StatusOK, fmt.Sprintf("Main Page: %d entries at the top of the tree", len(entries))
	}
	v, err := version(tree)
	if err != nil {
		return http.StatusInternalServerError, err.Error()
	}
	return http.StatusOK, "Main Page: MediaWiki " + v
}

var versionFolder = regexp.MustCompile(`=> '(php-([0-9A-Za-z.-]+))'`)

// version returns the version that a tree serves its front page from.
func version(tree string) (string, error) {
	file, err := os.Open(filepath.Join(tree, versions))
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
		return "", fmt.Errorf("%s names no version", versions)
	}
	if _, err := os.ReadDir(filepath.Join(tree, string(found[1]))); err != nil {
		return "", err
	}
	return string(found[2]), nil
}
