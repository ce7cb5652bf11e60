package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	xssh "golang.org/x/crypto/ssh"

	"github.com/fleetsync/fleetsync/transport"
)

// handshake proves to each side who the other is, and sets conn, channels and requests.
func (l *link) handshake(ctx context.Context, known known) error {
	r, p := l.route, l.pool
	select {
	case p.handshaking <- struct{}{}:
		defer func() { <-p.handshaking }()
	case <-ctx.Done():
		return l.failed(ctx.Err())
	}
	ctx, cancel := context.WithTimeoutCause(ctx, r.timeout, fmt.Errorf("no handshake within %v", r.timeout))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = l.wire.Close() })

	credentials := p.identities.credentials(r)
	defer credentials.close()
	var refused *untrusted
	config := &xssh.ClientConfig{
		Config:            xssh.Config{KeyExchanges: r.kex, Ciphers: r.ciphers, MACs: r.macs},
		User:              r.user,
		HostKeyAlgorithms: known.algorithms(r),
		HostKeyCallback: func(_ string, _ net.Addr, key xssh.PublicKey) error {
			err := known.check(r, key)
			l.trusted = err == nil
			_ = errors.As(err, &refused)
			return err
		},
		Auth: []xssh.AuthMethod{xssh.PublicKeys(credentials.signers...)},
	}
	permanent := func(message string) error {
		return failure(transport.ClassPermanent, nil, "%s", message)
	}
	if len(config.HostKeyAlgorithms) == 0 {
		return permanent(fmt.Sprintf(
			"what is known of the host keys of %s and HostKeyAlgorithms have nothing in common: change one of them", r.known))
	}
	conn, channels, requests, err := xssh.NewClientConn(l.wire, net.JoinHostPort(r.address, strconv.Itoa(r.port)), config)
	if !stop() && err == nil {
		_ = conn.Close()
		err = errEnded
	}
	mismatch := (*xssh.AlgorithmNegotiationError)(nil)
	switch {
	case err == nil:
		l.conn, l.channels, l.requests = conn, channels, requests
		return nil
	case refused != nil:
		return permanent(refused.message)
	case ctx.Err() != nil:
		return l.failed(context.Cause(ctx))
	case errors.As(err, &mismatch) && mismatch.What == "host key" && len(known.keys) == 0 && len(known.authorities) > 0:
		return permanent(fmt.Sprintf("%s shows no host certificate, and no key of its own is known, only an authority (%s): have its key signed",
			r.known, strings.Join(r.knownFiles, ", ")))
	case errors.As(err, &mismatch) && mismatch.What == "host key":
		const text = "%s has no host key of a type that is known: it has %s, known are %s (%s); " +
			"check its fingerprints, then add its keys there"
		return permanent(fmt.Sprintf(text, r.known, strings.Join(mismatch.RequestedAlgorithms, ", "),
			strings.Join(mismatch.SupportedAlgorithms, ", "), strings.Join(r.knownFiles, ", ")))
	case errors.As(err, &mismatch):
		return permanent(mismatch.Error())
	case l.trusted:
		// Worth another try: what looks keys up for sshd may fail when many ask at once.
		message := credentials.refused(r.user)
		if !strings.Contains(err.Error(), "unable to authenticate") { // that says no more
			message += fmt.Sprintf(" (%v)", err)
		}
		return failure(transport.ClassTransient, err, "%s", message)
	default:
		return l.failed(err)
	}
}
