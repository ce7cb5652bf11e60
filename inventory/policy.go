package inventory

import (
	"fmt"
	"time"
)

// Policy is what a policy file says of how to sync a fleet, with every default applied. A Policy is
// read-only after LoadPolicy and safe for concurrent use.
type Policy struct {
	Inventory string   // path of the inventory file, resolved against the policy file's folder
	State     string   // folder of journals and run logs, resolved likewise
	Pooling   *Pooling // nil: the fleet has no pools
	Lock      Lock
	Rsync     Rsync
	Guard     Guard
	Verify    Verify
	Retention Retention
	SSH       SSH
	Hooks     Hooks

	settings map[Mode]Settings
}

// Mode is the kind of a run.
type Mode string

// The modes.
const (
	ModeSync   Mode = "sync"   // a full run
	ModeCanary Mode = "canary" // canaries and gate only
	ModeResync Mode = "resync" // a full run in an emergency
)

// Settings is the part of a policy that a mode may override.
type Settings struct {
	Batches Batches
	Gate    Gate
}

// For returns the settings of a run of that mode: the policy's own with the mode's overrides applied. A mode that
// no policy can override, as that of a rollback, has those of a full run.
func (p *Policy) For(m Mode) Settings {
	if s, ok := p.settings[m]; ok {
		return s
	}
	return p.settings[ModeSync]
}

// Batches bounds the fan-out.
type Batches struct {
	Parallel    int           // hosts synced at once, over all sources
	Ramp        []Amount      // sizes of successive batches; the last one repeats
	MaxFailures Amount        // of the run's hosts; one more halts the run
	Attempts    int           // tries of one host before it has failed for good
	Timeout     time.Duration // of one attempt
	Down        Down          // what is done about hosts that do not answer when the run is planned
}

// Down is what a run does about hosts that are down.
type Down string

// The answers to hosts that are down.
const (
	DownSkip Down = "skip" // hosts that do not answer when the run is planned are not tried, and counted as failed
	DownTry  Down = "try"  // nobody asks before: every host gets its attempts
)

// Gate is how canaries are judged.
type Gate struct {
	Soak     time.Duration // how long the checks are repeated before the gate may pass
	Interval time.Duration // between the starts of two rounds of checks
	Checks   []Check
}

// Check is one check of a gate; exactly one of HTTP and Command is set.
type Check struct {
	Name    string
	HTTP    *HTTPCheck
	Command []string // run on every canary; arguments may hold {host} and {destination}
	Timeout time.Duration
}

// HTTPCheck asks one URL. It passes when everything it names is so.
type HTTPCheck struct {
	URL     string            // may hold {host}
	Headers map[string]string // Host sets the request's host
	Status  int
	Body    string        // regular expression (RE2) the body must match; empty is any
	Latency time.Duration // the answer must be complete within it; 0 is any
}

// Rsync is how rsync is started, beyond what fleetsync needs of it.
type Rsync struct {
	BandwidthLimit string        // rsync's --bwlimit; empty is none
	Compress       bool          // --compress
	Timeout        time.Duration // --timeout: without any I/O; whole seconds
	Args           []string      // appended as they are, before the source
}

// Guard is what must hold before a tree is synced from.
type Guard struct {
	Required    []Required // files that the tree must hold, not empty; no path twice
	Provisioned string     // absolute path of a file without which a master is not provisioned; empty is none
	MaxDelete   Amount     // of the tree's files: more deletions on a host must be confirmed by their number
	MaxShrink   Amount     // always a percentage: how much fewer files or bytes than the last good run's the tree may have
	Owners      []string   // users, by name or number, who may own what is in the tree; empty is anybody
	Git         bool       // whether git checkouts in the tree are audited
	Untracked   []string   // patterns, in the forms of Tree.Exclude, of files that git need not know
	MinFree     int64      // bytes of a host's file system that must stay free beyond what the sync needs
	Sparse      bool       // whether large sparse files may be in the tree
}

// Required is a file that a tree must hold, not empty.
type Required struct {
	Path  string // within the tree: relative, clean, without ..
	Match string // regular expression (RE2) that the content must match somewhere; empty is any
}

// Verify is which hosts' trees are compared with the origin's after their sync. Canaries and proxies
// always are.
type Verify string

// What is verified of the other hosts.
const (
	VerifyNone   Verify = "none"
	VerifySample Verify = "sample" // some of them
	VerifyAll    Verify = "all"
)

// Retention is what is kept to undo syncs with, and for how long. What is older than Age, or has Runs newer
// ones beside it, may be deleted.
type Retention struct {
	Hosts     KeepHosts     // the hosts that keep what a sync replaced; masters always do
	Runs      int           // runs of which a host keeps what they replaced; at least one
	Age       time.Duration // how long it is kept
	Manifests int           // manifests of good runs that are kept; at least one
}

// KeepHosts is which hosts keep what a sync replaced.
type KeepHosts string

// The hosts that may keep it.
const (
	KeepCanaries KeepHosts = "canaries" // so that a failed gate can roll them back
	KeepAll      KeepHosts = "all"      // so that a whole run can be rolled back
)

