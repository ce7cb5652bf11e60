package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// There are two programs that tests run: the watched one, which is this test binary under another name, race detector
// included, and the shipped one, which is built as users have it. The detector is a fifth of the processor time of a
// sync with all its rsyncs, and two thirds of that of a short command (measured). So it watches wherever something is
// done to a program while it runs, and of what is only run to its end it watches what world.watched and codeCommand
// say. With FLEETSYNC_LONG it watches everything.

// detects is whether this test binary has the race detector.
var detects bool

// watched returns the path of the program with the race detector.
func watched() (string, error) { return exec.LookPath("fleetsync") } // testscript.Main has put it into the PATH

// shipped returns the path of the program without it.
func shipped() (string, error) {
	if _, err := exec.LookPath("go"); err != nil || !detects || os.Getenv("FLEETSYNC_LONG") != "" {
		return watched()
	}
	built.once.Do(func() {
		if built.folder, built.err = os.MkdirTemp("", "fleetsync-shipped-"); built.err != nil {
			return
		}
		out, err := exec.Command("go", "build", "-o", built.folder, "github.com/fleetsync/fleetsync/cmd/fleetsync").CombinedOutput()
		if err != nil {
			built.err = errors.Join(err, errors.New(string(out)))
		}
	})
	if built.err != nil {
		return "", fmt.Errorf("cannot build the program: %w", built.err)
	}
	return filepath.Join(built.folder, "fleetsync"), nil
}

// built is the shipped program, once it is.
var built struct {
	once   sync.Once
	folder string
	err    error
}

// removeBuilt removes what shipped has built.
func removeBuilt() {
	if built.folder != "" {
		_ = os.RemoveAll(built.folder)
	}
}
