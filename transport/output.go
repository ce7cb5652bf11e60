package transport

import (
	"bytes"
	"strings"
)

// What a Result keeps of a command's output.
const (
	KeptOutput = 64 << 10 // bytes of standard output
	KeptLines  = 20       // lines of standard error, and of them no more than 4 KiB
)

// maxLine bounds a line of what a remote program says.
const maxLine = 4 << 10

// Lines is a writer that splits what is written to it into neutralised lines, passes each on and keeps the last ones. One
// goroutine at a time may use it.
type Lines struct {
	Log  func(line string) // gets each line without its end; may be nil
	Keep int               // so many lines at most, and never more than 4 KiB

	part  []byte
	last  []string
	bytes int
}

// Write implements io.Writer; it takes all.
func (l *Lines) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		i := bytes.IndexAny(p, "\r\n")
		end := i >= 0
		if !end {
			i = len(p)
		}
		l.part = append(l.part, p[:min(i, maxLine-len(l.part))]...)
		if end {
			l.Flush()
			i++
		}
		p = p[i:]
	}
	return n, nil
}

// Flush ends the line.
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
	for len(l.last) > l.Keep || (l.bytes > maxLine && len(l.last) > 1) {
		l.bytes -= len(l.last[0]) + 1
		l.last = l.last[1:]
	}
}

// String returns the lines that are kept.
func (l *Lines) String() string {
	s := strings.Join(l.last, "\n")
	return strings.ToValidUTF8(s[:min(len(s), maxLine)], "")
}

// Tail is a writer that keeps the last Max bytes written to it.
type Tail struct {
	Max int
	buf bytes.Buffer
}

// Write implements io.Writer; it takes all.
func (t *Tail) Write(p []byte) (int, error) {
	if over := t.buf.Len() - 2*t.Max; over > 0 {
		t.buf.Next(t.buf.Len() - t.Max)
	}
	if len(p) > t.Max {
		t.buf.Reset()
		t.buf.Write(p[len(p)-t.Max:])
	} else {
		t.buf.Write(p)
	}
	return len(p), nil
}

// Bytes returns what is kept.
func (t *Tail) Bytes() []byte {
	b := t.buf.Bytes()
	return b[max(0, len(b)-t.Max):]
}

// Summary returns the last three lines of what a program said, as one bounded line.
func Summary(said string) string {
	var lines []string
	for line := range strings.Lines(said) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	s := strings.Join(lines[max(0, len(lines)-3):], "; ")
	if len(s) > 500 {
		s = strings.ToValidUTF8(s[:500], "") + "…"
	}
	return s
}
