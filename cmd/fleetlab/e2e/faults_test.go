//go:build linux

package e2e

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/cmd/fleetlab/lab"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// fault is one thing that breaks, and what a full run must come to.
type fault struct {
	name   string
	policy []string // pairs: what it has instead of the others' policy
	big    bool     // the big file is new, so that a transfer can be met half-way
	before func(*stand)
	during func(*stand, *run)
	after  func(*stand) // the repair
	code   int
	failed func(*stand) map[string]string // hosts that must be reported as failed, with a part of the reason
	out    func(*stand) []string          // hosts that must stay out of their pools, and be named
	within time.Duration                  // 30 s if it is 0
	check  func(*stand, *run, status)     // what else must be so
}

// stand is where a fault is tried: the fleet, and who plays the parts.
type stand struct {
	*testing.T
	*fleet
	host, other string // ordinary ones of the same datacenter
	proxy       string // in that datacenter, too
}

const slow = "1mbit" // with a burst of 256 KB, which goes at once

// fails returns what must be reported of hosts that fail. Of one that is cut off the reason depends on who notices
// first, so it is empty there.
func (s *stand) fails(why string, hosts ...string) map[string]string {
	all := map[string]string{}
	for _, h := range hosts {
		all[h] = why
	}
	return all
}

func (s *stand) do(err error) {
	s.Helper()
	done(s.T, err)
}

func (s *stand) slow(host string)      { s.do(s.Slow(s.Context(), host, slow)) }
func (s *stand) heal(host string)      { s.do(s.Heal(s.Context(), host)) }
func (s *stand) partition(host string) { s.do(s.Partition(s.Context(), host)) }
func (s *stand) kill(host string)      { s.do(s.Kill(s.Context(), host)) }
func (s *stand) boot(host string)      { s.do(s.Start(s.Context(), host)) }

// sshd has the host's sshd start anew, with options.
func (s *stand) sshd(options string) {
	s.Helper()
	s.must(s.T, s.host, `kill $(pgrep -x sshd); while pgrep -x sshd >/dev/null; do sleep 0.02; done
$(command -v sshd || echo /usr/sbin/sshd) -f /etc/ssh/sshd_config `+options+`
until ss -Hltn 'sport = :22' | grep -q .; do sleep 0.02; done`)
}

func onlyHost(s *stand) map[string]string { return s.fails("", s.host) }

