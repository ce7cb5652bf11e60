package ssh_test

import (
	"os"
	"testing"
	"time"
)

// TestManyHosts: a process that runs a command on each of many hosts at once holds no more connections than it may and little
// memory, and each host is asked exactly once. FLEETSYNC_LONG=1 makes them 10,000. Planted faults seen to fail it: no
// limit on connections; two commands for one; an answer of another host; a crowd that is not one at each address.
func TestManyHosts(t *testing.T) {
	v := visit{Hosts: 300, Limit: 50, Profile: os.Getenv("TRANSPORT_TEST_PROFILE")}
	const most = 300 << 10 // KiB
	long := os.Getenv("FLEETSYNC_LONG") != ""
	if long {
		v.Hosts, v.Limit = 10_000, 1_000
	}
	said, seen := visitCrowd(t, v)
	if said.Answered != v.Hosts || seen.Once != v.Hosts || seen.More != 0 || seen.Accepted != v.Hosts {
		t.Errorf("%d of %d hosts answered; %d ran one command, %d more, over %d connections; %q",
			said.Answered, v.Hosts, seen.Once, seen.More, seen.Accepted, said.Errors)
	}
	if seen.Most > v.Limit || seen.Most < v.Limit/2 {
		t.Errorf("%d connections at once, not %d", seen.Most, v.Limit)
	}
	if long && said.Memory > most && !underRace() {
		t.Errorf("%d KiB of memory, more than %d", said.Memory, most)
	}
	t.Logf("%d hosts in %.2f s, at most %d connections at once, %d MiB; "+
		"of each host, in ms: %.2f of time, %.2f of processor time, and %.2f of the hosts' own",
		v.Hosts, said.Wall.Seconds(), seen.Most, said.Memory>>10, perHost(v, said.Wall), perHost(v, said.CPU), perHost(v, seen.CPU))
}

// TestManyHostsAsked: nor does it while it asks all of them whether they are there. Planted fault seen to fail it: connections
// that only ask are not counted.
func TestManyHostsAsked(t *testing.T) {
	v := visit{Hosts: 300, Limit: 50, Asks: 256}
	said, seen := visitCrowd(t, v)
	if said.Answered != v.Hosts || seen.Once != v.Hosts || seen.More != 0 {
		t.Errorf("%d of %d hosts answered; %d ran one command, %d more; %q", said.Answered, v.Hosts, seen.Once, seen.More, said.Errors)
	}
	if seen.Most > v.Limit {
		t.Errorf("%d connections at once, not %d", seen.Most, v.Limit)
	}
}

// perHost returns the share of one host, in ms.
func perHost(v visit, d time.Duration) float64 { return d.Seconds() * 1000 / float64(v.Hosts) }

// BenchmarkManyHosts tells the processor time that a host costs, for its connection with one command: ours, and of the
// bare library without known_hosts, ssh_config or keep-alives, which is the least it can be. Ratios hold between runs, times do not.
func BenchmarkManyHosts(b *testing.B) {
	var ours, bare time.Duration
	v := visit{Hosts: 1000, Limit: 100}
	for range b.N {
		v.Bare = false
		said, _ := visitCrowd(b, v)
		ours += said.CPU
		v.Bare = true
		said, _ = visitCrowd(b, v)
		bare += said.CPU
	}
	b.ReportMetric(perHost(v, ours)/float64(b.N), "cpu-ms/host")
	b.ReportMetric(perHost(v, bare)/float64(b.N), "bare-cpu-ms/host")
	b.ReportMetric(ours.Seconds()/bare.Seconds(), "times-bare")
}
