package balancer

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fleetsync/fleetsync/pooling"
)

// status is what PyBal says of a host in a pool.
type status struct {
	enabled bool // the pool object says so
	up      bool // all monitors say so
	pooled  bool // it is sent traffic
}

// parseStatus reads what PyBal's Server.textStatus writes (server.py).
func parseStatus(text string) (s status, err error) {
	parts := strings.Split(text, "/")
	ok := len(parts) == 3
	word := func(i int, yes string, no ...string) (is bool) {
		is = ok && parts[i] == yes
		ok = ok && (is || slices.Contains(no, parts[i]))
		return is
	}
	s = status{
		enabled: word(0, "enabled", "disabled"),
		up:      word(1, "up", "partially up", "down"), // "partially": some monitors say so; PyBal depools it
		pooled:  word(2, "pooled", "not pooled"),
	}
	if !ok {
		return status{}, fmt.Errorf("%q is not PyBal's", pooling.Clean(text))
	}
	return s, nil
}

// parsePool reads PyBal's page of a pool (instrumentation.py): a line of "HOST:\tSTATUS" each.
func parsePool(text string) (map[string]status, error) {
	hosts := map[string]status{}
	for line := range strings.Lines(text) {
		host, rest, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ":\t")
		if !ok || host == "" {
			return nil, fmt.Errorf("%q is not PyBal's", pooling.Clean(strings.TrimSuffix(line, "\n")))
		}
		s, err := parseStatus(rest)
		if err != nil {
			return nil, err
		}
		hosts[host] = s
	}
	return hosts, nil
}
