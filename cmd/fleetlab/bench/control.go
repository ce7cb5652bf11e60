//go:build linux

package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// control measures the control plane: true on every host.
func (b *bench) control(ctx context.Context) error {
	text, err := os.ReadFile(b.lab.SSHConfig)
	if err != nil {
		return err
	}
	// Of a keyword's values the first counts (ssh_config(5)).
	curve := filepath.Join(b.lab.Dir, "ssh_config.curve25519")
	if err := os.WriteFile(curve, append([]byte("KexAlgorithms curve25519-sha256\n"), text...), 0o644); err != nil {
		return err
	}
	for _, c := range []struct{ name, config string }{{"OpenSSH's default key exchange", b.lab.SSHConfig}, {"curve25519", curve}} {
		if err := b.fanOut(ctx, c.name, c.config); err != nil {
			return err
		}
	}
	return nil
}

// fan is a program that runs a command on hosts.
type fan struct {
	name string
	argv []string
	env  []string
	ours bool
	cpu  []float64 // milliseconds per host
	wall []float64 // seconds
}

func (b *bench) fanOut(ctx context.Context, kex, config string) error {
	all, err := b.fans(config)
	if err != nil {
		return err
	}
	// One that cannot do it at all is named, and so is none of the numbers that of a first, cold start.
	var fans []*fan
	for _, f := range all {
		if _, err := measure(ctx, b.lab, b.master, f.env, f.argv...); err == nil {
			fans = append(fans, f)
		} else if f.ours {
			return err
		} else {
			fmt.Printf("left out: %s: %v\n", f.name, err)
		}
	}
	for range b.runs {
		for _, f := range fans {
			r, err := measure(ctx, b.lab, b.master, f.env, f.argv...)
			if err != nil {
				return err
			}
			f.cpu = append(f.cpu, 1000*r.CPU.Seconds()/float64(len(b.hosts())))
			f.wall = append(f.wall, r.Wall.Seconds())
		}
	}
	native, best := median(fans[0].cpu), math.Inf(1)
	fmt.Printf("\n(a) true on %d hosts, %s, %d runs: median (least–greatest)\n\n", len(b.hosts()), kex, b.runs)
	fmt.Print("| | CPU ms per host | times native | wall s |\n|---|---|---|---|\n")
	for _, f := range fans {
		fmt.Printf("| %s | %s | %.1f | %s |\n", f.name, spread(f.cpu, "%.1f"), median(f.cpu)/native, spread(f.wall, "%.2f"))
		if !f.ours {
			best = min(best, median(f.cpu))
		}
	}
	fmt.Printf("\nnative is 1/%.1f of the best of the others\n", best/native)
	return nil
}

// fans returns the programs; the first is our own with its own connections.
func (b *bench) fans(config string) ([]*fan, error) {
	hosts, dir := b.hosts(), b.lab.Dir
	comma, n := strings.Join(hosts, ","), strconv.Itoa(len(hosts))
	names, cumin := filepath.Join(dir, "names"), filepath.Join(dir, "cumin.yaml")
	for name, text := range map[string]string{
		names: strings.Join(hosts, "\n") + "\n",
		cumin: "transport: clustershell\ndefault_backend: direct\nlog_file: /run/cumin.log\n" +
			"clustershell: {fanout: " + n + ", ssh_options: ['-F " + config + "']}\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	return []*fan{
		{name: "fleetsync, native", ours: true, argv: append([]string{b.fan, "native", config}, hosts...)},
		{name: "fleetsync, openssh", ours: true, argv: append([]string{b.fan, "openssh", config}, hosts...)},
		{name: "clush", argv: []string{"clush", "-f", n, "-o", "-F " + config, "-w", comma, "true"}},
		{name: "pssh", argv: []string{"parallel-ssh", "-p", n, "-x", "-F " + config, "-h", names, "true"}},
		{name: "cumin", env: []string{"SUDO_USER=operator"}, argv: []string{"cumin", "-c", cumin, "--force", comma, "true"}},
		{name: "ansible", argv: []string{"ansible", "-i", comma + ",", "all", "-m", "raw", "-a", "true", "-f", n, "--ssh-common-args", "-F " +
			config}},
	}, nil
}
