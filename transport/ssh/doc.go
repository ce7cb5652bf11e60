// Package ssh connects to hosts by ssh. A Dialer decides how: a host that is a directory on this machine needs no connection, one
// that ssh_config(5) describes in a way that we understand gets a native connection, all others the OpenSSH program.
//
// It knows neither rsync nor runs, and it never trusts a key that known_hosts does not have.
//
// # Native connections
//
// Unless told otherwise a Dialer makes its own connections (golang.org/x/crypto/ssh): one per host,
// opened when the first command needs it, shared by all commands of that host (10 at a time, or as many sessions as the
// host takes), watched by keep-alives, closed when idle. At most so many are open over all hosts; then an
// idle one is closed, or one waits for its turn. What goes through a jump host shares one connection to it.
//
// Hosts are trusted by known_hosts only, by their key or by an authority's certificate, and a key that is
// not known is never taken, whatever StrictHostKeyChecking says. We prove who we are by the keys of an agent and of
// identity files, with their certificates; nobody is asked for a password.
//
// Of ssh_config(5) these are honoured: Host, Match all, Include, HostName, User, Port, AddressFamily, ProxyJump,
// HostKeyAlias, HostKeyAlgorithms, UserKnownHostsFile, GlobalKnownHostsFile, IdentityFile, IdentitiesOnly, IdentityAgent,
// KexAlgorithms, Ciphers, MACs, ConnectTimeout, ServerAliveInterval, ServerAliveCountMax, IgnoreUnknown. What is about
// people at terminals, forwarding or speed is ignored, and so are SendEnv, SetEnv and ForwardAgent: a command gets the
// environment the host gives it. All else, a Match block that says anything of weight and any line that is
// not understood make that host be reached by the OpenSSH program: Fallbacks names it. Differences that remain:
// ServerAliveInterval 0 does not turn keep-alives off, an address is resolved by Go, and CheckHostIP and UpdateHostKeys are off.
//
// A connection found dead before a command began on it is made anew once. One that dies under a command
// ends it as transient; the command's own end is then the wrapper's to see to, by its lifeline.
package ssh
