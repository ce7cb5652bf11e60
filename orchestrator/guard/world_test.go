package guard

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/fleetsync/fleetsync/orchestrator/manifest"
)

// need skips the test if a program is missing; in CI it fails.
func need(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
}

// plant makes a tree: paths that end with a slash are folders, those with -> symlinks, all others files that hold
// their own path.
func plant(t testing.TB, root string, paths ...string) {
	t.Helper()
	for _, p := range paths {
		var err error
		if name, target, link := strings.Cut(p, " -> "); link {
			err = os.Symlink(target, filepath.Join(root, name))
		} else if strings.HasSuffix(p, "/") {
			err = os.MkdirAll(filepath.Join(root, p), 0o755)
		} else {
			if err = os.MkdirAll(filepath.Join(root, filepath.Dir(p)), 0o755); err == nil {
				err = os.WriteFile(filepath.Join(root, p), []byte(p), 0o644)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// git runs git in a folder, as somebody who may commit.
func git(t testing.TB, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command("git", append([]string{"-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "protocol.file.allow=always",
		"-c", "init.defaultBranch=main"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GIT_") }),
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
	if out, err := cmd.CombinedOutput(); err != nil && !slices.Contains(args, "merge") {
		t.Fatalf("git %q: %v: %s", args, err, out)
	}
}

// counted is a tree that counts what is read, and in which something happens while files are hashed.
type counted struct {
	Tree
	mutex  sync.Mutex
	hashed []string
	reads  int
	during func()
}

func (c *counted) Hash(ctx context.Context, paths []string) ([]manifest.Hash, error) {
	hashes, err := c.Tree.Hash(ctx, paths)
	c.mutex.Lock()
	c.hashed = append(c.hashed, paths...)
	c.mutex.Unlock()
	if c.during != nil {
		c.during()
	}
	return hashes, err
}

func (c *counted) Read(ctx context.Context, path string, most int) ([]byte, error) {
	c.reads++
	return c.Tree.Read(ctx, path, most)
}
