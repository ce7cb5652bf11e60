package transport

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWrapped(t *testing.T) {
	argv, err := Wrap(Command{Args: []string{"rsync", "-a"}, Stdin: []byte("abc")}, "mwdeploy", 0)
	if diff := cmp.Diff([]string{"sudo", "-n", "-u", "mwdeploy", "--", "sh", "-c", wrapper, "fleetsync", "1.000", "3", "rsync", "-a"},
		argv); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

// TestWrapperWaitsForItsInput: a command whose input was cut off is not started.
func TestWrapperWaitsForItsInput(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "mark")
	argv, err := Wrap(Command{Args: []string{"touch", mark}, Stdin: []byte("+ /wmf-config\n- *\n")}, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin = strings.NewReader("+ /wmf")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 143 || string(out) != "input ended after 6 of 18 bytes\n" {
		t.Errorf("%v: %s", err, out)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("the command was started")
	}
}
