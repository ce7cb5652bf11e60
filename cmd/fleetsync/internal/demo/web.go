package demo

import (
	"fmt"
	"net"
	"net/http"
	"path/filepath"

	"github.com/fleetsync/fleetsync/cmd/internal/testfleet"
)

// newWeb returns a handler that answers for the web servers of all hosts, each below its name.
func newWeb(o Options, hosts []host) http.Handler {
	mux := http.NewServeMux()
	for _, h := range hosts {
		pages := testfleet.Pages{Tree: h.destination(o.Dir), Down: filepath.Join(h.dir(o.Dir), "down"), Generated: o.Tree == ""}
		mux.Handle("/"+h.name+"/", http.StripPrefix("/"+h.name, pages.Handler()))
	}
	return mux
}

// serveWeb serves on a loopback port of the kernel's choice until the function it returns is called.
func serveWeb(h http.Handler) (url string, closeServer func() error, _ error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("cannot serve the hosts' pages: %w", err)
	}
	s := testfleet.NewServer(h)
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
