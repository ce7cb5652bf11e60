package guard

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// show makes a path fit for a message: as it is if it can be printed, otherwise quoted; and bounded.
func show(path string) string {
	const most = 200
	cut := ""
	if len(path) > most {
		cut = fmt.Sprintf("… (%d bytes)", len(path))
		path = path[:most]
		for !utf8.ValidString(path) && len(path) > most-utf8.UTFMax {
			path = path[:len(path)-1]
		}
	}
	if utf8.ValidString(path) && !strings.ContainsFunc(path, func(r rune) bool {
		return !unicode.IsPrint(r) || r == '"' || r == unicode.ReplacementChar
	}) {
		return path + cut
	}
	return fmt.Sprintf("%+q", path) + cut
}

// neutral makes what a program said fit for a message: one line, without anything that cannot be printed.
func neutral(s string) string {
	const most = 500
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
