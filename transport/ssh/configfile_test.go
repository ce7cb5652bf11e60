package ssh

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fleetsync/fleetsync/transport"
)

// needed finds a program as transporttest.Need does, which a test inside the package cannot import.
func needed(t testing.TB, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err == nil {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is missing", program)
	}
	t.Skipf("%s is missing", program)
}

func put(t testing.TB, name, text string) string {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestSSHConfigAsProgram: what we read of a file is what the program reads (ssh -G is the oracle).
// Planted faults seen to fail it: the last value taken; a pattern with a ! that matches taken for no
// match only; comments at the end of lines kept.
func TestSSHConfigAsProgram(t *testing.T) {
	t.Parallel()
	needed(t, "ssh")
	dir := t.TempDir()
	words := map[string][]string{
		"HostName": {"a.example.org", "B.example.org", "%h.example.net", "10.0.0.1", `"quoted.example.org"`,
			"'single.example.org'", "x%%y"},
		"User":                 {"root", "deploy", `"deploy"`, "a_b"},
		"Port":                 {"22", "2222", "65535"},
		"IdentityFile":         {"/k/one", "/k/two", `"/k/with space"`, `/k/with\ space`, "none"},
		"IdentitiesOnly":       {"yes", "no"},
		"IdentityAgent":        {"none", "/run/agent", "SSH_AUTH_SOCK"},
		"UserKnownHostsFile":   {"/k/hosts", `/k/hosts "/k/more hosts"`, "none", "/dev/null"},
		"GlobalKnownHostsFile": {"/k/global", "none"},
		"HostKeyAlias":         {"alias", "Other"},
		"ConnectTimeout":       {"5", "1m", "1m30s", "none", "1H"},
		"ServerAliveInterval":  {"5", "2m"},
		"ServerAliveCountMax":  {"2", "7"},
		"ProxyJump":            {"none", "jump", "u@jump:2022", "one,two", "ssh://u@jump:2022"},
		"AddressFamily":        {"any", "inet", "inet6"},
		"SendEnv":              {"LANG LC_*"},
		"HashKnownHosts":       {"yes"},
		"GSSAPIAuthentication": {"yes"},
		"Compression":          {"yes", "no"},
	}
	patterns := []string{"mw1", "mw*", "mw?", "*", "!mw1", "!mw*", "db1", "*1", "M*", `"mw1"`, "m*1*"}
	keywords := make([]string, 0, len(words))
	for k := range words {
		keywords = append(keywords, k)
	}
	slices.Sort(keywords)
	line := func(rt *rapid.T) string {
		k := rapid.SampledFrom(keywords).Draw(rt, "keyword")
		v := rapid.SampledFrom(words[k]).Draw(rt, "value")
		k = rapid.SampledFrom([]string{k, strings.ToLower(k), strings.ToUpper(k)}).Draw(rt, "case")
		between := rapid.SampledFrom([]string{" ", "=", " = ", "\t", "  "}).Draw(rt, "between")
		if k = strings.TrimSpace(k); strings.EqualFold(k, "proxyjump") {
			between = " "
		}
		end := rapid.SampledFrom([]string{"", "", " ", "\t", " # a comment", "\r"}).Draw(rt, "end")
		if strings.EqualFold(k, "proxyjump") { // the program takes what follows for a part of it
			end = ""
		}
		return rapid.SampledFrom([]string{"", "  ", "\t"}).Draw(rt, "indent") + k + between + v + end
	}
	var text func(rt *rapid.T, depth int) string
	files := 0
	text = func(rt *rapid.T, depth int) string {
		var lines []string
		for range rapid.IntRange(0, 8).Draw(rt, "lines") {
			switch kind := rapid.IntRange(0, 9).Draw(rt, "kind"); {
			case kind < 2:
				lines = append(lines, "Host "+strings.Join(rapid.SliceOfN(rapid.SampledFrom(patterns), 1, 3).Draw(rt, "patterns"), " "))
			case kind == 2 && depth < 2:
				files++
				name := put(t, filepath.Join(dir, fmt.Sprintf("included%d", files)), text(rt, depth+1))
				lines = append(lines, "Include "+name)
			case kind == 3:
				lines = append(lines, rapid.SampledFrom([]string{"", "# Port 1", "   ", "Match all"}).Draw(rt, "empty"))
			default:
				lines = append(lines, line(rt))
			}
		}
		return strings.Join(lines, "\n") + "\n"
	}
	rapid.Check(t, func(rt *rapid.T) {
		content := text(rt, 0)
		files++
		name := put(t, filepath.Join(dir, fmt.Sprintf("config%d", files)), content)
		host := rapid.SampledFrom([]string{"mw1", "mw22", "db1", "MW1"}).Draw(rt, "host")
		out, err := exec.Command("ssh", "-G", "-F", name, host).Output()
		if err != nil {
			if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
				rt.Fatalf("%v: %s\n%s", err, exit.Stderr, content)
			}
			rt.Fatal(err)
		}
		theirs := map[string][]string{}
		for l := range strings.Lines(string(out)) {
			k, v, _ := strings.Cut(strings.TrimSpace(l), " ")
			theirs[k] = append(theirs[k], v)
		}
		var f configFiles
		d := f.readDirectives(host, name, nil)
		if d.refused != "" {
			rt.Fatalf("refused: %s\n%s", d.refused, content)
		}
		r, jump, err := d.route(transport.Host{Address: host}, Config{})
		if err != nil {
			rt.Fatalf("%v\n%s", err, content)
		}
		same := func(keyword, ours string) {
			t.Helper()
			if its := strings.Join(theirs[keyword], "|"); its != ours {
				rt.Fatalf("%s is %q to the program and %q to us, for %s and\n%s", keyword, its, ours, host, content)
			}
		}
		same("hostname", r.address)
		same("user", r.user)
		same("port", strconv.Itoa(r.port))
		if d.get("hostkeyalias") != "" {
			same("hostkeyalias", r.known)
		}
		same("serveralivecountmax", strconv.Itoa(r.aliveMax))
		if d.get("serveraliveinterval") != "" {
			same("serveraliveinterval", strconv.Itoa(int(r.alive/time.Second)))
		}
		if v := theirs["connecttimeout"][0]; v != "none" {
			same("connecttimeout", strconv.Itoa(int(r.timeout/time.Second)))
		}
		if d.identities != nil {
			same("identityfile", strings.Join(d.identities, "|"))
		}
		if r.identitiesOnly != (theirs["identitiesonly"][0] == "yes") {
			rt.Fatalf("identitiesonly differs:\n%s", content)
		}
		same("identityagent", d.get("identityagent"))
		for _, k := range []string{"userknownhostsfile", "globalknownhostsfile"} {
			if l, ok := d.first[k]; ok {
				same(k, strings.Join(l.args, " "))
			}
		}
		if its := strings.Join(theirs["proxyjump"], ""); (its == "") != (jump == "") {
			rt.Fatalf("proxyjump is %q to the program and %q to us:\n%s", its, jump, content)
		}
	})
}

