package ssh

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	xssh "golang.org/x/crypto/ssh"
	"pgregory.net/rapid"
)

// Public keys of no one.
var someKeys = []string{
	"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f",
	"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB8eHRwbGhkYFxYVFBMSERAPDg0MCwoJCAcGBQQDAgEA",
}

// TestKnownHostsAsProgram: the lines we find for a name are those that ssh-keygen -F finds. Planted
// faults seen to fail it: a pattern with a ! not looked at; hashed names compared as they are; names
// with a capital letter not found.
func TestKnownHostsAsProgram(t *testing.T) {
	t.Parallel()
	needed(t, "ssh-keygen")
	dir := t.TempDir()
	name := filepath.Join(dir, "known_hosts")
	names := []string{"mw1", "mw1.example.org", "MW1", "[mw1]:2222", "10.0.0.1", "[10.0.0.1]:2222", "::1", "mw*", "*", "!mw1",
		"!*.example.org", "[*]:2222", "[mw?]:22*", "m?1", "!10.*"}
	rapid.Check(t, func(rt *rapid.T) {
		var lines []string
		for range rapid.IntRange(0, 6).Draw(rt, "lines") {
			key := rapid.SampledFrom(someKeys).Draw(rt, "key")
			marker := rapid.SampledFrom([]string{"", "", "@cert-authority ", "@revoked "}).Draw(rt, "marker")
			of := strings.Join(rapid.SliceOfN(rapid.SampledFrom(names), 1, 3).Draw(rt, "names"), ",")
			lines = append(lines, rapid.SampledFrom([]string{
				marker + of + " " + key, marker + of + "\t" + key + " a comment", "# " + of + " " + key, of, of + " ssh-new AAAA", "",
			}).Draw(rt, "line"))
		}
		put(t, name, strings.Join(lines, "\n")+"\n")
		if rapid.Bool().Draw(rt, "hash") {
			// It leaves patterns as they are.
			_ = exec.Command("ssh-keygen", "-q", "-H", "-f", name).Run() // it refuses a file with bad lines, which then stays
		}
		host := rapid.SampledFrom([]string{"mw1", "mw1.example.org", "[mw1]:2222", "10.0.0.1", "[10.0.0.1]:2222", "::1", "db1"}).Draw(rt, "host")
		out, _ := exec.Command("ssh-keygen", "-F", host, "-f", name).Output() // exit 1: none
		var theirs, ours []string
		for l := range strings.Lines(string(out)) {
			f := strings.Fields(l)
			if len(f) < 3 || f[0] == "#" {
				continue
			}
			kind := "key"
			if f[0][0] == '@' {
				kind, f = f[0][1:], f[1:]
			}
			if f[1] != "ssh-new" {
				theirs = append(theirs, kind+" "+f[2])
			}
		}
		k, err := (&knownHosts{}).of(&route{known: host, knownFiles: []string{name, filepath.Join(dir, "none")}})
		if err != nil {
			rt.Fatal(err)
		}
		for kind, lines := range map[string][]*knownLine{"key": k.keys, "cert-authority": k.authorities, "revoked": k.revoked} {
			for _, l := range lines {
				ours = append(ours, kind+" "+strings.Fields(string(xssh.MarshalAuthorizedKey(l.key)))[1])
			}
		}
		slices.Sort(theirs)
		slices.Sort(ours)
		if !slices.Equal(slices.Compact(theirs), slices.Compact(ours)) { // a name may be in a line twice
			rt.Fatalf("for %s the program finds %q, we find %q, in\n%s", host, theirs, ours, strings.Join(lines, "\n"))
		}
	})
}

// FuzzKnownHosts: a line of a file never gives another host's key, and a bad file is no more than useless.
func FuzzKnownHosts(f *testing.F) {
	for _, s := range []string{
		"a " + someKeys[0], "@revoked * " + someKeys[1], "|1|AAAA|AAAA " + someKeys[0], "!a,* " + someKeys[0],
		"@cert-authority [a]:1,, " + someKeys[0] + " c", "@x a " + someKeys[0],
		"@revoked @revoked a " + someKeys[0], "a ssh-rsa AAAA", "\x00 \xff",
	} {
		f.Add(s)
	}
	key, _, _, _, err := xssh.ParseAuthorizedKey([]byte(someKeys[0]))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		file := parseKnownHosts([]byte(text))
		all := slices.Clone(file.patterns)
		for _, lines := range file.exact {
			all = append(all, lines...)
		}
		for _, l := range all {
			if l.key == nil || len(l.names) == 0 {
				t.Errorf("%+v", l)
			}
			l.matches("a")
		}
		// Trusted only if some line has the key and says nothing against it.
		k := known{keys: all}
		err := k.check(&route{known: "a"}, key)
		if refused := (*untrusted)(nil); err != nil && !errors.As(err, &refused) {
			t.Errorf("%#v", err)
		}
		if err == nil && !strings.Contains(text, strings.Fields(someKeys[0])[1][:40]) {
			t.Errorf("trusted by %q", text)
		}
	})
}

// TestWildcard against what it means, spelled out.
func TestWildcard(t *testing.T) {
	var slow func(p, s string) bool
	slow = func(p, s string) bool {
		switch {
		case p == "":
			return s == ""
		case p[0] == '*':
			return slow(p[1:], s) || (s != "" && slow(p, s[1:]))
		default:
			return s != "" && (p[0] == '?' || p[0] == s[0]) && slow(p[1:], s[1:])
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		p, s := rapid.StringMatching(`[ab*?]{0,8}`).Draw(t, "pattern"), rapid.StringMatching(`[ab]{0,8}`).Draw(t, "text")
		if wildcard(p, s) != slow(p, s) {
			t.Fatalf("%q, %q: %t", p, s, wildcard(p, s))
		}
	})
	if !wildcard(strings.Repeat("*a", 50)+"*", strings.Repeat("a", 5000)) ||
		wildcard(strings.Repeat("*a", 50)+"b", strings.Repeat("a", 5000)) {
		t.Error("long ones")
	}
}

// TestKnownHostsRead: a file is read again when it has changed.
func TestKnownHostsRead(t *testing.T) {
	name := filepath.Join(t.TempDir(), "known_hosts")
	var k knownHosts
	for i := range 3 {
		found, err := k.of(&route{known: "mw1", knownFiles: []string{name, "/dev/null"}})
		if err != nil || len(found.keys) != i {
			t.Fatalf("%d: %d keys, %v", i, len(found.keys), err)
		}
		put(t, name, strings.Repeat(fmt.Sprintf("mw1 %s\n", someKeys[0]), i+1))
	}
	if _, err := k.of(&route{known: "mw1", knownFiles: []string{name + "/x"}}); err == nil {
		t.Error("a file that cannot be read is taken for none")
	}
}
