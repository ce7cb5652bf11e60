package ssh_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	cryptossh "golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/fleetsync/fleetsync/transport"
	"github.com/fleetsync/fleetsync/transport/ssh"
)

// crowd are many ssh hosts that run nothing: a process that listens on the whole of 127.0.0.0/8 is a host of its own at each
// address, with a key of its own that an authority has signed for this address. Whatever it is asked to run, it
// says its address and that it has run well.
type crowd struct {
	Authority []byte // private key, PEM
	Client    []byte // public key that is let in, as it goes over the wire
	Limit     int    // of open connections: beyond it one looks closer

	authority cryptossh.Signer
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
	if c.authority, err = cryptossh.ParsePrivateKey(c.Authority); err != nil {
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
	config := &cryptossh.ServerConfig{PublicKeyCallback: func(_ cryptossh.ConnMetadata, k cryptossh.PublicKey) (*cryptossh.Permissions,
		error) {
		if !bytes.Equal(k.Marshal(), c.Client) {
			return nil, errors.New("unknown")
		}
		return nil, nil
	}}
	config.AddHostKey(key)
	_, channels, requests, err := cryptossh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go cryptossh.DiscardRequests(requests)
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
func (c *crowd) key(address string) (cryptossh.Signer, error) {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	signer, err := cryptossh.NewSignerFromKey(private)
	if err != nil {
		return nil, err
	}
	cert := &cryptossh.Certificate{Key: signer.PublicKey(), CertType: cryptossh.HostCert, ValidPrincipals: []string{address},
		ValidBefore: cryptossh.CertTimeInfinity}
	if err := cert.SignCert(rand.Reader, c.authority); err != nil {
		return nil, err
	}
	return cryptossh.NewCertSigner(cert, signer)
}

// visit is a process that runs one command on each host of a crowd, all at once.
type visit struct {
	Config      string // ssh_config
	Identity    string
	Port, Hosts int
	Limit       int    // of connections
	Asks        int    // so many hosts at once are asked first whether they are there; 0: none
	Bare        bool   // by golang.org/x/crypto/ssh alone, which trusts everybody
	Profile     string // file for a profile of its processor time; empty: none
}

// visitSaid is what came of it.
type visitSaid struct {
	Answered  int
	Errors    []string // the first few
	Wall, CPU time.Duration
	Memory    int // the most it ever had, in KiB
}

func playVisit() error {
	var v visit
	if err := json.NewDecoder(os.Stdin).Decode(&v); err != nil {
		return err
	}
	one, end, err := v.ours()
	if v.Bare {
		one, end, err = v.bare()
	}
	if err != nil {
		return err
	}
	if v.Profile != "" {
		f, err := os.Create(v.Profile)
		if err != nil {
			return err
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
	}
	var said visitSaid
	start, before := time.Now(), cpu()
	errs := make([]error, v.Hosts)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			answer, err := one(addressOf(i))
			if err == nil && answer != addressOf(i) {
				err = fmt.Errorf("%s answered for %s", answer, addressOf(i))
			}
			errs[i] = err
		})
	}
	all.Wait()
	if err := end(); err != nil {
		return err
	}
	said.Wall, said.CPU = time.Since(start), cpu()-before
	pprof.StopCPUProfile()
	for _, err := range errs {
		if err == nil {
			said.Answered++
		} else if len(said.Errors) < 5 {
			said.Errors = append(said.Errors, err.Error())
		}
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	_, peak, _ := strings.Cut(string(status), "VmHWM:")
	if _, err := fmt.Sscan(peak, &said.Memory); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(said)
}

// ours visits by a Dialer.
func (v visit) ours() (one func(address string) (string, error), end func() error, err error) {
	d := &ssh.Dialer{SSH: ssh.Config{ConfigFile: v.Config, MaxConnections: v.Limit}}
	var asked errgroup.Group
	asked.SetLimit(max(1, v.Asks))
	for i := range v.Hosts {
		if v.Asks > 0 {
			asked.Go(func() error {
				return d.Probe(context.Background(), transport.Host{Name: addressOf(i), Port: v.Port})
			})
		}
	}
	if err := asked.Wait(); err != nil {
		return nil, nil, err
	}
	return func(address string) (string, error) {
		conn, err := d.Dial(transport.Host{Name: address, Port: v.Port})
		if err != nil {
			return "", err
		}
		r, err := conn.Run(context.Background(), transport.Command{Args: []string{"true"}})
		return string(r.Stdout), err
	}, d.Close, nil
}

// bare visits by what the least program would: the same algorithms, as many connections and as many handshakes at once.
func (v visit) bare() (one func(address string) (string, error), end func() error, err error) {
	text, err := os.ReadFile(v.Identity)
	if err != nil {
		return nil, nil, err
	}
	signer, err := cryptossh.ParsePrivateKey(text)
	if err != nil {
		return nil, nil, err
	}
	config := &cryptossh.ClientConfig{
		User: "root", Auth: []cryptossh.AuthMethod{cryptossh.PublicKeys(signer)}, HostKeyAlgorithms: []string{cryptossh.CertAlgoED25519v01},
		HostKeyCallback: cryptossh.InsecureIgnoreHostKey(), //nolint:gosec // what it costs to look is what is measured
	}
	open, shaking := make(chan struct{}, v.Limit), make(chan struct{}, 32)
	return func(address string) (string, error) {
		open <- struct{}{}
		defer func() { <-open }()
		shaking <- struct{}{}
		client, err := cryptossh.Dial("tcp", fmt.Sprintf("%s:%d", address, v.Port), config)
		<-shaking
		if err != nil {
			return "", err
		}
		defer client.Close() //nolint:errcheck // it has done its work
		session, err := client.NewSession()
		if err != nil {
			return "", err
		}
		out, err := session.Output("true")
		return string(out), err
	}, func() error { return nil }, nil
}

func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// role is this program in another process.
type role struct {
	orders io.WriteCloser // its standard input
	says   *json.Decoder
	end    func() // closes its input and waits for its end
}

// play starts a role and tells it what it is.
func play(t testing.TB, name string, order any) role {
	t.Helper()
	cmd := exec.Command(os.Args[0]) //nolint:gosec // itself
	cmd.Env = append(os.Environ(), "TRANSPORT_TEST_PLAY="+name)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	r := role{orders: in, says: json.NewDecoder(out), end: sync.OnceFunc(func() {
		_ = in.Close() // it may be closed already
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v: %s", name, err, stderr.Bytes())
		}
	})}
	t.Cleanup(r.end)
	if err := json.NewEncoder(in).Encode(order); err != nil {
		t.Fatal(err)
	}
	return r
}