// TestFallback: what only the program can do, and what is no reason to.
func TestFallback(t *testing.T) {
	dir := t.TempDir()
	part := put(t, filepath.Join(dir, "part"), "Match exec true\n  User nobody\n")
	harmlessPart := put(t, filepath.Join(dir, "harmless"), "Match final all\n  GSSAPIAuthentication yes\n  SendEnv LANG\n")
	for config, want := range map[string]string{
		"":                               "",
		"ProxyCommand nc %h %p":          "line 1: proxycommand",
		"ProxyCommand none":              "",
		"ProxyJump none\nProxyCommand x": "",
		"Host mw1\n ProxyJump a\n ProxyCommand x":                                            "",
		"Host mw1\n ProxyCommand none\n ProxyJump a":                                         "",
		"Match exec false\n RevokedHostKeys none\nHost *\n RevokedHostKeys /etc/ssh/revoked": "line 4: revokedhostkeys",
		"Match exec false\n PubkeyAuthentication yes\nHost *\n PubkeyAuthentication no":      "line 4: pubkeyauthentication",
		"CertificateFile none\nCertificateFile /root/x-cert.pub":                             "line 2: certificatefile",
		"RevokedHostKeys none\nRevokedHostKeys /etc/ssh/revoked":                             "",
		"Host other\n ProxyCommand x":                                                        "",
		"Host mw*\n ProxyCommand x":                                                          "line 2: proxycommand",
		"Host a\n ProxyCommand x\nHost mw1\n ProxyJump a":                                    "jump host a: ",
		"Match host other\n User x":                                                          "user in a Match block",
		"Match all\n User x":                                                                 "",
		"User y\nMatch user y\n User x":                                                      "",
		"Match canonical\n SendEnv X":                                                        "",
		"Match exec true\n PKCS11Provider /x":                                                "pkcs11provider",
		"Host other\nMatch all\n":                                                            "",
		"Include " + part:                                                                    part + " line 2: user in a Match block",
		"Host other\n Include " + part:                                                       "",
		"Include " + harmlessPart:                                                            "",
		"Include /nowhere/*":                                                                 "",
		"Include ~somebody/x":                                                                "not understood",
		"PKCS11Provider /lib/x.so":                                                           "pkcs11provider",
		"PKCS11Provider none":                                                                "",
		"SecurityKeyProvider internal":                                                       "",
		"SecurityKeyProvider /lib/x":                                                         "securitykeyprovider",
		"CertificateFile /x":                                                                 "certificatefile",
		"CanonicalizeHostname yes":                                                           "canonicalizehostname",
		"CanonicalizeHostname no":                                                            "",
		"KnownHostsCommand /x":                                                               "knownhostscommand",
		"RevokedHostKeys /x":                                                                 "revokedhostkeys",
		"VerifyHostKeyDNS yes":                                                               "verifyhostkeydns",
		"BindAddress 10.0.0.1":                                                               "bindaddress",
		"PubkeyAuthentication no":                                                            "pubkeyauthentication",
		"PubkeyAuthentication yes\nPubkeyAuthentication no":                                  "",
		"HostbasedAuthentication yes":                                                        "hostbasedauthentication",
		"PreferredAuthentications keyboard-interactive":                                      "preferredauthentications",
		"SendEnv LANG LC_*\nHashKnownHosts yes\nGSSAPIAuthentication yes":                    "",
		"StrictHostKeyChecking no":                                                           "",
		"ControlMaster auto\nControlPath ~/x":                                                "",
		"ForwardAgent yes\nLocalForward 1 a:2":                                               "",
		"NewKeyword yes":                                                                     "newkeyword is not known",
		"IgnoreUnknown New*,Use*\nNewKeyword yes":                                            "",
		"Port x":                          "port x: is no port",
		"Port 22 23":                      "wrong number of arguments",
		"Port":                            "has no argument",
		`User "x`:                         "has a quote that does not end",
		"HostName %z":                     "the token %z is not known",
		"HostName -oProxyCommand=x":       "is no address",
		"HostName a@b":                    "is no address",
		"ProxyJump -oProxyCommand=x":      "is no host",
		"ProxyJump a:b:c@d:x":             "is no host",
		"IdentityFile ${NOT_SET_HERE}/x":  "not in the environment",
		"IdentityFile ~other/x":           "not understood",
		"KexAlgorithms curve25519-sha256": "",
		"KexAlgorithms sntrup761x25519-sha512@openssh.com":                   "none of them is known",
		"KexAlgorithms sntrup761x25519-sha512@openssh.com,curve25519-sha256": "",
		"Ciphers -aes*":              "",
		"MACs none-such":             "none of them is known",
		"ConnectTimeout 9999999999w": "connecttimeout",
	} {
		d := Dialer{Config: Config{ConfigFile: put(t, filepath.Join(dir, "config"), config)}}
		conn, err := d.Dial(transport.Host{Name: "one", Address: "mw1"})
		if err != nil {
			t.Fatal(err)
		}
		_, isNative := conn.(*native)
		f := d.Fallbacks()
		switch {
		case want == "" && (!isNative || len(f) > 0):
			t.Errorf("%q: not native: %v", config, f)
		case want != "" && (isNative || len(f) != 1 || f[0].Host != "one" || !strings.Contains(f[0].Reason, want)):
			t.Errorf("%q: %v, not %q", config, f, want)
		}
	}
	d := Dialer{Config: Config{ConfigFile: filepath.Join(dir, "nothing")}}
	if _, err := d.Dial(transport.Host{Name: "one"}); err != nil || len(d.Fallbacks()) != 1 {
		t.Errorf("a configuration that is not there: %v, %v", err, d.Fallbacks())
	}
	d = Dialer{Config: Config{Client: "putty"}}
	if _, err := d.Dial(transport.Host{Name: "one"}); err == nil {
		t.Error("a client that is none is not refused")
	}
}

