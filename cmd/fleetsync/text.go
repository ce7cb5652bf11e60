package main

import (
	"strconv"
	"strings"

	"github.com/fleetsync/fleetsync/transport"
)

// quoted returns s as people can tell where it begins and ends, whatever is in it.
func quoted(s string) string { return strconv.Quote(transport.Neutral(s)) }

// shellWord returns s as a shell reads it as one word, as plain as it can be.
func shellWord(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./_-", r)
	}) {
		return transport.Quote(s)
	}
	return s
}
