package transport

import "strings"

// Word returns s as a POSIX shell reads it as one word, for lines that people can paste: as it is where that is possible,
// else quoted. It must hold no NUL.
func Word(s string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./_-"
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return !strings.ContainsRune(plain, r) }) {
		return Quote(s)
	}
	return s
}