var faults = []fault{
	{
		name: "PowerCutBefore", code: 3, failed: onlyHost,
		before: func(s *stand) { s.kill(s.host) },
	}, {
		name: "PowerCutDuring", code: 3, failed: onlyHost, big: true,
		before: func(s *stand) { s.slow(s.host) },
		during: func(s *stand, r *run) { s.inTransfer(s.T, r, s.host); s.kill(s.host) },
	}, {
		name: "PartitionDuring", code: 3, failed: onlyHost, big: true,
		before: func(s *stand) { s.slow(s.host) },
		during: func(s *stand, r *run) { s.inTransfer(s.T, r, s.host); s.partition(s.host) },
		after:  func(s *stand) { s.heal(s.host) },
	}, {
		name: "PartitionHealed", big: true, policy: []string{"attempts: 2", "attempts: 4"},
		before: func(s *stand) { s.slow(s.host) },
		during: func(s *stand, r *run) {
			s.inTransfer(s.T, r, s.host)
			s.partition(s.host)
			r.await(s.T, rollout.StepFailed, "sync/"+s.host)
			s.heal(s.host)
		},
	}, {
		name: "ProxyPowerCutServing", code: 5, big: true, within: time.Minute,
		// What notices is the attempt's timeout: rsync 3.5.0 with --timeout=3 had not noticed after 30 s that its daemon was
		// gone without a word (measured).
		policy: []string{"timeout: 30s}", "timeout: 8s}"},
		before: func(s *stand) {
			for _, h := range s.ordinary {
				s.slow(h)
			}
		},
		during: func(s *stand, r *run) {
			e := r.await(s.T, rollout.StepStarted, "sync/*", s.proxy)
			s.inTransfer(s.T, r, e.Host)
			s.kill(s.proxy)
		},
		out: func(s *stand) []string { return []string{s.proxy} },
		check: func(s *stand, r *run, _ status) {
			left := 0
			for _, e := range r.events {
				if e.Kind == rollout.StepFailed && e.Source == s.proxy {
					left++
				}
			}
			if left == 0 {
				s.Error("no transfer from the proxy failed")
			}
		},
		after: func(s *stand) {
			for _, h := range s.ordinary {
				s.heal(h)
			}
			s.fleetsync(s.T, 0, s.write(s.T), "recover", "--yes")
		},
	}, {
		name: "DiskFullDuring", code: 3, failed: func(s *stand) map[string]string { return s.fails("o space left", s.host) }, big: true,
		before: func(s *stand) { s.slow(s.host) },
		during: func(s *stand, r *run) { s.inTransfer(s.T, r, s.host); s.do(s.FillDisk(s.Context(), s.host)) },
		after:  func(s *stand) { s.heal(s.host) },
	}, {
		name: "RsyncdFull", big: true, policy: []string{"attempts: 2", "attempts: 6"},
		// Several ask both proxies at once, and each serves one.
		before: func(s *stand) {
			for _, p := range s.proxies {
				s.must(s.T, p, "sed -i 's/^max connections = .*/max connections = 1/' /run/rsyncd.conf")
			}
			s.slow(s.host)
			s.slow(s.other)
		},
		during: func(s *stand, r *run) {
			r.await(s.T, rollout.StepFailed, "sync/*", s.proxies...)
			s.heal(s.host)
			s.heal(s.other)
		},
		after: func(s *stand) {
			for _, p := range s.proxies {
				s.must(s.T, p, "sed -i 's/^max connections = .*/max connections = 100/' /run/rsyncd.conf")
			}
		},
		check: func(s *stand, r *run, _ status) {
			e := r.await(s.T, rollout.StepFailed, "sync/*", s.proxies...)
			if !strings.Contains(e.Error, "max connections") || e.Class != rollout.Transient {
				s.Errorf("it is said to have failed (%s) of %q", e.Class, e.Error)
			}
		},
	}, {
		name: "SshdFull",
		before: func(s *stand) {
			s.sshd("-o MaxStartups=1:100:1")
			// Who says nothing holds the only place, once it has one.
			s.must(s.T, s.comaster, `bash -c 'until exec 3<>/dev/tcp/`+s.host+`/22 && read -r line <&3 && [[ $line == SSH-* ]]; do :; done
echo $$ >/run/holder; exec sleep 1000' >/dev/null 2>&1 & until [ -s /run/holder ]; do sleep 0.02; done`)
		},
		during: func(s *stand, r *run) {
			r.await(s.T, rollout.StepFailed, "sync/"+s.host)
			s.must(s.T, s.comaster, "kill $(cat /run/holder); rm /run/holder")
		},
		after: func(s *stand) { s.sshd("") },
	}, {
		name: "RsyncStopped", big: true, policy: []string{"timeout: 30s}", "timeout: 6s}"},
		before: func(s *stand) { s.slow(s.host) },
		during: func(s *stand, r *run) {
			s.inTransfer(s.T, r, s.host)
			s.must(s.T, s.host, `for p in $(pgrep -x rsync); do grep -qz -- --daemon /proc/$p/cmdline || kill -STOP $p; done`)
			r.await(s.T, rollout.StepFailed, "sync/"+s.host)
			s.heal(s.host)
		},
		check: func(s *stand, _ *run, _ status) {
			if left := s.must(s.T, s.host, `for p in $(pgrep -x rsync); do grep -qz -- --daemon /proc/$p/cmdline || echo $p; done`); left != "" {
				s.Errorf("rsyncs are left on %s: %q", s.host, left)
			}
		},
	}, {
		name: "SlowLink", big: true,
		before: func(s *stand) { s.slow(s.host) },
		after:  func(s *stand) { s.heal(s.host) },
		check: func(s *stand, r *run, _ status) {
			for _, h := range s.ordinary { // nobody waits for it
				if h != s.host && r.await(s.T, rollout.StepDone, "sync/"+h).Seq > r.await(s.T, rollout.StepDone, "sync/"+s.host).Seq {
					s.Errorf("%s was synced after the slow host", h)
				}
			}
		},
	}, {
		name:   "Delay",
		policy: []string{"connect_timeout: 1s", "connect_timeout: 5s"}, // which is for several round trips
		before: func(s *stand) { s.do(s.Delay(s.Context(), s.host, 200*time.Millisecond)) },
		after:  func(s *stand) { s.heal(s.host) },
	}, {
		name: "HostKeyChanged", code: 3, failed: func(s *stand) map[string]string { return s.fails("key", s.host) },
		before: func(s *stand) {
			s.must(s.T, s.host, `cp -a /etc/ssh /run/ssh; rm /etc/ssh/host_key*; ssh-keygen -q -t ed25519 -N "" -f /etc/ssh/host_key
sed -i /HostCertificate/d /etc/ssh/sshd_config`)
			s.sshd("")
		},
		after: func(s *stand) {
			s.must(s.T, s.host, `cp -a /run/ssh/. /etc/ssh/; rm -r /run/ssh`)
			s.sshd("")
		},
	}, {
		name: "EtcdGone", big: true,
		// From before the fleet is synced until proxies are to be put back.
		before: func(s *stand) { s.slow(s.host) },
		during: func(s *stand, r *run) {
			r.await(s.T, rollout.StepStarted, "sync/"+s.host)
			s.kill(lab.Conf)
			s.heal(s.host)
			r.await(s.T, rollout.StepStarted, "repool/*")
			s.boot(lab.Conf)
		},
	},
}

