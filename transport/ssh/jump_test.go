package ssh_test

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/fleetsync/fleetsync/transport"
	"github.com/fleetsync/fleetsync/transport/ssh"
	"github.com/fleetsync/fleetsync/transport/transporttest"
)

// TestNativeJump: each hop is trusted and let in for itself. Planted faults seen to fail it: the host's
// own key looked up by the jump host's name; one jump host left out of a list.
func TestNativeJump(t *testing.T) {
	t.Parallel()
	target, first, second := transporttest.StartSSHD(t), transporttest.StartSSHD(t), transporttest.StartSSHD(t)
	relay, via, viaKnown := relayed(t, first)
	config := func(more ...string) []string {
		return append(append(more,
			"Host first", "HostName 127.0.0.1", "HostKeyAlias first", "Port "+strconv.Itoa(via.Port), "IdentityFile "+first.Identity,
			"IdentitiesOnly yes",
			"Host second", "HostName 127.0.0.1", "HostKeyAlias second", "Port "+strconv.Itoa(second.Port), "IdentityFile "+second.Identity,
			"IdentitiesOnly yes",
			"Host target*", "HostName 127.0.0.1", "HostKeyAlias target", "Port "+strconv.Itoa(target.Port), "IdentityFile "+target.Identity,
			"IdentitiesOnly yes",
			"Host *", "IdentityAgent none", "GlobalKnownHostsFile none", "ConnectTimeout 5"),
			"UserKnownHostsFile "+file(t, viaKnown+
				"first "+transporttest.PublicKey(t, first.HostKey)+
				"second "+transporttest.PublicKey(t, second.HostKey)+
				"target "+transporttest.PublicKey(t, target.HostKey)))
	}
	host := transport.Host{Name: "target"}
	t.Run("one", func(t *testing.T) {
		d := dialer(t, config("Host target*", "ProxyJump first")...)
		before, _ := relay.Count()
		conn := dial(t, d, host)
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				// Different hosts to us, and all through one connection.
				if err := says(t, dial(t, d, transport.Host{Name: fmt.Sprintf("target%d", i)})); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if after, _ := relay.Count(); after != before+1 {
			t.Errorf("%d connections to the jump host", after-before)
		}
		transportLarge(t, conn)
	})
	t.Run("a chain", func(t *testing.T) {
		before, _ := relay.Count()
		for _, c := range [][]string{
			{"Host target*", "ProxyJump first,second"},
			{"Host target*", "ProxyJump second", "Host second", "ProxyJump first"},
			{"Host target*", "ProxyJump second", "Host second", "ProxyJump ssh://" + first.User + "@first:" + strconv.Itoa(via.Port)},
		} {
			if err := says(t, dial(t, dialer(t, config(c...)...), host)); err != nil {
				t.Errorf("%q: %v", c, err)
			}
			after, _ := relay.Count()
			if after != before+1 {
				t.Errorf("%q: %d connections to the first jump host", c, after-before)
			}
			before = after
		}
	})
	t.Run("a loop", func(t *testing.T) {
		d := &ssh.Dialer{Config: ssh.Config{ConfigFile: file(t, "ProxyJump first\n")}}
		dial(t, d, host)
		if f := d.Fallbacks(); len(f) != 1 || !strings.Contains(f[0].Reason, "too many jump hosts") {
			t.Error(f)
		}
	})
	t.Run("not trusted", func(t *testing.T) {
		err := says(t, dial(t, dialer(t, config("Host first", "HostKeyAlias second", "Host target*", "ProxyJump first")...), host))
		refused(t, err, transport.ClassPermanent, "jump host 127.0.0.1: ssh: the host key of second has changed")
	})
	t.Run("not let in", func(t *testing.T) {
		err := says(t, dial(t, dialer(t, config("Host first", "IdentityFile "+target.Identity, "User nobody", "Host target*",
			"ProxyJump first")...), host))
		refused(t, err, transport.ClassTransient, "jump host 127.0.0.1: ssh: the host does not let nobody in")
	})
	t.Run("nobody there", func(t *testing.T) {
		err := says(t, dial(t, dialer(t, config("Host target*", "ProxyJump first", "Port 1")...), host))
		refused(t, err, transport.ClassTransient, "connect to 127.0.0.1 port 1")
	})
	t.Run("one started anew", func(t *testing.T) {
		conn := dial(t, dialer(t, config("Host target*", "ProxyJump second")...), host)
		for range 2 {
			if err := says(t, conn); err != nil {
				t.Error(err)
			}
			second.Stop()
			second.Start(t)
		}
	})
}

// transportLarge sees some megabytes come through intact.
func transportLarge(t *testing.T, conn transport.Conn) {
	t.Helper()
	big := bytes.Repeat([]byte("0123456789abcde\n"), 300_000)
	var out bytes.Buffer
	r, err := conn.Run(t.Context(), transport.Command{Args: []string{"cat"}, Stdin: big, Stdout: &out})
	if err != nil || r.ExitCode != 0 || !bytes.Equal(out.Bytes(), big) {
		t.Errorf("%d of %d bytes, exit %d, %v", out.Len(), len(big), r.ExitCode, err)
	}
}
