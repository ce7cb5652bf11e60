package ssh_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// crowd are many ssh hosts that run nothing: a process that listens on the whole of 127.0.0.0/8 is a host of its own at each
// address, with a key of its own that an authority has signed for this address. Whatever it is asked to run, it
// says its address and that it has run well.
type crowd struct {
	Authority []byte // private key, PEM
	Client    []byte // public key that is let in, as it goes over the wire
	Limit     int    // of open connections: beyond it one looks closer

	authority xssh.Signer
	mu        sync.Mutex
	open      map[*net.TCPConn]bool
	said      crowdSaid
	ran       map[string]int // by address
}

// crowdSaid is what a crowd has seen.
type crowdSaid struct {
	Accepted, Most int // connections, and how many of them were open at once
	Once           int // hosts that ran exactly one command
	More           int // hosts that ran more
	CPU            time.Duration
}

// addressOf returns the address of a host by its number.
func addressOf(i int) string { return fmt.Sprintf("127.%d.%d.%d", 1+i>>16, i>>8&0xff, i&0xff) }

// playCrowd is a crowd until its standard input ends: it reads what it is, says its port, and in the end what it has seen.
func playCrowd() error {
	in := json.NewDecoder(os.Stdin)
	c := crowd{open: map[*net.TCPConn]bool{}, ran: map[string]int{}}
	if err := in.Decode(&c); err != nil {
		return err
	}
	var err error
	if c.authority, err = xssh.ParsePrivateKey(c.Authority); err != nil {
		return err
	}
	// No other interface than lo is listened on.
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		return errors.Join(raw.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), "lo") }), err)
	}}
	l, err := config.Listen(context.Background(), "tcp4", "0.0.0.0:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr().(*net.TCPAddr).Port)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { c.serve(conn.(*net.TCPConn)) })
		}
	})
	if err := in.Decode(&struct{}{}); !errors.Is(err, io.EOF) {
		return err
	}
	_ = l.Close()
	all.Wait()
	for _, n := range c.ran {
		if n == 1 {
			c.said.Once++
		} else {
			c.said.More++
		}
	}
	c.said.CPU = cpu()
	return json.NewEncoder(os.Stdout).Encode(c.said)
}

// count takes a new connection into account. One that the other end has closed already does not count,
// although its end was not read yet: only the kernel knows when that is.
func (c *crowd) count(conn *net.TCPConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[conn] = true
	c.said.Accepted++
	n := len(c.open)
	if n > c.Limit {
		n = 0
		for o := range c.open {
			if established(o) {
				n++
			}
		}
	}
	c.said.Most = max(c.said.Most, n)
}

func established(conn *net.TCPConn) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	state := uint8(0)
	_ = raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			state = info.State
		}
	})
	return state == unix.BPF_TCP_ESTABLISHED
}

func (c *crowd) serve(conn *net.TCPConn) {
	c.count(conn)
	defer func() {
		c.mu.Lock()
		delete(c.open, conn)
		c.mu.Unlock()
		_ = conn.Close()
	}()
	address := conn.LocalAddr().(*net.TCPAddr).IP.String()
	key, err := c.key(address)
	if err != nil {
		return
	}
	config := &xssh.ServerConfig{PublicKeyCallback: func(_ xssh.ConnMetadata, k xssh.PublicKey) (*xssh.Permissions, error) {
		if !bytes.Equal(k.Marshal(), c.Client) {
			return nil, errors.New("unknown")
		}
		return nil, nil
	}}
	config.AddHostKey(key)
	_, channels, requests, err := xssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go xssh.DiscardRequests(requests)
	for n := range channels {
		channel, requests, err := n.Accept()
		if err != nil {
			return
		}
		for r := range requests {
			_ = r.Reply(r.Type == "exec", nil)
			if r.Type != "exec" {
				continue
			}
			c.mu.Lock()
			c.ran[address]++
			c.mu.Unlock()
			_, _ = io.WriteString(channel, address)
			_, _ = channel.SendRequest("exit-status", false, make([]byte, 4))
			_ = channel.Close()
		}
	}
}

// key returns a new host key with its certificate.
func (c *crowd) key(address string) (xssh.Signer, error) {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	signer, err := xssh.NewSignerFromKey(private)
	if err != nil {
		return nil, err
	}
	cert := &xssh.Certificate{Key: signer.PublicKey(), CertType: xssh.HostCert, ValidPrincipals: []string{address},
		ValidBefore: xssh.CertTimeInfinity}
	if err := cert.SignCert(rand.Reader, c.authority); err != nil {
		return nil, err
	}
	return xssh.NewCertSigner(cert, signer)
}
