package transport

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxLine bounds a line of what a remote program says.
const MaxLine = 4 << 10

// Neutral returns s as one line without anything that could move a cursor, start an escape sequence or
// reorder text: tabs and ends of lines become spaces; other control characters (C0, DEL, C1), line and
// paragraph separators and every invisible format character (bidirectional overrides among them) are
// dropped; bytes that are no UTF-8 become U+FFFD. It is the one neutraliser of text from elsewhere: whoever
// shows, logs or stores such text passes it through here. It does not bound the text.
func Neutral(s string) string {
	clean := true
	for i := 0; i < len(s) && clean; i++ {
		clean = ' ' <= s[i] && s[i] < 0x7f
	}
	if clean {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t', r == '\n', r == '\r':
			return ' '
		case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co):
			return -1
		default:
			return r
		}
	}, strings.ToValidUTF8(s, string(utf8.RuneError)))
}

func HasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// lines splits what is written to it into neutralised lines, passes each on and keeps the last ones.
type Lines struct {
	Log  func(string)
	Keep int // lines; never more than MaxLine bytes

	part  []byte
	last  []string
	bytes int
}

func (l *Lines) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		i := bytes.IndexAny(p, "\r\n")
		end := i >= 0
		if !end {
			i = len(p)
		}
		l.part = append(l.part, p[:min(i, MaxLine-len(l.part))]...)
		if end {
			l.Flush()
			i++
		}
		p = p[i:]
	}
	return n, nil
}

// flush ends the line.
func (l *Lines) Flush() {
	line := strings.TrimRight(Neutral(string(l.part)), " ")
	l.part = l.part[:0]
	if line == "" {
		return
	}
	if l.Log != nil {
		l.Log(line)
	}
	l.last = append(l.last, line)
	l.bytes += len(line) + 1
	for len(l.last) > l.Keep || (l.bytes > MaxLine && len(l.last) > 1) {
		l.bytes -= len(l.last[0]) + 1
		l.last = l.last[1:]
	}
}

func (l *Lines) String() string {
	s := strings.Join(l.last, "\n")
	return strings.ToValidUTF8(s[:min(len(s), MaxLine)], "")
}
