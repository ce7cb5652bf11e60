package poolingtest

import (
	"fmt"
	"net"
	"net/http"
	"time"
)

// Server serves an Etcd on a loopback port of the kernel's choice.
type Server struct {
	URL    string // base URL: an endpoint for a pooling.Client
	Etcd   *Etcd
	Faults *Faults // in front of the store

	http *http.Server
	done chan struct{}
}

// NewServer starts a server of an empty Etcd. The caller must close it.
func NewServer() (*Server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("cannot serve the pool API: %w", err)
	}
	store := &Etcd{}
	s := &Server{
		URL:    "http://" + l.Addr().String(),
		Etcd:   store,
		Faults: &Faults{Next: store},
		done:   make(chan struct{}),
	}
	s.http = &http.Server{Handler: s.Faults, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		defer close(s.done)
		_ = s.http.Serve(l) // ends with ErrServerClosed
	}()
	return s, nil
}

// Close ends all connections, long polls included, and waits for the server to end.
func (s *Server) Close() error {
	err := s.http.Close()
	<-s.done
	return err
}
