//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/fleetsync/fleetsync/cmd/fleetlab/lab"
)

// asMeasure is the part that this program plays on a host of the lab.
const asMeasure = "measure"

func main() {
	code, is := lab.Child()
	if !is {
		if err := run(context.Background(), os.Args[1:]); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, "bench:", err)
			code = 1
		}
	}
	os.Exit(code) //nolint:forbidigo // this is main, one folder deeper than others
}

func run(ctx context.Context, args []string) error {
	if len(args) > 1 && args[0] == asMeasure {
		return runMeasure(ctx, args[1:])
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	parts := flags.String("part", "a,b,c", "a: control plane, b: syncs, c: a straggler")
	runs := flags.Int("runs", 5, "runs of each")
	hosts := flags.Int("hosts", 40, "hosts, 4 proxies among them, and 2 masters besides")
	files := flags.Int("files", 1000, "files of the tree, at least 50")
	size := flags.Int("size", 4096, "bytes in each of them")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, err := os.MkdirTemp("", "fleetlab-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a second try: the lab deletes its own
	b := &bench{runs: *runs, program: filepath.Join(dir, "fleetsync"), fan: filepath.Join(dir, "fan")}
	for binary, source := range map[string]string{b.program: "./cmd/fleetsync", b.fan: "./cmd/fleetlab/bench/fan"} {
		if out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, source).CombinedOutput(); err != nil {
			return fmt.Errorf("cannot build %s, which goes from the top of its sources: %w: %s", source, err, out)
		}
	}
	o := lab.Defaults()
	o.Dir, o.Hosts, o.Masters, o.Proxies = filepath.Join(dir, "lab"), *hosts, 2, 4
	o.Files, o.BytesPerFile, o.Soak, o.Drain = *files, *size, 0, 0
	if b.lab, err = lab.Up(ctx, o); err != nil {
		return err
	}
	b.master = b.lab.Named(lab.RoleMaster)[0]
	fmt.Printf("%s, load average %s: %d hosts, %d masters, %d proxies, tree of %d files of %d bytes\n",
		time.Now().UTC().Format(time.RFC3339), load(), o.Hosts, o.Masters, o.Proxies, o.Files, o.BytesPerFile)
	for _, part := range []struct {
		name string
		run  func(context.Context) error
	}{{"a", b.control}, {"b", b.syncs}, {"c", b.straggler}} {
		if err == nil && slices.Contains(strings.Split(*parts, ","), part.name) {
			err = part.run(ctx)
			fmt.Printf("load average after it: %s\n", load())
		}
	}
	return errors.Join(err, b.lab.Close())
}

// bench is one lab and what is measured on it.
type bench struct {
	lab     *lab.Lab
	master  string
	program string // fleetsync
	fan     string // what fans out a command by its transport package
	runs    int
}

// hosts returns the names of all hosts that are no masters.
func (b *bench) hosts() []string {
	return slices.Concat(b.lab.Named(lab.RoleCanary), b.lab.Named(lab.RoleProxy), b.lab.Named(lab.RoleHost))
}

func load() string {
	text, _ := os.ReadFile("/proc/loadavg") // empty says enough
	return strings.Join(strings.Fields(string(text))[:3], " ")
}

// spread says median, least and greatest of a number of runs.
func spread(values []float64, format string) string {
	v := slices.Sorted(slices.Values(values))
	return fmt.Sprintf(format+" ("+format+"–"+format+")", median(v), v[0], v[len(v)-1])
}

func median(values []float64) float64 {
	v := slices.Sorted(slices.Values(values))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}
