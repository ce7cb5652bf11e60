package ssh_test

import (
	"crypto/ed25519"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/fleetsync/fleetsync/transport"
	"github.com/fleetsync/fleetsync/transport/transporttest"
)

// TestNativeIdentity: planted faults seen to fail it: an agent's keys offered in spite of
// IdentitiesOnly (too many for MaxAuthTries); certificates not looked for.
func TestNativeIdentity(t *testing.T) {
	t.Parallel()
	authority := transporttest.Key(t, "ed25519")
	d := transporttest.StartSSHD(t, "TrustedUserCAKeys "+authority+".pub", "MaxAuthTries 3")
	stranger, certified := transporttest.Key(t, "ecdsa"), transporttest.Key(t, "ed25519")
	transporttest.Certify(t, authority, certified, "-n", d.User)
	encrypted := filepath.Join(t.TempDir(), "encrypted")
	if err := os.WriteFile(encrypted, []byte(read1(t, d.Identity)), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := transport.Local{}.Run(t.Context(), transport.Command{Args: []string{"ssh-keygen", "-q", "-p", "-P", "", "-N", "secret",
		"-f", encrypted}})
	if err != nil || r.ExitCode != 0 {
		t.Fatal(r, err)
	}
	open := filepath.Join(t.TempDir(), "open")
	if err := os.WriteFile(open, []byte(read1(t, d.Identity)), 0o644); err != nil {
		t.Fatal(err)
	}
	private, err := xssh.ParseRawPrivateKey([]byte(read1(t, d.Identity)))
	if err != nil {
		t.Fatal(err)
	}
	// The key that is let in is the last of five: more than MaxAuthTries, were they all offered.
	full := startAgent(t, private, 4)
	only := startAgent(t, private, 0)
	none := filepath.Join(t.TempDir(), "none")
	for name, c := range map[string]struct {
		config []string
		want   []string // empty: let in
	}{
		"a file":                      {[]string{"IdentityFile " + d.Identity}, nil},
		"the second file":             {[]string{"IdentityFile " + stranger, "IdentityFile " + d.Identity}, nil},
		"another key":                 {[]string{"IdentityFile " + stranger}, []string{"does not let", "ecdsa-sha2-nistp256 SHA256:"}},
		"no file":                     {[]string{"IdentityFile " + none}, []string{"no such file"}},
		"no key":                      {[]string{"IdentityFile none"}, []string{"there is no key to show"}},
		"a file for all":              {[]string{"IdentityFile " + open}, []string{"others can read it"}},
		"an encrypted file":           {[]string{"IdentityFile " + encrypted}, []string{"is encrypted", "ssh-add"}},
		"an encrypted file, agent":    {[]string{"IdentityFile " + encrypted, "IdentitiesOnly yes", "IdentityAgent " + full}, nil},
		"a public key, agent":         {[]string{"IdentityFile " + d.Identity + ".pub", "IdentitiesOnly yes", "IdentityAgent " + full}, nil},
		"an agent":                    {[]string{"IdentityFile " + none, "IdentityAgent " + only}, nil},
		"an agent with too many keys": {[]string{"IdentityFile " + none, "IdentityAgent " + full}, []string{"does not let"}},
		"an agent, but other files": {[]string{"IdentityFile " + stranger, "IdentitiesOnly yes", "IdentityAgent " + only},
			[]string{"does not let"}},
		"an agent that is not there":   {[]string{"IdentityFile " + none, "IdentityAgent " + none}, []string{"the agent at", "does not answer"}},
		"an agent's keys before files": {[]string{"IdentityFile " + stranger, "IdentityFile " + d.Identity, "IdentityAgent " + full}, nil},
		"a certificate":                {[]string{"IdentityFile " + certified}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := append([]string{"UserKnownHostsFile " + d.Known, "GlobalKnownHostsFile none"}, c.config...)
			if !strings.Contains(strings.Join(config, " "), "IdentityAgent") {
				config = append(config, "IdentityAgent none")
			}
			err := says(t, dial(t, dialer(t, config...), d.Host()))
			if c.want == nil {
				if err != nil {
					t.Error(err)
				}
				return
			}
			refused(t, err, transport.ClassTransient, c.want...)
			t.Log(err)
		})
	}
}

// startAgent serves an agent with some keys, the private one last, and returns its socket.
func startAgent(t *testing.T, private any, strangers int) string {
	t.Helper()
	ring := agent.NewKeyring()
	for range strangers {
		_, key, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := ring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
			t.Fatal(err)
		}
	}
	if err := ring.Add(agent.AddedKey{PrivateKey: private}); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "agent")
	l, err := net.Listen("unix", socket)
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
				_ = agent.ServeAgent(ring, conn) // its end
				_ = conn.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	return socket
}