// TestRoute: what is given outranks what the configuration says, and options outrank both files.
func TestRoute(t *testing.T) {
	name := put(t, filepath.Join(t.TempDir(), "config"),
		"Host mw1\n HostName mw1.example.org\n Port 1\n User a\n KexAlgorithms ^curve25519-sha256\n Ciphers -*\n")
	var f configFiles
	r, err := f.route(transport.Host{Address: "mw1", Port: 2, User: "b"}, Config{ConfigFile: name, Options: []string{"HostName=other",
		"Ciphers=aes256-ctr"}, ConnectTimeout: time.Second}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if r.address != "other" || r.port != 2 || r.user != "b" || r.timeout != time.Second || r.known != "[other]:2" || r.plain != "other" ||
		r.kex[0] != "curve25519-sha256" || len(r.kex) < 3 || len(r.ciphers) != 1 {
		t.Errorf("%+v", r)
	}
}

// FuzzSSHConfig: no file makes it fail other than by a reason, and no address gets through that the program would misread.
func FuzzSSHConfig(f *testing.F) {
	for _, s := range []string{
		"Host *\n  User x", "Host = a !b\nPort=1", `IdentityFile "a b" c`, "Include *", "ProxyJump ssh://a@[::1]:2,b", "ConnectTimeout 1h2m3s",
		"HostName %h%%\nHostKeyAlias ${HOME}", "Ciphers +a*,-b", "Match host a exec b\nUser c", "UserKnownHostsFile a\\ b 'c' # d",
		"KexAlgorithms ^*",
	} {
		f.Add(s)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(strings.ToLower(text), "include") {
			return // not the files of this machine
		}
		var files configFiles
		r, err := files.route(transport.Host{Address: "mw1"}, Config{ConfigFile: put(t, filepath.Join(dir, "config"), text)}, 0)
		if err != nil {
			if only := errOnlyProgram(""); !errors.As(err, &only) || err.Error() == "" || transport.Neutral(err.Error()) != err.Error() {
				t.Errorf("%#v", err)
			}
			return
		}
		for ; r != nil; r = r.via {
			if err := validHost(transport.Host{Address: r.address, User: r.user, Port: r.port}); err != nil || r.port == 0 ||
				r.timeout <= 0 || r.alive <= 0 || r.aliveMax < 1 {
				t.Errorf("%v: %+v", err, r)
			}
		}
	})
}
