//go:build linux

package lab

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

const bridge = "br0"

// batch runs lines of ip(8) or tc(8) in this process's network namespace, in one process. It stops at the
// first that fails.
func batch(ctx context.Context, program string, lines ...string) error {
	return feed(exec.CommandContext(ctx, program, "-batch", "-"), lines)
}

// batchIn does so in the network namespace of a process.
func batchIn(ctx context.Context, pid int, program string, lines ...string) error {
	return feed(exec.CommandContext(ctx, "nsenter", "--target", strconv.Itoa(pid), "--net", "--", program, "-batch", "-"), lines)
}

func feed(c *exec.Cmd, lines []string) error {
	if len(lines) == 0 {
		return nil
	}
	c.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	if said, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(c.Args, " "), err, bytes.TrimSpace(said))
	}
	return nil
}

// worldLinks are the lines of ip(8) that make the bridge.
func worldLinks() []string {
	return []string{
		"link set lo up",
		"link add " + bridge + " type bridge",
		fmt.Sprintf("addr add %s/%d dev %s", gateway, netBits, bridge),
		"link set " + bridge + " up",
	}
}

// hostLinks are the lines that connect the host of an index, whose first process is pid, to the bridge.
func hostLinks(i, pid int) []string {
	return []string{
		fmt.Sprintf("link add %s type veth peer address %s name eth0 netns %d", port(i), hardware(i), pid),
		fmt.Sprintf("link set %s master %s up", port(i), bridge),
	}
}

// ownLinks are the lines that set a host's own end up.
func ownLinks(address string) []string {
	return []string{
		"link set lo up",
		fmt.Sprintf("addr add %s/%d dev eth0", address, netBits),
		"link set eth0 up",
	}
}

// shape returns the line of tc(8) that bounds what leaves a device. netem is not in every kernel; tbf is.
// The latency is how long a packet may wait for its turn, so it is what the sender's queue holds.
func shape(device, rate string) string {
	return "qdisc replace dev " + device + " root tbf rate " + rate + " burst 256kb latency 200ms"
}

func unshape(device string) string { return "qdisc del dev " + device + " root" }
