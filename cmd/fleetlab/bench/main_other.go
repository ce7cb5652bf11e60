//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	_, _ = fmt.Fprintln(os.Stderr, "bench: this machine lacks namespaces: a lab needs Linux")
	os.Exit(15)
}
