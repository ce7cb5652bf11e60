package ssh

import (
	"bytes"
	"net"
	"sync/atomic"
)

// wire is the network connection below ssh. It counts what arrives, for the keep-alives, and saves system calls: the version line of
// the host is read at once (the library reads it byte by byte, some forty calls for each host), and ours is sent together with what
// follows it. The host waits for neither, since it has begun to speak (RFC 4253, 4.2).
type wire struct {
	net.Conn
	ahead []byte // what came first and is still to be read
	spoke bool   // something was written
	held  []byte // what was written first and is still to be sent
	heard atomic.Int64
}

// Write is called by one goroutine at a time, as Read is.
func (w *wire) Write(p []byte) (int, error) {
	if !w.spoke {
		w.spoke, w.held = true, bytes.Clone(p)
		return len(p), nil
	}
	if w.held == nil {
		return w.Conn.Write(p)
	}
	all := append(w.held, p...)
	w.held = nil
	n, err := w.Conn.Write(all)
	return max(0, n-len(all)+len(p)), err
}

// Read is called by one goroutine at a time (net.Conn allows more, ssh has one).
func (w *wire) Read(p []byte) (int, error) {
	if len(w.ahead) > 0 {
		n := copy(p, w.ahead)
		if w.ahead = w.ahead[n:]; len(w.ahead) == 0 {
			w.ahead = nil
		}
		return n, nil
	}
	n, err := w.Conn.Read(p)
	w.heard.Add(int64(n))
	return n, err
}
