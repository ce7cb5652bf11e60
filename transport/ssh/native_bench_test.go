package ssh_test

import (
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/transport"
	"github.com/fleetsync/fleetsync/transport/ssh"
	"github.com/fleetsync/fleetsync/transport/transporttest"
)

// BenchmarkClients tells the processor time, of this process and its children, that 20 hosts cost: each
// for its connection with one command, and for each further command on it. The daemon's is not in it.
func BenchmarkClients(b *testing.B) {
	d := transporttest.StartSSHD(b, "KexAlgorithms sntrup761x25519-sha512@openssh.com,curve25519-sha256", "MaxSessions 10")
	for _, client := range []ssh.Client{ssh.ClientNative, ssh.ClientOpenSSH} {
		for _, kex := range []string{"default", "curve25519-sha256"} {
			b.Run(fmt.Sprintf("%s/%s", client, kex), func(b *testing.B) {
				config := d.SSH()
				config.Client, config.Share = client, true
				config.Options = []string{"HostName=" + d.Address}
				if kex != "default" {
					config.Options = append(config.Options, "KexAlgorithms="+kex)
				}
				var one, ten time.Duration
				for range b.N {
					start := used(b)
					hosts(b, d, config, 1)
					one += used(b) - start
					start = used(b)
					hosts(b, d, config, 10)
					ten += used(b) - start
				}
				ms := func(d time.Duration) float64 { return d.Seconds() * 1000 / float64(b.N) / 20 }
				b.ReportMetric(ms(one), "cpu-ms/host")
				b.ReportMetric(ms(ten-one)/9, "cpu-ms/command")
			})
		}
	}
}

// hosts runs commands on each of 20 hosts.
func hosts(b *testing.B, d *transporttest.SSHD, config ssh.Config, commands int) {
	dialer := ssh.Dialer{Config: config}
	var wg sync.WaitGroup
	for i := range 20 {
		conn, err := dialer.Dial(transport.Host{Name: fmt.Sprintf("mw%d", i), Port: d.Port, User: d.User})
		if err != nil {
			b.Fatal(err)
		}
		wg.Go(func() {
			for range commands {
				if r, err := conn.Run(b.Context(), transport.Command{Args: []string{"true"}}); err != nil || r.ExitCode != 0 {
					b.Error(r, err)
				}
			}
		})
	}
	wg.Wait()
	if err := dialer.Close(); err != nil {
		b.Error(err)
	}
}

// used returns the processor time of this process and of its children that have ended.
func used(b *testing.B) time.Duration {
	var total time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err != nil {
			b.Fatal(err)
		}
		total += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return total
}
