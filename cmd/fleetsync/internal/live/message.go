package live

import (
	"strings"
	"time"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report/text"
)

// kind is how much a message matters.
type kind string

const (
	note kind = "note"
	good kind = "good"
	warn kind = "warn"
	bad  kind = "bad"
)

// message is one line for a person, neutral and bounded.
type message struct {
	at    time.Time
	kind  kind
	text  string
	plain bool // live bars show the same anyway
}

// Bounds of what is shown of one thing, in columns.
const (
	maxName   = 80
	maxReason = 300
	maxFold   = 160
)

// limiter bounds the messages that are alike, and all of them together.
type limiter struct {
	each, all int
	seen      map[string]int
	shown     int
}

func newLimiter(each, all int) limiter { return limiter{each: each, all: all, seen: map[string]int{}} }

// admit says whether a message about a host is to be shown, and what is to be said at its end.
func (l *limiter) admit(host, reason string) (suffix string, show bool) {
	if l.shown == l.all {
		return "", false
	}
	key := strings.ReplaceAll(text.Short(reason, maxReason), host, "HOST")
	if l.seen[key] == l.each {
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
