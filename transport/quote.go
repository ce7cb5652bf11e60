package transport

import (
	"strconv"
	"strings"
)

// Word returns s as a POSIX shell reads it as one word, for lines that people can paste: as it is where that is possible,
// else quoted. It must hold no NUL.
func Word(s string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./_-"
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return !strings.ContainsRune(plain, r) }) {
		return Quote(s)
	}
	return s
}

// Quote returns args as a line that a POSIX shell reads back as exactly those words. They must hold
// no NUL.
func Quote(args ...string) string {
	var b strings.Builder
	for i, a := range args {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString("'" + strings.ReplaceAll(a, "'", `'\''`) + "'")
	}
	return b.String()
}

// Quoted returns s, whatever is in it, so that people can tell where it begins and ends. It is neutral, and not for a shell.
func Quoted(s string) string { return strconv.Quote(Neutral(s)) }