// visitCrowd has one process visit the hosts of another.
func visitCrowd(t testing.TB, v visit) (visitSaid, crowdSaid) {
	t.Helper()
	dir := t.TempDir()
	pair := func() (cryptossh.Signer, []byte) {
		_, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		block, err1 := cryptossh.MarshalPrivateKey(private, "")
		signer, err2 := cryptossh.NewSignerFromKey(private)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		return signer, pem.EncodeToMemory(block)
	}
	client, clientKey := pair()
	authority, authorityKey := pair()
	write := func(name string, text []byte) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	v.Identity = write("identity", clientKey)
	known := write("known_hosts", append([]byte("@cert-authority * "), cryptossh.MarshalAuthorizedKey(authority.PublicKey())...))
	v.Config = write("ssh_config", fmt.Appendf(nil, "User root\nIdentityFile %s\nIdentityAgent none\nGlobalKnownHostsFile none\nUserKnownHostsFile %s\n", v.Identity, known))

	hosts := play(t, "crowd", crowd{Authority: authorityKey, Client: client.PublicKey().Marshal(), Limit: v.Limit})
	if err := hosts.says.Decode(&v.Port); err != nil {
		t.Fatal(err)
	}
	visitor := play(t, "visit", v)
	var said visitSaid
	err1 := visitor.says.Decode(&said)
	visitor.end()
	var seen crowdSaid
	err2 := errors.Join(hosts.orders.Close(), hosts.says.Decode(&seen))
	hosts.end()
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	return said, seen
}

