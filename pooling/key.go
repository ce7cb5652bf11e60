package pooling

import (
	"fmt"
	"strings"
	"unicode"
)

// Plain reports whether s can be one part of a key, or of the path of a URL. etcd cleans a path after it has decoded it, so that
// an escaped ".." climbs as well as a plain one (etcd 3.4, measured).
func Plain(s string) bool {
	return s != "" && s != "." && s != ".." && !strings.ContainsRune(s, '/') && !strings.ContainsFunc(s, unicode.IsControl)
}

// splitKey returns the four parts of an object's key.
func splitKey(key string) ([]string, error) {
	parts := strings.Split(key, "/")
	if len(parts) != 4 {
		return nil, fmt.Errorf("key %q: %w: want datacenter/cluster/service/host", Clean(key), ErrMalformed)
	}
	for _, p := range parts {
		// etcd hides what begins with "_" from the reads of a directory, but not from all watches (3.4, measured).
		if !Plain(p) || p[0] == '_' {
			return nil, fmt.Errorf("key %q: %w: %q cannot be part of a key", Clean(key), ErrMalformed, Clean(p))
		}
	}
	return parts, nil
}

// checkPrefix returns a prefix as keys begin with it.
func checkPrefix(prefix string) (string, error) {
	path := "/" + strings.Trim(prefix, "/")
	for p := range strings.SplitSeq(path[1:], "/") {
		if !Plain(p) {
			return "", fmt.Errorf("prefix %q: want a path such as /conftool/v1/pools", Clean(prefix))
		}
	}
	return path, nil
}

// escapeName returns a name as part of a key: different names become different parts, which hold neither "/" nor ",",
// do not begin with "_", which etcd hides, or ".", and need no escaping in a URL.
func escapeName(name string) string {
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.' && i > 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "=%02X", c)
		}
	}
	return b.String()
}