// Hooks are commands around runs and around the syncs of hosts.
type Hooks struct {
	Run   HookSet // on the machine that runs fleetsync, once a run
	Hosts HookSet // on each host, as every other command there
}

// HookSet is the hooks of one kind, each list in the order in which they run.
type HookSet struct {
	Pre       []Hook // before
	Post      []Hook // after, if all went well
	OnFailure []Hook // after, if not; all of them HookIgnored
}

// Hook is one command.
type Hook struct {
	Name string // no two in a list have the same, with dashes for spaces

	// Command is a program and its arguments, never a line for a shell. Arguments may hold {run}, {fleet} and {mode};
	// those of a host's hook also {host} and {destination}.
	Command []string

	Hosts    string        // which hosts it is for: an expression for Fleet.Select, whose syntax is right; empty is all; only of hosts' hooks
	Timeout  time.Duration // at least a second; 0 is DefaultHookTimeout
	Parallel int           // hosts on which it runs at once; 0 is as many as are synced; only of hosts' hooks
	Failure  HookFailure
}

// DefaultHookTimeout is how long a hook may take that does not say.
const DefaultHookTimeout = time.Minute

// HookFailure is what the failure of a hook means.
type HookFailure string

// The meanings of a hook's failure.
const (
	HookFails   HookFailure = "fail"   // what it is around has failed
	HookIgnored HookFailure = "ignore" // it is named, and nothing else
)

// SSH is how hosts are connected to, beyond what ssh_config says of them.
type SSH struct {
	Client         SSHClient
	ConfigFile     string        // instead of the user's and the system's, resolved against the policy file's folder; empty is theirs
	MaxConnections int           // open at once, of native connections
	ConnectTimeout time.Duration // 0 is what ssh_config says
}

// SSHClient is who speaks ssh.
type SSHClient string

// The clients.
const (
	SSHNative  SSHClient = "native"  // this program; hosts that it cannot reach as ssh_config says are reached by OpenSSH
	SSHOpenSSH SSHClient = "openssh" // the ssh program
)

// Pooling is where the pools are and how to treat them.
type Pooling struct {
	Endpoints []string            // base URLs of the API, tried in turn
	Prefix    string              // of the objects' keys
	Select    map[string][]string // datacenter, cluster, service → which objects of a proxy; absent is any
	Threshold Amount              // share of a pool that must stay in; always a percentage
	Services  map[string]Amount   // per service, over Threshold
	Drain     time.Duration
	Timeout   time.Duration // of one operation on the API, retries included
	Health    *HTTPCheck    // asked before a repool; nil is none

	Quarantine    Quarantine // which hosts are taken out of their pools because their sync has failed
	OnForeignEdit ForeignEdit
	Balancers     map[string]Balancers // datacenter → who must confirm there; absent is nobody

	User     string // HTTP basic auth
	Password string
	CAFile   string // PEM files, resolved against the policy file's folder
	CertFile string
	KeyFile  string
}

// Lock is how one run at a time is kept, over all masters. Without Endpoints and without Pooling there
// is no shared store, and only the runs of one machine know of each other.
type Lock struct {
	TTL       time.Duration // how long a run that stopped refreshing it keeps it; whole seconds
	Prefix    string        // of the keys of lock and receipts; the fleet's name is appended; apart from Pooling.Prefix
	Endpoints []string      // base URLs of the store; empty is those of the pools
}

// Quarantine is which pooled hosts are taken out of their pools because of what a run left on them, so that they serve
// no stale or half tree.
type Quarantine string

// The choices of a quarantine.
const (
	QuarantineNone     Quarantine = "none"     // they stay in
	QuarantineCanaries Quarantine = "canaries" // canaries that cannot be rolled back
	QuarantineAll      Quarantine = "all"      // every pooled host whose sync has failed for good
)

// ForeignEdit is what a run does when somebody puts a proxy back into a pool while it serves.
type ForeignEdit string

// The answers to a foreign edit.
const (
	ForeignEditStop        ForeignEdit = "stop"         // the proxy serves no more
	ForeignEditDepoolAgain ForeignEdit = "depool-again" // it is taken out again before it serves on
)

// Balancers are the load balancers of one datacenter that must confirm a depool or a repool.
type Balancers struct {
	URLs    []string          // base URLs of their status pages; at least one, none twice
	Pools   map[string]string // service → the balancer's name of its pool, "" if it does not serve it; at least one
	Timeout time.Duration     // for all of them to confirm
}

// Amount is a number of hosts or files: a count, or a share of some total. The zero Amount is none.
type Amount struct {
	Count       int
	BasisPoints int // hundredths of a percent
	Share       bool
}

// Of returns the number that a is of total, rounded down.
func (a Amount) Of(total int) int {
	if !a.Share {
		return a.Count
	}
	return int(int64(total) * int64(a.BasisPoints) / 10_000)
}

// String returns a as the policy file writes it.
func (a Amount) String() string {
	switch {
	case !a.Share:
		return fmt.Sprint(a.Count)
	case a.BasisPoints%100 == 0:
		return fmt.Sprintf("%d%%", a.BasisPoints/100)
	default:
		return fmt.Sprintf("%.2f%%", float64(a.BasisPoints)/100)
	}
}
