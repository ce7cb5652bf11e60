package ssh_test

import (
	"errors"
	"testing"

	"github.com/fleetsync/fleetsync/transport"
	"github.com/fleetsync/fleetsync/transport/ssh"
)

// TestProgramMissing: the error says which program is not on this machine.
func TestProgramMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	dialer := ssh.Dialer{Config: ssh.Config{Client: ssh.ClientOpenSSH}}
	conn, err := dialer.Dial(transport.Host{Name: "mw1"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = conn.Run(t.Context(), transport.Command{Args: []string{"true"}})
	var e *transport.Error
	var missing *transport.MissingError
	if !errors.As(err, &e) || e.Class != transport.ClassMissing || !errors.As(err, &missing) || missing.Programs[0] != "ssh" {
		t.Errorf("%#v", err)
	}
}
