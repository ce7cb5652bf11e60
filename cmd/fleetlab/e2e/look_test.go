//go:build linux

package e2e

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/fleetsync/fleetsync/cmd/internal/testfleet"
)

// look is what there is on a host.
type look struct {
	Tree  testfleet.Snapshot
	Left  []string // command lines of what runs, but for what is there since it was booted, and sessions that nobody uses
	Twice string   // what watchRsync has seen
}

const twice = "/var/log/twice"

// all are all hosts with a tree.
func (f *fleet) all() []string { return append([]string{f.origin}, f.synced...) }

// look returns what there is on a host.
func (f *fleet) look(t *testing.T, host string) (l look) {
	t.Helper()
	f.ask(t, host, lookAt, f.place(host), &l)
	return l
}

func readLook(root string) (l look, err error) {
	if l.Tree, err = testfleet.TakeSnapshot(root, nil); err != nil {
		return l, err
	}
	seen, err := os.ReadFile(twice)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return l, err
	}
	l.Twice = string(seen)
	l.Left, err = running()
	return l, err
}

// running returns the command lines of processes that are no daemon's.
func running() (left []string, err error) {
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	for _, dir := range folders {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == 1 || pid == os.Getpid() {
			continue
		}
		words, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil || len(words) == 0 { // it has ended
			continue
		}
		line := strings.Join(strings.FieldsFunc(string(bytes.TrimRight(words, "\x00")), func(r rune) bool { return r == 0 }), " ")
		name := filepath.Base(strings.Fields(line)[0])
		if strings.HasPrefix(name, "sshd") || slices.Contains(strings.Fields(line), "--daemon") {
			continue
		}
		left = append(left, line)
	}
	return left, nil
}

// watchRsync has hosts write down, until they lose power, each rsync that begins while another one runs that is no
// daemon. Dry runs do not count.
func (f *fleet) watchRsync(t *testing.T, hosts ...string) {
	t.Helper()
	for _, h := range hosts {
		f.must(t, h, `rsync=$(readlink -f "$(command -v rsync)"); mkdir -p /run/own; cp "$rsync" /run/own/rsync
cat >/run/own/watch <<'END'
#!/bin/sh
case " $* " in
*" --dry-run "*) ;;
*) if others=$(ls -l /proc/[0-9]*/exe 2>/dev/null | grep ' /run/own/rsync$'); then echo "$others; $*" >>`+twice+`; fi ;;
esac
exec /run/own/rsync "$@"
END
chmod +x /run/own/watch; mount --bind /run/own/watch "$rsync"`)
	}
}
