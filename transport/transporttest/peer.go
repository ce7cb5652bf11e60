package transporttest

import (
	"net"
	"sync"
	"testing"
)

// Peer listens on a loopback port until the test ends, does something with each connection and then closes it.
func Peer(t testing.TB, do func(net.Conn)) (port int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				do(conn)
				_ = conn.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	return l.Addr().(*net.TCPAddr).Port
}

// Say says something.
func Say(text string) func(net.Conn) {
	return func(c net.Conn) { _, _ = c.Write([]byte(text)) }
}

// SayAndWait says something and then nothing until the other end hangs up.
func SayAndWait(text string) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = c.Write([]byte(text))
		for b := make([]byte, 64); ; {
			if _, err := c.Read(b); err != nil {
				return
			}
		}
	}
}

// Reset hangs up so that the other end gets an error, not an end.
func Reset(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) }

// Repeat says something again and again until nobody listens.
func Repeat(text string) func(net.Conn) {
	return func(c net.Conn) {
		for {
			if _, err := c.Write([]byte(text)); err != nil {
				return
			}
		}
	}
}

// ClosedPort is one that nobody listens on.
func ClosedPort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
