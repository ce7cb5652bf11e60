package rsync

import (
	"fmt"
	"strings"
	"testing"
)

// escapeItem is what rsync does to a name (log.c, filtered_fwrite).
func escapeItem(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if _, ok := octalLike(s[i:]); ok || s[i] < ' ' && s[i] != '\t' || s[i] >= 0x7f {
			fmt.Fprintf(&b, `\#%03o`, s[i])
		} else {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

func octalLike(s string) (string, bool) {
	digit := func(c byte) bool { return '0' <= c && c <= '9' }
	return s, len(s) >= 5 && s[:2] == `\#` && digit(s[2]) && digit(s[3]) && digit(s[4])
}

func FuzzItemized(f *testing.F) {
	f.Add(">f+++++++++ 3 a/b\n*deleting   0 old/\ncd+++++++++ 4096 ./\n.d..t...... 1 x/\n.f...p..... 9 y")
	f.Add("created directory /srv/tree\ncannot delete non-empty directory: a\nskipping non-regular file \"b\"\n")
	f.Add(`*deleting   0 \#134#123` + "\n")
	f.Add(`\#777\#08` + "\n\n x")
	f.Fuzz(func(t *testing.T, text string) {
		if got := unescape(escapeItem(text)); got != text {
			t.Errorf("%q is read back as %q", text, got)
		}
		whole, parts := &itemized{top: map[string]*TopDelta{}}, &itemized{top: map[string]*TopDelta{}}
		_, _ = whole.Write([]byte(text))
		for i := range len(text) {
			_, _ = parts.Write([]byte{text[i]})
		}
		if fmt.Sprint(whole.delta, whole.bad, len(whole.top)) != fmt.Sprint(parts.delta, parts.bad, len(parts.top)) {
			t.Errorf("%q at once and by bytes: %+v and %+v", text, whole, parts)
		}
		sum := 0
		for _, top := range whole.top {
			sum += top.Create + top.Change + top.Delete
		}
		if d := whole.delta; sum != d.Create+d.Change+d.Delete || len(d.Deleted) != d.Delete || d.Bytes < 0 {
			t.Errorf("%q: %+v", text, d)
		}
	})
}
