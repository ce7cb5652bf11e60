//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fleetsync/fleetsync/transport"
)

// runFan is the part that runs true on hosts, by our own connections: a process of its own, as the programs it
// is compared with are.
func runFan(ctx context.Context, client, config string, hosts []string) error {
	d := &transport.Dialer{SSH: transport.SSHConfig{Client: transport.SSHClient(client), ConfigFile: config}}
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
