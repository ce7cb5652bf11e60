package inventory

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// FoldNames returns names as a person would write them: sorted, each once, with ranges for those that
// differ in one number only. ExpandRange gives the same names back, as long as no name holds a
// bracket or a comma, is empty, or is longer than a host's name can be.
//
//	mw1017.eqiad.wmnet mw1018.eqiad.wmnet mw1080.eqiad.wmnet tin.eqiad.wmnet
//	→ mw[1017-1018,1080].eqiad.wmnet,tin.eqiad.wmnet
func FoldNames(names []string) string {
	split := make([]numbered, len(names))
	for i, name := range names {
		split[i] = splitNumber(name)
	}
	slices.SortFunc(split, numbered.compare)
	split = slices.Compact(split)

	var out strings.Builder
	for len(split) > 0 {
		n := 1 // names in the first family
		for n < len(split) && split[n].isSibling(split[0]) {
			n++
		}
		if out.Len() > 0 {
			out.WriteByte(',')
		}
		foldFamily(&out, split[:n])
		split = split[n:]
	}
	return out.String()
}

// numbered is a name split at the number that tells it from its siblings.
type numbered struct{ before, digits, after string }

// splitNumber splits a name at the last number of its first label that has one. A name without a
// number has no digits.
func splitNumber(name string) numbered {
	const digits = "0123456789"
	first := strings.IndexAny(name, digits)
	if first < 0 {
		return numbered{before: name}
	}
	end := len(name)
	if dot := strings.IndexByte(name[first:], '.'); dot >= 0 {
		end = first + dot
	}
	end = strings.LastIndexAny(name[:end], digits) + 1
	start := len(strings.TrimRight(name[:end], digits))
	if end-start > maxDigits {
		return numbered{before: name}
	}
	return numbered{name[:start], name[start:end], name[end:]}
}

func (a numbered) compare(b numbered) int {
	return cmp.Or(
		cmp.Compare(a.before, b.before),
		cmp.Compare(a.after, b.after),
		cmp.Compare(a.value(), b.value()),
		cmp.Compare(len(a.digits), len(b.digits)),
	)
}

func (a numbered) isSibling(b numbered) bool {
	return a.before == b.before && a.after == b.after && (a.digits == "") == (b.digits == "")
}

// value returns the number, -1 if there is none.
func (a numbered) value() int {
	n, err := strconv.Atoi(a.digits)
	if err != nil {
		return -1
	}
	return n
}

// foldFamily writes siblings, sorted, as one pattern.
func foldFamily(out *strings.Builder, family []numbered) {
	out.WriteString(family[0].before)
	defer out.WriteString(family[0].after)
	if len(family) == 1 {
		out.WriteString(family[0].digits)
		return
	}
	separator := byte('[')
	for len(family) > 0 {
		n := 1 // names in the first range
		for n < len(family) && family[n].extends(family[0], family[n-1]) {
			n++
		}
		out.WriteByte(separator)
		out.WriteString(family[0].digits)
		if n > 1 {
			out.WriteByte('-')
			out.WriteString(family[n-1].digits)
		}
		separator = ','
		family = family[n:]
	}
	out.WriteByte(']')
}

// extends says whether a range from first to last can go on to a: it is the next number, in as many
// digits, or in one more if the range is not padded.
func (a numbered) extends(first, last numbered) bool {
	return a.value() == last.value()+1 &&
		(len(a.digits) == len(last.digits) || !isPadded(first.digits) && !isPadded(a.digits))
}
