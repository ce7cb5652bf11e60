package live

import (
	"strings"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report/text"
)

// Bounds of what is shown of one thing, in columns.
const (
	maxName   = 80
	maxReason = 300
	maxFold   = 160
)

func name(s string) string   { return text.Short(s, maxName) }
func reason(s string) string { return text.Short(s, maxReason) }

// limiter bounds the messages that are alike, and all of them together.
type limiter struct {
	each, all int
	seen      map[string]int
	shown     int
}

func newLimiter(each, all int) *limiter {
	return &limiter{each: each, all: all, seen: map[string]int{}}
}

// admit says whether a message about a host is to be shown, and what is to be said at its end. No limiter admits everything.
func (l *limiter) admit(host, alike string) (suffix string, show bool) {
	if l == nil {
		return "", true
	}
	key := strings.ReplaceAll(reason(alike), host, "HOST")
	if l.shown == l.all || l.seen[key] == l.each {
		return "", false
	}
	l.seen[key]++
	l.shown++
	switch {
	case l.shown == l.all:
		return "; all further ones are counted, not named", true
	case l.seen[key] == l.each:
		return "; more like this are counted, not named", true
	default:
		return "", true
	}
}
