// Fan runs true on hosts, by the connections of the transport package: what the benchmark compares with the programs that fan commands
// out. It is a program of its own, as they are, and has nothing else in it.
//
//	fan native|openssh SSH_CONFIG HOST...
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/fleetsync/fleetsync/transport"
	"github.com/fleetsync/fleetsync/transport/ssh"
)

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: fan native|openssh SSH_CONFIG HOST...")
		os.Exit(10) //nolint:forbidigo // this is main, two folders deeper than others
	}
	if err := run(context.Background(), os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, "fan:", err)
		os.Exit(1) //nolint:forbidigo // likewise
	}
}

func run(ctx context.Context, client, config string, hosts []string) error {
	d := &ssh.Dialer{Config: ssh.Config{Client: ssh.Client(client), ConfigFile: config}}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	errs := make([]error, len(hosts))
	var all sync.WaitGroup
	for i, name := range hosts {
		all.Go(func() {
			conn, err := d.Dial(transport.Host{Name: name})
			if err == nil {
				var r transport.Result
				if r, err = conn.Run(ctx, transport.Command{Args: []string{"true"}}); err == nil && r.ExitCode != 0 {
					err = fmt.Errorf("%s: exit %d", name, r.ExitCode)
				}
			}
			errs[i] = err
		})
	}
	all.Wait()
	for _, f := range d.Fallbacks() {
		errs = append(errs, fmt.Errorf("%s is reached by the program: %s", f.Host, f.Reason))
	}
	return errors.Join(append(errs, d.Close())...)
}
