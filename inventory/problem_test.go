package inventory

import (
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestProblemError(t *testing.T) {
	for _, c := range []struct {
		name string
		p    Problem
		want string
	}{
		{"plain", Problem{"a.yaml", 3, 5, "abc def", "m", "do it"}, "a.yaml:3:5: m\n  abc def\n      ^\nhint: do it"},
		{"no hint", Problem{"a.yaml", 1, 1, "abc", "m", ""}, "a.yaml:1:1: m\n  abc\n  ^"},
		{"no source", Problem{"a.yaml", 1, 1, "", "m", "h"}, "a.yaml:1:1: m\nhint: h"},
		{"tab", Problem{"a.yaml", 1, 3, "\t\tx", "m", ""}, "a.yaml:1:3: m\n  \\t\\tx\n      ^"},
		{"terminal escape", Problem{"a.yaml", 1, 2, "\x1b[2Jx", "m", ""}, "a.yaml:1:2: m\n  \\x1b[2Jx\n      ^"},
		{"not UTF-8", Problem{"a.yaml", 1, 2, "\xffx", "m", ""}, "a.yaml:1:2: m\n  \\xffx\n      ^"},
		{"bidi", Problem{"a.yaml", 1, 1, "a\u202eb", "m", ""}, "a.yaml:1:1: m\n  a\\u202eb\n  ^"},
		{"behind the end", Problem{"a.yaml", 1, 9, "abc", "m", ""}, "a.yaml:1:9: m\n  abc\n     ^"},
		{"wide", Problem{"a.yaml", 1, 3, "éöx", "m", ""}, "a.yaml:1:3: m\n  éöx\n    ^"},
		{"file", Problem{"a\nb", 1, 1, "", "m", ""}, `a\nb:1:1: m`},
	} {
		if got := c.p.Error(); got != c.want {
			t.Errorf("%s:\n got %q\nwant %q", c.name, got, c.want)
		}
	}
}

func TestProblemErrorCutsLongLines(t *testing.T) {
	line := strings.Repeat("a", 1<<20) + "X" + strings.Repeat("b", 1<<20)
	lines := strings.Split(Problem{"f", 1, 1<<20 + 1, line, "m", ""}.Error(), "\n")
	if len(lines) != 3 || utf8.RuneCountInString(lines[1]) > 140 {
		t.Fatalf("%.300q", lines)
	}
	if caret := strings.IndexByte(lines[2], '^'); string([]rune(lines[1])[caret]) != "X" {
		t.Errorf("the caret is not under the column:\n%s\n%s", lines[1], lines[2])
	}
}

func TestProblemsErrorIsBounded(t *testing.T) {
	text := make(Problems, 1000).Error()
	if n := strings.Count(text, "\n"); n > 2*maxPrinted || !strings.HasSuffix(text, "and 900 more") {
		t.Errorf("%d lines, the end is %.30q", n, text[len(text)-30:])
	}
}

// checkProblems fails unless err is what the package promises of an error about content.
func checkProblems(t *testing.T, err error, text string) {
	t.Helper()
	var problems Problems
	if !errors.As(err, &problems) || len(problems) == 0 {
		t.Fatalf("%q: %v is not Problems", text, err)
	}
	lines := strings.Count(text, "\n") + 1
	for i, p := range problems {
		if p.Line < 1 || p.Line > lines || p.Column < 1 || p.Message == "" {
			t.Fatalf("%q: bad position or message: %+v", text, p)
		}
		if i > 0 && (p.Line < problems[i-1].Line || p.Line == problems[i-1].Line && p.Column < problems[i-1].Column) {
			t.Fatalf("%q: not sorted: %+v", text, problems)
		}
	}
	for _, r := range err.Error() {
		if r != '\n' && !unicode.IsPrint(r) {
			t.Fatalf("%q: the error holds %U: %q", text, r, err)
		}
	}
}
