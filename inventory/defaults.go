package inventory

import "time"

// defaults returns the policy of a file that says nothing. Every default of a policy is here, but for
// those of what a file may hold several times: see defaultPooling, defaultBalancers, defaultCheck,
// defaultHTTP and defaultHook.
func defaults() (Policy, Settings) {
	return Policy{
			State: "/var/lib/fleetsync",
			Lock:  Lock{TTL: 30 * time.Second, Prefix: "/fleetsync/v1"},
			Rsync: Rsync{Timeout: 60 * time.Second},
			Guard: Guard{
				MaxDelete: percent(10),
				MaxShrink: percent(10),
				Git:       true,
			},
			Verify: VerifyAll,
			Retention: Retention{
				Hosts:     KeepCanaries,
				Runs:      3,
				Age:       14 * day,
				Manifests: 10,
			},
			SSH: SSH{Client: SSHNative, MaxConnections: 1000},
		}, Settings{
			Batches: Batches{
				Parallel:    80,
				Ramp:        []Amount{percent(5), percent(25), percent(100)},
				MaxFailures: percent(5),
				Attempts:    3,
				Timeout:     15 * time.Minute,
				Down:        DownSkip,
			},
			Gate: Gate{
				Soak:     20 * time.Second,
				Interval: 5 * time.Second,
			},
		}
}

// day is the unit that keys which count in days may be written in; see durationWithin.
const day = 24 * time.Hour

// defaultPooling returns the pooling of a file that only says where the pools are.
func defaultPooling() Pooling {
	return Pooling{
		Prefix:        "/conftool/v1/pools",
		Threshold:     percent(50),
		Drain:         10 * time.Second,
		Timeout:       30 * time.Second,
		Quarantine:    QuarantineCanaries,
		OnForeignEdit: ForeignEditStop,
	}
}

// defaultBalancers returns the balancers of a datacenter that only says where they are.
func defaultBalancers() Balancers { return Balancers{Timeout: 10 * time.Second} }

// defaultCheck returns a check that says nothing but what it asks.
func defaultCheck() Check { return Check{Timeout: 10 * time.Second} }

// defaultHTTP returns a check over HTTP that only says which URL.
func defaultHTTP() HTTPCheck { return HTTPCheck{Status: 200} }

// defaultHook returns a hook that says nothing but what it runs.
func defaultHook() Hook { return Hook{Timeout: DefaultHookTimeout, Failure: HookFails} }

func percent(n int) Amount { return Amount{BasisPoints: n * 100, Share: true} }
