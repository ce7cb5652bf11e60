package rsync

import (
	"bytes"
	"math"
	"strings"
)

// itemized reads what rsync prints for --out-format="%i %l %n".
type itemized struct {
	delta Delta
	top   map[string]*TopDelta
	part  []byte
	bad   string // the first line that is no such line
}

// maxItem bounds a line: a path of 4095 bytes, each escaped.
const maxItem = 5*4096 + 64

func (o *itemized) Write(p []byte) (int, error) {
	n := len(p)
	for {
		line, rest, ok := bytes.Cut(p, []byte("\n"))
		if !ok {
			break
		}
		if len(o.part) > 0 {
			o.part = append(o.part, line...)
			line = o.part
		}
		o.line(line)
		o.part, p = o.part[:0], rest
	}
	if len(o.part)+len(p) > maxItem {
		o.line(append(o.part, p...)[:maxItem])
		p = nil
	}
	o.part = append(o.part, p...)
	return n, nil
}

// remarks is how lines begin that rsync prints among its items, though they are none (measured with 3.5.0): of a destination
// that does not exist (main.c), of a folder that stays because what is excluded is in it (delete.c), and, where it is not
// root, of devices (generator.c). No item has an r, an a or a k in its second place.
var remarks = []string{"created directory ", "cannot delete non-empty directory: ", "skipping non-regular file "}

// line takes a line such as
//
//	>f+++++++++ 3 dir/name
//	.d..t...... 4096 ./
//	*deleting   0 old/
//
// whose first eleven bytes are fixed (rsync(1), --itemize-changes).
func (o *itemized) line(b []byte) {
	line := string(b)
	bad := func() {
		if o.bad == "" {
			o.bad = line[:min(len(line), 200)]
			if line == "" {
				o.bad = "an empty line"
			}
		}
	}
	for _, said := range remarks {
		if strings.HasPrefix(line, said) {
			return
		}
	}
	if len(line) < 11 {
		bad()
		return
	}
	item, rest, ok1 := line[:11], strings.TrimLeft(line[11:], " "), strings.HasPrefix(line[11:], " ")
	size, name, ok2 := strings.Cut(rest, " ")
	bytes, ok3 := parseNumber(size)
	name = unescape(name)
	if !ok1 || !ok2 || !ok3 || name == "" || len(line) >= maxItem {
		bad()
		return
	}
	first, _, _ := strings.Cut(strings.TrimSuffix(name, "/"), "/")
	top := o.top[first]
	if top == nil {
		top = &TopDelta{Name: first}
	}
	switch {
	case strings.HasPrefix(item, "*deleting"):
		o.delta.Delete++
		top.Delete++
		o.delta.Deleted = append(o.delta.Deleted, strings.TrimSuffix(name, "/"))
	case !strings.ContainsRune("<>ch.", rune(item[0])) || !strings.ContainsRune("fdLDS", rune(item[1])):
		bad()
		return
	case strings.HasPrefix(item[2:], "+"):
		o.delta.Create++
		top.Create++
	case item[0] == '.' && item[1] == 'd' && strings.Trim(item[2:], ".tT ") == "":
		return
	default:
		o.delta.Change++
		top.Change++
	}
	if item[:2] == ">f" {
		o.delta.Bytes += min(bytes, math.MaxInt64-o.delta.Bytes)
	}
	o.top[first] = top
}

// unescape undoes what rsync does to bytes that it takes for unprintable: \#ooo, in octal; a backslash is escaped where it
// would be read as the begin of that (rsync(1), --8-bit-output; log.c).
func unescape(s string) string {
	if !strings.Contains(s, `\#`) {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if c, ok := octal(s[i:]); ok {
			b = append(b, c)
			i += 4
			continue
		}
		b = append(b, s[i])
	}
	return string(b)
}

func octal(s string) (byte, bool) {
	if len(s) < 5 || s[0] != '\\' || s[1] != '#' || s[2] < '0' || s[2] > '3' || s[3] < '0' || s[3] > '7' || s[4] < '0' || s[4] > '7' {
		return 0, false
	}
	return (s[2]-'0')<<6 | (s[3]-'0')<<3 | (s[4] - '0'), true
}
