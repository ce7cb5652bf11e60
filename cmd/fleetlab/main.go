//go:build linux

package main

import (
	"context"
	"os"

	"github.com/fleetsync/fleetsync/cmd/fleetlab/lab"
)

func main() {
	if code, is := lab.Child(); is {
		os.Exit(code)
	}
	a := app{stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv}
	os.Exit(a.run(context.Background(), os.Args[1:]))
}
