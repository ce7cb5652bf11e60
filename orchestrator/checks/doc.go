// Package checks asks one question of one host and says what the answer means: the probes of the
// gate, and of a proxy's health before it is repooled.
//
// A verdict is one of three. Pass: the answer is what was expected. Fail: the host answered, and the
// answer is wrong; it answered too if it refused the connection or hung up, because after a sync a
// web host that is down is the very thing a gate is there to see. Unknown: nothing was found out,
// whether by a timeout, a name that does not resolve, a certificate that this machine does not
// trust or a command that could not be started. Unknown is not pass.
//
// The package never repeats a probe, keeps nothing between two of them (no open connection, which
// would outlive the web host that accepted it), follows no redirect to another host, starts no
// goroutine of its own that outlives Probe, and knows neither of runs nor of how commands reach a
// host. What hosts say is hostile: a Detail holds no control characters and at most MaxDetail bytes
// of it, and no more than 1 MiB of an answer is ever read.
package checks