// TestFaults breaks one thing at a time. The runs share a lab, and the tree goes on: the next one also brings those
// up to date that the last one could not.
func TestFaults(t *testing.T) {
	t.Parallel()
	if os.Getenv("FLEETSYNC_LONG") == "" {
		t.Skip("some minutes: make faults runs it")
	}
	lab.Need(t)
	const labs = 3 // because most of a fault is waiting
	for i := range labs {
		t.Run(fmt.Sprint("Lab", i+1), func(t *testing.T) {
			t.Parallel()
			o := lab.Defaults()
			o.Files, o.SrvSize = 60, "64M"
			f := up(t, o)
			for n, row := range faults {
				if n%labs == i {
					t.Run(row.name, func(t *testing.T) { row.try(t, f) })
				}
			}
			f.fleetsync(t, 0, f.write(t), "sync", "--yes")
			f.wantTruth(t, f.write(t), nil)
			f.wantPools(t)
		})
	}
}

func (row fault) try(t *testing.T, f *fleet) {
	s := &stand{T: t, fleet: f, host: f.ordinary[0], other: f.ordinary[1], proxy: f.proxies[0]}
	p := f.write(t, row.policy...)
	f.change(t, row.big)
	if row.before != nil {
		row.before(s)
	}
	r := f.start(t, f.origin, p, "sync", "--yes")
	if row.during != nil {
		row.during(s, r)
	}
	if code := r.wait(t); code != row.code {
		t.Errorf("exit %d, want %d", code, row.code)
	}
	within := row.within
	if within == 0 {
		within = 30 * time.Second
	}
	if r.took > within {
		t.Errorf("it took %v, more than %v", r.took, within)
	}
	var failed map[string]string
	var out []string
	if row.failed != nil {
		failed = row.failed(s)
	}
	if row.out != nil {
		out = row.out(s)
	}
	f.wantPools(t, out...)
	for _, h := range f.Hosts { // or nobody could look at its tree
		if h.Role != lab.RoleConf && f.isDown(t, h.Name) {
			s.boot(h.Name)
		}
	}
	status := f.wantTruth(t, p, failed)
	var named []string
	for _, o := range status.Outcome.Out {
		named = append(named, o.Host)
	}
	if !slices.Equal(named, out) {
		t.Errorf("%v are named as out, want %v", named, out)
	}
	if row.check != nil {
		row.check(s, r, status)
	}
	if row.after != nil {
		row.after(s)
	}
	f.wantPools(t)
}

// isDown says whether a host has no power.
func (f *fleet) isDown(t *testing.T, host string) bool {
	t.Helper()
	_, err := f.Exec(t.Context(), host, "true")
	return err != nil
}
