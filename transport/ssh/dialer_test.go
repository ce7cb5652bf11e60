package ssh

import (
	"errors"
	"strings"
	"testing"

	"github.com/fleetsync/fleetsync/transport"
)

func TestDial(t *testing.T) {
	d := Dialer{Config: Config{Client: ClientOpenSSH}}
	for _, h := range []transport.Host{
		{}, {Name: "-oProxyCommand=x"}, {Name: "a", Address: "-x"}, {Name: "a", Address: "ssh://b"}, {Name: "a", Address: "u@b"},
		{Name: "a b"}, {Name: "a\nb"}, {Name: "a", User: "-x"}, {Name: "a", User: "x\n"}, {Name: "a", Port: -1}, {Name: "a", Port: 1 << 16},
	} {
		if _, err := d.Dial(h); err == nil {
			t.Errorf("%+v is not refused", h)
		}
	}
	conn, err := d.Dial(transport.Host{Name: "mw1", Address: "::1", Port: 22, User: "deploy", Become: "mwdeploy"})
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(conn.(*openSSH).command("LINE"), " ")
	want := "ssh -T -x -o BatchMode=yes -o ConnectTimeout=15 -o ServerAliveInterval=15 -o ServerAliveCountMax=3" +
		" -o ClearAllForwardings=yes -o RemoteCommand=none -l deploy -p 22 -- ::1 LINE"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	_, err = conn.Run(t.Context(), transport.Command{Args: []string{"echo", strings.Repeat("x", 128<<10)}})
	if e := (*transport.Error)(nil); !errors.As(err, &e) || e.Class != transport.ClassPermanent {
		t.Errorf("a command line that is too long: %v", err)
	}
}
