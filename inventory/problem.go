package inventory

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Problem is one mistake in text that a person wrote, and where it is.
type Problem struct {
	File    string // as it was given to the parser; "selection" for an expression
	Line    int    // from 1
	Column  int    // from 1, in characters
	Source  string // the line as it was written; not safe for a terminal, unlike what Error returns
	Message string // what is wrong; control characters in it are escaped
	Hint    string // what to do; may be empty
}

// Problems is everything that is wrong with one text, in the order of position. It is the type of
// every error that is about content; a file that cannot be read is another error.
type Problems []Problem

// maxPrinted bounds what Error prints; the slice itself holds every problem.
const maxPrinted = 100

// Error returns every problem as people read it: position and message, the line with a caret under
// the column, and the hint. Long lines are cut around the column, and what is not printable is escaped.
func (p Problems) Error() string {
	var b strings.Builder
	for i, problem := range p {
		if i == maxPrinted {
			fmt.Fprintf(&b, "and %d more\n", len(p)-i)
			break
		}
		b.WriteString(problem.Error())
		b.WriteByte('\n')
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// Error returns the problem on two to four lines, without a newline at the end.
func (p Problem) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: %s", escape(p.File), p.Line, p.Column, p.Message)
	if text, caret := excerpt(p.Source, p.Column); text != "" {
		fmt.Fprintf(&b, "\n  %s\n  %s^", text, strings.Repeat(" ", caret))
	}
	if p.Hint != "" {
		fmt.Fprintf(&b, "\nhint: %s", p.Hint)
	}
	return b.String()
}

// sorted orders problems by position and drops those that were found twice.
func (p Problems) sorted() Problems {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(p)
}

// orNil returns p as an error that is nil when there is no problem.
func (p Problems) orNil() error {
	if len(p) == 0 {
		return nil
	}
	return p.sorted()
}

// What an excerpt shows at most, in characters: this much of the line, of which this much is before the column.
const (
	excerptWidth  = 120
	excerptBefore = 60
)

// excerpt returns the part of a line around a column, safe to print, and how many characters of it
// come before the column.
func excerpt(line string, column int) (text string, caret int) {
	var b strings.Builder
	shown := 0 // characters in b
	show := func(s string) {
		b.WriteString(s)
		shown += utf8.RuneCountInString(s)
	}
	first := 1
	if column > excerptBefore+1 {
		first = column - excerptBefore
		show("…")
	}
	caret = -1
	at := 0
	for len(line) > 0 {
		_, size := utf8.DecodeRuneInString(line)
		char := line[:size]
		line = line[size:]
		at++
		if at < first {
			continue
		}
		if at == column {
			caret = shown
		}
		if at >= first+excerptWidth {
			show("…")
			break
		}
		show(escape(char))
	}
	if caret < 0 { // just behind the end of the line
		caret = shown
	}
	return b.String(), caret
}

// escape makes what a terminal would not print visible: control characters, invisible ones, and
// bytes that are not UTF-8.
func escape(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		if unicode.IsPrint(r) && (r != utf8.RuneError || size > 1) {
			b.WriteString(s[:size])
		} else {
			quoted := strconv.QuoteToASCII(s[:size])
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		s = s[size:]
	}
	return b.String()
}

// maxQuoted bounds a piece of the text that a message repeats, in bytes.
const maxQuoted = 80

// quote returns a piece of the text for use in a message: in double quotes, escaped and bounded.
func quote(s string) string {
	if len(s) > maxQuoted {
		s = strings.ToValidUTF8(s[:maxQuoted], "") + "…"
	}
	return `"` + escape(s) + `"`
}

// maxListed bounds a list that a message or hint repeats, in items.
const maxListed = 12

// list returns words for use in a message or hint: sorted, bounded, "none" if there are none.
func list(words []string) string {
	if len(words) == 0 {
		return "none"
	}
	words = slices.Sorted(slices.Values(words))
	rest := ""
	if len(words) > maxListed {
		rest = fmt.Sprintf(" and %d more", len(words)-maxListed)
		words = words[:maxListed]
	}
	return strings.Join(words, ", ") + rest
}

// fault is what is wrong with a piece of text, before its place in a file is known.
type fault struct {
	message string
	hint    string
	offset  int // in bytes, from the start of the piece
}

func faultf(hint, format string, args ...any) *fault {
	return &fault{message: fmt.Sprintf(format, args...), hint: hint}
}

// at returns f with its offset set.
func (f *fault) at(offset int) *fault {
	f.offset = offset
	return f
}