// underRace tells whether the race detector is at work, which takes several times the memory.
func underRace() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// TestManyHosts: a process that runs a command on each of many hosts at once holds no more connections than it may and little
// memory, and each host is asked exactly once. FLEETSYNC_LONG=1 makes them 10,000. Planted faults seen to fail it: no
// limit on connections; two commands for one; an answer of another host; a crowd that is not one at each address.
func TestManyHosts(t *testing.T) {
	v := visit{Hosts: 300, Limit: 50, Profile: os.Getenv("TRANSPORT_TEST_PROFILE")}
	const most = 300 << 10 // KiB
	long := os.Getenv("FLEETSYNC_LONG") != ""
	if long {
		v.Hosts, v.Limit = 10_000, 1_000
	}
	said, seen := visitCrowd(t, v)
	if said.Answered != v.Hosts || seen.Once != v.Hosts || seen.More != 0 || seen.Accepted != v.Hosts {
		t.Errorf("%d of %d hosts answered; %d ran one command, %d more, over %d connections; %q",
			said.Answered, v.Hosts, seen.Once, seen.More, seen.Accepted, said.Errors)
	}
	if seen.Most > v.Limit || seen.Most < v.Limit/2 {
		t.Errorf("%d connections at once, not %d", seen.Most, v.Limit)
	}
	if long && said.Memory > most && !underRace() {
		t.Errorf("%d KiB of memory, more than %d", said.Memory, most)
	}
	t.Logf("%d hosts in %.2f s, at most %d connections at once, %d MiB; of each host, in ms: %.2f of time, %.2f of processor time, and %.2f of the hosts' own",
		v.Hosts, said.Wall.Seconds(), seen.Most, said.Memory>>10, perHost(v, said.Wall), perHost(v, said.CPU), perHost(v, seen.CPU))
}

// TestManyHostsAsked: nor does it while it asks all of them whether they are there. Planted fault seen to fail it: connections
// that only ask are not counted.
func TestManyHostsAsked(t *testing.T) {
	v := visit{Hosts: 300, Limit: 50, Asks: 256}
	said, seen := visitCrowd(t, v)
	if said.Answered != v.Hosts || seen.Once != v.Hosts || seen.More != 0 {
		t.Errorf("%d of %d hosts answered; %d ran one command, %d more; %q", said.Answered, v.Hosts, seen.Once, seen.More, said.Errors)
	}
	if seen.Most > v.Limit {
		t.Errorf("%d connections at once, not %d", seen.Most, v.Limit)
	}
}

// perHost returns the share of one host, in ms.
func perHost(v visit, d time.Duration) float64 { return d.Seconds() * 1000 / float64(v.Hosts) }

// BenchmarkManyHosts tells the processor time that a host costs, for its connection with one command: ours, and of the
// bare library without known_hosts, ssh_config or keep-alives, which is the least it can be. Ratios hold between runs, times do not.
func BenchmarkManyHosts(b *testing.B) {
	var ours, bare time.Duration
	v := visit{Hosts: 1000, Limit: 100}
	for range b.N {
		v.Bare = false
		said, _ := visitCrowd(b, v)
		ours += said.CPU
		v.Bare = true
		said, _ = visitCrowd(b, v)
		bare += said.CPU
	}
	b.ReportMetric(perHost(v, ours)/float64(b.N), "cpu-ms/host")
	b.ReportMetric(perHost(v, bare)/float64(b.N), "bare-cpu-ms/host")
	b.ReportMetric(ours.Seconds()/bare.Seconds(), "times-bare")
}
