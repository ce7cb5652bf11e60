// Command fleetsync puts one directory tree on every host of a fleet, safely and fast.
//
// See the README for what it does and how; fleetsync help COMMAND for one command.
package main

import (
	"context"
	"os"
)

func main() {
	a := app{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		getenv: os.Getenv, exit: os.Exit, name: os.Args[0],
	}
	os.Exit(a.run(context.Background(), os.Args[1:]))
}
