package ssh_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
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

	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"

	"github.com/fleetsync/fleetsync/transport"
	"github.com/fleetsync/fleetsync/transport/ssh"
)

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
	d := &ssh.Dialer{Config: ssh.Config{ConfigFile: v.Config, MaxConnections: v.Limit}}
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
	signer, err := xssh.ParsePrivateKey(text)
	if err != nil {
		return nil, nil, err
	}
	config := &xssh.ClientConfig{
		User: "root", Auth: []xssh.AuthMethod{xssh.PublicKeys(signer)}, HostKeyAlgorithms: []string{xssh.CertAlgoED25519v01},
		HostKeyCallback: xssh.InsecureIgnoreHostKey(), //nolint:gosec // what it costs to look is what is measured
	}
	open, shaking := make(chan struct{}, v.Limit), make(chan struct{}, 32)
	return func(address string) (string, error) {
		open <- struct{}{}
		defer func() { <-open }()
		shaking <- struct{}{}
		client, err := xssh.Dial("tcp", fmt.Sprintf("%s:%d", address, v.Port), config)
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
	pair := func() (xssh.Signer, []byte) {
		_, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		block, err1 := xssh.MarshalPrivateKey(private, "")
		signer, err2 := xssh.NewSignerFromKey(private)
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
	known := write("known_hosts", append([]byte("@cert-authority * "), xssh.MarshalAuthorizedKey(authority.PublicKey())...))
	v.Config = write("ssh_config", fmt.Appendf(nil,
		"User root\nIdentityFile %s\nIdentityAgent none\nGlobalKnownHostsFile none\nUserKnownHostsFile %s\n", v.Identity, known))

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
