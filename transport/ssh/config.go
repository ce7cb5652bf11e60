package ssh

import "time"

// Client is who makes the connections.
type Client string

// The clients. An empty one is ClientNative.
const (
	// ClientNative is this program itself: one connection per host, and no process.
	ClientNative Client = "native"
	// ClientOpenSSH is the ssh program.
	ClientOpenSSH Client = "openssh"
)

// Config is how hosts are reached by ssh. The zero Config leaves everything but questions to
// the user's own configuration: host keys are checked as it says, unknown ones are refused because
// nobody is asked (BatchMode, ssh_config(5)). Where a native connection does not honour it, the
// package comment says so.
type Config struct {
	Client         Client        // ClientNative when empty
	ConfigFile     string        // instead of the user's and the system's (-F); empty is theirs
	Options        []string      // keyword=value, as ssh_config(5); they outrank the configuration, except that of jump hosts
	ConnectTimeout time.Duration // when 0, native connections do as the configuration says, or else 15s; the program 15s

	// Of native connections.
	MaxConnections int           // at most so many are open, jump hosts' apart; 1000 when 0
	MaxHandshakes  int           // at most so many are being made at once; 32 when 0
	Idle           time.Duration // one that is not used for so long is closed; 1m when 0

	// Of the program.
	Program string // ssh when empty
	Share   bool   // keep one connection, and its process, per host until the Dialer is closed
}
