package inventory

import (
	"strconv"
	"strings"
)

// maxNames is how many names one pattern may stand for.
const maxNames = 100_000

// ExpandRange returns the names that a pattern stands for, in the pattern's order. A pattern is a
// name in which brackets hold numbers and ranges of numbers, or several of those joined by commas:
//
//	mw[1017-1019,1080].eqiad.wmnet   mw1017, mw1018, mw1019 and mw1080, each with .eqiad.wmnet
//	mw[08-10]                        mw08, mw09, mw10: a leading zero asks for that many digits
//	db[1-2]-[1-2]                    db1-1, db1-2, db2-1, db2-2
//	tin,mw[1-2]                      tin, mw1, mw2
//
// A name that the pattern holds twice is returned twice. ExpandRange knows nothing of what a name
// may hold. Its errors are Problems, with the file "range"; a pattern for more than 100,000
// names is one of them, and costs no memory.
func ExpandRange(pattern string) ([]string, error) {
	names, f := expandRange(pattern)
	if f != nil {
		return nil, f.problems("range", pattern)
	}
	return names, nil
}

// problems returns a fault of a text of one line as an error.
func (f *fault) problems(name, text string) Problems {
	column := len([]rune(text[:min(f.offset, len(text))])) + 1
	return Problems{{File: name, Line: 1, Column: column, Source: text, Message: f.message, Hint: f.hint}}
}

func expandRange(pattern string) ([]string, *fault) {
	var names []string
	offset := 0
	for part := range splitPatterns(pattern) {
		more, f := expandOne(part, maxNames-len(names))
		if f != nil {
			return nil, f.at(offset + f.offset)
		}
		names = append(names, more...)
		offset += len(part) + 1
	}
	return names, nil
}

// splitPatterns yields what is between the commas outside brackets.
func splitPatterns(s string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		start, inside := 0, false
		for i := range len(s) {
			switch s[i] {
			case '[':
				inside = true
			case ']':
				inside = false
			case ',':
				if inside {
					continue
				}
				if !yield(s[start:i]) {
					return
				}
				start = i + 1
			}
		}
		yield(s[start:])
	}
}

// span is a range of numbers, printed with at least width digits.
type span struct{ low, high, width int }

func (s span) size() int { return s.high - s.low + 1 }

// expandOne expands a pattern without commas outside brackets to at most room names.
func expandOne(pattern string, room int) ([]string, *fault) {
	p, f := parsePattern(pattern, room)
	if f != nil {
		return nil, f
	}
	return p.names(), nil
}

// pattern is a pattern without commas outside brackets.
type pattern struct {
	literals []string // around the brackets: one more than there are brackets
	brackets [][]span
	total    int // names
}

// parsePattern reads a pattern that stands for at most room names.
func parsePattern(text string, room int) (pattern, *fault) {
	const few = "write it as several patterns"
	if text == "" {
		return pattern{}, faultf("write a name or a range, such as mw[1017-1070]", "a name is missing")
	}
	tooMany := faultf(few, "%s stands for more than %d names", quote(text), maxNames)
	if room < 1 {
		return pattern{}, tooMany
	}

	p := pattern{total: 1}
	longest := 0
	rest := text
	for {
		at := len(text) - len(rest)
		open, closing := strings.IndexByte(rest, '['), strings.IndexByte(rest, ']')
		if open < 0 && closing < 0 {
			break
		}
		switch {
		case open < 0 || closing >= 0 && closing < open:
			return pattern{}, faultf("remove it, or open it with [", "a ] closes nothing").at(at + closing)
		case closing < 0:
			return pattern{}, faultf("close it with ]", "a [ is not closed").at(at + open)
		}
		spans, f := parseSpans(rest[open+1 : closing])
		if f != nil {
			return pattern{}, f.at(at + open + 1 + f.offset)
		}
		p.literals = append(p.literals, rest[:open])
		p.brackets = append(p.brackets, spans)
		rest = rest[closing+1:]

		size := 0
		width := 0
		for _, s := range spans {
			if s.size() > room-size {
				return pattern{}, tooMany
			}
			size += s.size()
			width = max(width, s.width, len(strconv.Itoa(s.high)))
		}
		if size > room/p.total { // then total × size is more than room, and so far it cannot overflow
			return pattern{}, tooMany
		}
		p.total *= size
		longest += open + width
	}
	p.literals = append(p.literals, rest)
	if longest+len(rest) > maxName {
		return pattern{}, faultf("", "%s stands for names longer than %d characters", quote(text), maxName)
	}
	return p, nil
}

// names returns the names that p stands for, in its order.
func (p pattern) names() []string {
	names := make([]string, 0, p.total)
	var build func(prefix string, i int)
	build = func(prefix string, i int) {
		prefix += p.literals[i]
		if i == len(p.brackets) {
			names = append(names, prefix)
			return
		}
		for _, s := range p.brackets[i] {
			for n := s.low; n <= s.high; n++ {
				build(prefix+pad(n, s.width), i+1)
			}
		}
	}
	build("", 0)
	return names
}

func pad(n, width int) string {
	digits := strconv.Itoa(n)
	return strings.Repeat("0", max(0, width-len(digits))) + digits
}

// maxDigits bounds a number in brackets, so that sums of numbers fit an int.
const maxDigits = 17

// parseSpans reads what is inside brackets.
func parseSpans(s string) ([]span, *fault) {
	const hint = "brackets hold numbers and ranges, such as [1017-1070,1080]"
	var spans []span
	offset := 0
	for item := range strings.SplitSeq(s, ",") {
		low, high, isRange := strings.Cut(item, "-")
		if !isRange {
			high = low
		}
		switch {
		case !isDigits(low) || !isDigits(high):
			return nil, faultf(hint, "bad range [%s]", escape(item)).at(offset)
		case len(spans) == maxNames:
			return nil, faultf("write it as several patterns", "brackets hold more than %d ranges", maxNames).at(offset)
		case len(low) > maxDigits || len(high) > maxDigits:
			return nil, faultf("", "range [%s] has too many digits", escape(item)).at(offset)
		case (isPadded(low) || isPadded(high)) && len(low) != len(high):
			return nil, faultf("with leading zeros, write both ends with the same number of digits, such as [001-100]",
				"range [%s] has ends of different width", item).at(offset)
		}
		a, errLow := strconv.Atoi(low)
		b, errHigh := strconv.Atoi(high)
		switch {
		case errLow != nil || errHigh != nil:
			return nil, faultf(hint, "bad range [%s]", escape(item)).at(offset)
		case a > b:
			return nil, faultf("write ["+high+"-"+low+"]", "range [%s] runs backwards", item).at(offset)
		}
		width := 1
		if isPadded(low) {
			width = len(low)
		}
		spans = append(spans, span{a, b, width})
		offset += len(item) + 1
	}
	return spans, nil
}

func isPadded(digits string) bool { return len(digits) > 1 && digits[0] == '0' }

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
