package checks

import (
	"strings"
	"testing"
)

var expandTable = []struct{ s, host, destination, want string }{
	{"", "mw1", "/srv", ""},
	{"http://{host}/wiki/Main_Page", "mw1017.eqiad.wmnet", "", "http://mw1017.eqiad.wmnet/wiki/Main_Page"},
	{"{destination}/bin/check", "mw1", "/srv/mediawiki", "/srv/mediawiki/bin/check"},
	{"{host}{host}:{destination}", "a", "b", "aa:b"},
	{"{user} {Host} {host", "a", "b", "{user} {Host} {host"},
	{"{{host}}", "a", "b", "{a}"},
	{"{host}", "{destination}", "/secret", "{destination}"},
	{"{destination}", "a", "/srv/{host}", "/srv/{host}"},
	{"{ho{host}st}", "a", "b", "{hoast}"},
	{"{{host}}", "host", "b", "{host}"},
	{"{host}st}", "{ho", "b", "{host}"[:3] + "st}"},
}

func TestExpand(t *testing.T) {
	for _, c := range expandTable {
		if got := Expand(c.s, c.host, c.destination); got != c.want {
			t.Errorf("Expand(%q, %q, %q) = %q, want %q", c.s, c.host, c.destination, got, c.want)
		}
	}
}

// The oracle reads s from the left, once. Planted faults that it saw: one strings.ReplaceAll after
// the other, in either order; {destination} forgotten; only the first occurrence replaced.
func FuzzExpand(f *testing.F) {
	for _, c := range expandTable {
		f.Add(c.s, c.host, c.destination)
	}
	f.Fuzz(func(t *testing.T, s, host, destination string) {
		var want strings.Builder
		for rest := s; rest != ""; {
			if after, ok := strings.CutPrefix(rest, "{host}"); ok {
				want.WriteString(host)
				rest = after
			} else if after, ok := strings.CutPrefix(rest, "{destination}"); ok {
				want.WriteString(destination)
				rest = after
			} else {
				want.WriteByte(rest[0])
				rest = rest[1:]
			}
		}
		if got := Expand(s, host, destination); got != want.String() {
			t.Errorf("Expand(%q, %q, %q) = %q, want %q", s, host, destination, got, want.String())
		}
	})
}
