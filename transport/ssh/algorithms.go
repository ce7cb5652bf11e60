package ssh

import (
	"slices"
	"strings"
	"sync"

	xssh "golang.org/x/crypto/ssh"
)

// What the library has. Nobody changes it.
var (
	safeAlgorithms   = sync.OnceValue(xssh.SupportedAlgorithms)
	unsafeAlgorithms = sync.OnceValue(xssh.InsecureAlgorithms)
)

// chooseAlgorithms reads a list of algorithms as ssh_config(5) has it for Ciphers and its like, as far
// as we have them.
func chooseAlgorithms(list string, safe, unsafe []string) []string {
	pick := func(names, from []string) []string {
		var picked []string
		for _, n := range names {
			for _, f := range from {
				if wildcard(n, f) && !slices.Contains(picked, f) {
					picked = append(picked, f)
				}
			}
		}
		return picked
	}
	all := slices.Concat(safe, unsafe)
	names := strings.Split(strings.TrimLeft(list, "+-^"), ",")
	without := func(from, drop []string) []string {
		return slices.DeleteFunc(slices.Clone(from), func(s string) bool { return slices.Contains(drop, s) })
	}
	switch list[0] {
	case '+':
		return append(slices.Clone(safe), without(pick(names, all), safe)...)
	case '-':
		return without(safe, pick(names, safe))
	case '^':
		first := pick(names, all)
		return append(first, without(safe, first)...)
	default:
		return pick(names, all)
	}
}

// hostKeyAlgorithms are those we take, best first. Those of certificates come before all others. Nobody changes them.
var hostKeyAlgorithms = sync.OnceValue(func() []string {
	all := safeAlgorithms().HostKeys
	first := []string{
		xssh.CertAlgoED25519v01, xssh.CertAlgoECDSA256v01, xssh.CertAlgoECDSA384v01, xssh.CertAlgoECDSA521v01,
		xssh.CertAlgoRSASHA512v01, xssh.CertAlgoRSASHA256v01,
		xssh.KeyAlgoED25519, xssh.KeyAlgoECDSA256, xssh.KeyAlgoECDSA384, xssh.KeyAlgoECDSA521, xssh.KeyAlgoRSASHA512, xssh.KeyAlgoRSASHA256,
	}
	rest := slices.DeleteFunc(slices.Clone(all), func(a string) bool { return slices.Contains(first, a) })
	first = slices.DeleteFunc(first, func(a string) bool { return !slices.Contains(all, a) })
	return append(first, rest...)
})
