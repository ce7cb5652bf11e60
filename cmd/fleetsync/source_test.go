package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/fleetsync/fleetsync/transport"
)

// Every allowed form of an exclude is left out of the digest, and everything else is in it. Seen to fail
// with a form that is not pruned, and with file times left out.
func TestSourceDigest(t *testing.T) {
	t.Parallel()
	needPrograms(t)
	dir := t.TempDir()
	exclude := []string{"**/.git", "*.swp", "/scap", "**/cache/l10n/*.cdb", "tmp/"}
	touch := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	digest := func() string {
		t.Helper()
		args := append([]string{"sh", "-c", digestScript, "fleetsync", dir}, prunes(exclude)...)
		r, err := (transport.Local{}).Run(t.Context(), transport.Command{Args: args})
		if err != nil || r.ExitCode != 0 || r.Stderr != "" || len(r.Stdout) < 64 {
			t.Fatalf("%+v, %v", r, err)
		}
		return string(r.Stdout)
	}
	for _, name := range []string{"a b.php", "-n", "lib/scap", "php/cache/l10n/a.php", "tmpl"} {
		touch(name, "1")
	}
	was := digest()
	for _, name := range []string{".git/HEAD", "lib/.git/HEAD", "lib/a.swp", "scap/log", "php/cache/l10n/a.cdb", "lib/tmp/x"} {
		// Its folder is made first: that folder is the tree's unless it is excluded too.
		touch(name, "1")
		if now := digest(); now != was {
			t.Errorf("the digest has %s, which is excluded", name)
			was = now
		}
	}
	for _, name := range []string{"a b.php", "-n", "lib/scap", "php/cache/l10n/a.php", "tmpl", "new\nline"} {
		touch(name, "22")
		now := digest()
		if now == was {
			t.Errorf("the digest does not have %q", name)
		}
		was = now
	}
}
