package ssh

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// expand replaces the tokens of ssh_config(5), %h and the like, and ${NAME} by what the environment has.
func expand(s string, tokens map[byte]string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '%' && i+1 < len(s):
			i++
			if s[i] == '%' {
				b.WriteByte('%')
				continue
			}
			v, ok := tokens[s[i]]
			if !ok {
				return "", fmt.Errorf("the token %%%c is not known", s[i])
			}
			b.WriteString(v)
		case s[i] == '%':
			return "", errors.New("a token without its letter")
		case strings.HasPrefix(s[i:], "${"):
			name, _, ok := strings.Cut(s[i+2:], "}")
			v, set := os.LookupEnv(name)
			if !ok || !set {
				return "", fmt.Errorf("%s is not in the environment", name)
			}
			b.WriteString(v)
			i += len(name) + 2
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), nil
}

// parseDuration reads a time as sshd_config(5), TIME FORMATS: 90, 1m30s.
func parseDuration(s string) (time.Duration, error) {
	units := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour}
	if strings.EqualFold(s, "none") {
		return 0, nil
	}
	var total time.Duration
	for rest := s; rest != ""; {
		n := 0
		for n < len(rest) && '0' <= rest[n] && rest[n] <= '9' {
			n++
		}
		v, err := strconv.ParseInt(rest[:n], 10, 32)
		if err != nil {
			return 0, fmt.Errorf("%q is no time", s)
		}
		rest = rest[n:]
		unit := time.Second
		if rest != "" {
			var ok bool
			if unit, ok = units[rest[0]|0x20]; !ok {
				return 0, fmt.Errorf("%q is no time", s)
			}
			rest = rest[1:]
		}
		const year = 365 * 24 * time.Hour
		if v > int64(year/unit) || total > year {
			return 0, fmt.Errorf("%q is too long", s)
		}
		total += time.Duration(v) * unit
	}
	return total, nil
}
