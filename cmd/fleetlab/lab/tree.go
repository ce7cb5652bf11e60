//go:build linux

package lab

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// versions is the file that says which version of the tree is served. It is in every generated tree.
const versions = "wikiversions.php"

// makeTree makes the tree that is synced.
func makeTree(ctx context.Context, o Options, dir string) error {
	var err error
	if o.Tree != "" {
		if said, e := exec.CommandContext(ctx, "rsync", "--archive", "--hard-links", o.Tree+"/", dir+"/").CombinedOutput(); e != nil {
			err = fmt.Errorf("%w: %s", e, said)
		}
	} else {
		err = generate(o.Files, o.BytesPerFile, dir)
	}
	if err != nil {
		return fmt.Errorf("cannot make the tree: %w", err)
	}
	return nil
}

// generate makes a tree of so many files of about so many bytes, always the same one, which no
// compression makes much smaller.
func generate(files, bytes int, dir string) error {
	const top = "php-1.27.0-wmf.11"
	random := rand.NewChaCha8([32]byte{20, 16, 2, 2})
	text := make([]byte, max(1<<20, bytes))
	_, _ = random.Read(text) // never fails
	// In the days before the first of February 2016, to the second.
	at := time.Unix(1454284800, 0)
	head := "<?php\nreturn [\n\t'enwiki' => '" + top + "',\n];\n"
	if err := writeAll(dir, []file{{versions, head, 0o644}}); err != nil {
		return err
	}
	if err := os.Chtimes(filepath.Join(dir, versions), at, at); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, top), 0o755); err != nil {
		return err
	}
	pick := rand.New(random)
	for i := range files - 1 {
		folder := filepath.Join(dir, top, fmt.Sprintf("extensions/Extension%02d/includes%02d", i/50%40, i/2000))
		if i%50 == 0 {
			if err := os.MkdirAll(folder, 0o755); err != nil {
				return err
			}
		}
		name := filepath.Join(folder, fmt.Sprintf("Class%d.php", i))
		start := pick.IntN(len(text) - bytes + 1)
		if err := os.WriteFile(name, text[start:start+bytes], 0o644); err != nil {
			return err
		}
		at := at.Add(-time.Duration(pick.IntN(60*86400)) * time.Second)
		if err := os.Chtimes(name, at, at); err != nil {
			return err
		}
	}
	return nil
}
