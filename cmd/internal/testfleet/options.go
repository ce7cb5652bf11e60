package testfleet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Check returns what is wrong with the numbers and times of a fleet. Hosts include canaries and proxies, not masters; soak
// is the gate's, drain a proxy's.
func Check(masters, hosts, proxies int, soak, drain time.Duration) error {
	switch {
	case masters < 1:
		return errors.New("the fleet needs a master, or there is nothing to sync from")
	case proxies < 0:
		return fmt.Errorf("%d proxies are fewer than none", proxies)
	case hosts <= proxies:
		return fmt.Errorf("%d hosts are too few for %d proxies: at least one more must be the canary", hosts, proxies)
	case soak < 0 || drain < 0:
		return errors.New("soak and drain cannot be negative")
	default:
		return nil
	}
}

// CheckTree returns why a tree cannot be copied into a fleet whose folder is dir, which need not exist. Both are absolute.
func CheckTree(tree, dir string) error {
	tree, err := filepath.EvalSymlinks(tree)
	if err != nil {
		return fmt.Errorf("cannot copy the tree: %w", err)
	}
	if entries, err := os.ReadDir(tree); err != nil {
		return fmt.Errorf("cannot copy the tree: %w", err)
	} else if len(entries) == 0 {
		return fmt.Errorf("the tree %q is empty", tree)
	}
	resolved, err := Resolve(dir)
	if err != nil {
		return fmt.Errorf("cannot make a fleet: %w", err)
	}
	if Inside(resolved, tree) {
		return fmt.Errorf("%q lies in the tree %q, and would be copied into itself: choose another directory", dir, tree)
	}
	return nil
}

// Resolve returns an absolute path without symlinks. Its last parts need not exist.
func Resolve(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	for dir, rest := path, ""; ; dir, rest = filepath.Dir(dir), filepath.Join(filepath.Base(dir), rest) {
		resolved, err := filepath.EvalSymlinks(dir)
		if err == nil {
			return filepath.Join(resolved, rest), nil
		}
		if !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return "", err
		}
	}
}

// Inside says whether path is dir or lies in it. Both are absolute and without symlinks.
func Inside(path, dir string) bool {
	return strings.HasPrefix(path+"/", strings.TrimSuffix(dir, "/")+"/")
}
