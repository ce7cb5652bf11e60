package ssh

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/fleetsync/fleetsync/transport"
)

// maxJumps bounds a chain of jump hosts, which may be a loop.
const maxJumps = 8

// jump returns the route to the last of a list of jump hosts, through those before.
func (f *configFiles) jump(list string, c Config, depth int) (*route, error) {
	rest, last := "", list
	if i := strings.LastIndexByte(list, ','); i >= 0 {
		rest, last = list[:i], list[i+1:]
	}
	h, err := parseJump(last)
	if err != nil {
		return nil, errOnlyProgram(err.Error())
	}
	r, err := f.route(h, c, depth)
	if err != nil {
		return nil, errOnlyProgram(transport.Neutral(fmt.Sprintf("jump host %s: %v", h.Address, err)))
	}
	if rest != "" {
		// What is given outranks what the configuration says of that host.
		if depth >= maxJumps {
			return nil, errOnlyProgram("proxyjump: too many jump hosts, one after the other")
		}
		if r.via, err = f.jump(rest, c, depth+1); err != nil {
			return nil, err
		}
		r.key += "\x00" + r.via.key
	}
	return r, nil
}

// parseJump reads [user@]host[:port] or ssh://[user@]host[:port].
func parseJump(s string) (transport.Host, error) {
	bad := fmt.Errorf("proxyjump: %q is no host", transport.Neutral(s))
	var h transport.Host
	if after, ok := strings.CutPrefix(s, "ssh://"); ok {
		u, err := url.Parse(s)
		if err != nil || (u.Path != "" && u.Path != "/") || strings.Contains(after, "?") {
			return transport.Host{}, bad
		}
		s = u.Host
		if u.User != nil {
			h.User = u.User.Username()
		}
	} else if i := strings.LastIndexByte(s, '@'); i >= 0 {
		h.User, s = s[:i], s[i+1:]
		if h.User == "" {
			return transport.Host{}, bad
		}
	}
	h.Address = s
	if host, port, err := net.SplitHostPort(s); err == nil {
		h.Address = host
		if h.Port, err = strconv.Atoi(port); err != nil || h.Port < 1 {
			return transport.Host{}, bad
		}
	} else if len(s) > 2 && s[0] == '[' && s[len(s)-1] == ']' {
		h.Address = s[1 : len(s)-1]
	} else if strings.Count(s, ":") == 1 {
		return transport.Host{}, bad
	}
	if validHost(h) != nil {
		return transport.Host{}, bad
	}
	return h, nil
}
