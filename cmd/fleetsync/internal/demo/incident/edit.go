package incident

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"
)

// grow adds to the good master's tree what grown trees have, and what a backup of files alone would lose: paths that
// are one file, an odd mode, an odd time, an empty folder, what only is there.
func (r *Replay) grow() error {
	root := r.tree(r.a)
	odd := filepath.Join(root, "odd file")
	if err := os.WriteFile(odd, []byte("nobody knows what this is for\n"), 0o640); err != nil {
		return err
	}
	at := time.Unix(1454284800, 123_456_789)
	swap := filepath.Join(root, "wmf-config", ".CommonSettings.php.swp") // which syncs leave out
	return errors.Join(
		os.MkdirAll(filepath.Dir(swap), 0o755),
		os.WriteFile(swap, []byte("what somebody has not saved yet\n"), 0o600),
		os.Chmod(odd, 0o2750), // the umask shall not decide
		os.Chtimes(odd, at, at),
		os.Link(filepath.Join(root, "wikiversions.php"), filepath.Join(root, "wikiversions-today.php")),
		os.Mkdir(filepath.Join(root, "empty"), 0o700),
		os.Chtimes(filepath.Join(root, "empty"), at, at),
	)
}

// reimage leaves of the second master's tree what a machine has that is not provisioned yet.
func (r *Replay) reimage() error {
	root := r.tree(r.b)
	entries, err := os.ReadDir(root)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != "docroot" {
			if err := os.RemoveAll(filepath.Join(root, e.Name())); err != nil {
				return err
			}
		}
	}
	return os.WriteFile(filepath.Join(root, "README"), []byte("This machine is being provisioned.\n"), 0o644)
}

// serve changes what the inventory says of the second master.
func (r *Replay) serve(from, to string) error {
	data, err := os.ReadFile(r.fleet.Inventory)
	if err != nil {
		return err
	}
	was, is := "{host: "+r.b+", serve: "+from+"}", "{host: "+r.b+", serve: "+to+"}"
	if !bytes.Contains(data, []byte(was)) {
		return fmt.Errorf("%s does not say %s", r.fleet.Inventory, was)
	}
	return renameio.WriteFile(r.fleet.Inventory, bytes.ReplaceAll(data, []byte(was), []byte(is)), 0o644)
}
