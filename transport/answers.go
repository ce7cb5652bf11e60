package transport

import (
	"context"
	"fmt"
	"net"
	"strings"
)

// rsyncPort is where an rsync daemon listens (rsync(1)).
const rsyncPort = "873"

// Answers tells whether the rsync daemon of an endpoint, rsync://ADDRESS[:PORT], greets who connects from this machine; nil
// if it does. ctx must have a deadline.
func Answers(ctx context.Context, endpoint string) error {
	address, ok := strings.CutPrefix(endpoint, "rsync://")
	if !ok {
		return fmt.Errorf("%q is no endpoint of an rsync daemon", endpoint)
	}
	address = strings.TrimRight(address, "/")
	if _, _, err := net.SplitHostPort(address); err != nil {
		address = net.JoinHostPort(strings.Trim(address, "[]"), rsyncPort)
	}
	if !greets(ctx, address) {
		return fmt.Errorf("no rsync daemon answers at %s", address)
	}
	return nil
}
