package ssh_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fleetsync/fleetsync/transport"
	"github.com/fleetsync/fleetsync/transport/ssh"
	"github.com/fleetsync/fleetsync/transport/transporttest"
)

// TestNativeTrust: planted faults seen to fail it: the algorithms not asked for by what is known; the
// key of an authority taken for a host's; names in certificates, and revoked keys, not looked at.
func TestNativeTrust(t *testing.T) {
	t.Parallel()
	ecdsa, authority, other := transporttest.Key(t, "ecdsa"), transporttest.Key(t, "ed25519"), transporttest.Key(t, "ed25519")
	plain := transporttest.StartSSHD(t, "HostKey "+ecdsa)
	rsa := transporttest.Key(t, "rsa")
	certified := func(args ...string) *transporttest.SSHD {
		key := filepath.Join(t.TempDir(), "rsa")
		for _, end := range []string{"", ".pub"} {
			if err := os.WriteFile(key+end, []byte(read1(t, rsa+end)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return transporttest.StartSSHD(t, "HostKey "+key, "HostCertificate "+transporttest.Certify(t, authority, key,
			append([]string{"-h"}, args...)...))
	}
	valid := certified("-n", "127.0.0.1,mw1,*.example.org")
	expired := certified("-n", "127.0.0.1", "-V", "20200101:20200102")
	key := func(file string) string { return transporttest.PublicKey(t, file) }
	ca := key(authority)
	// N is the name known_hosts have for the daemon.
	for name, c := range map[string]struct {
		at     *transporttest.SSHD
		known  string
		config string
		want   string // empty: trusted
	}{
		"known":                 {plain, "N " + key(plain.HostKey), "", ""},
		"known, another type":   {plain, "N " + key(ecdsa), "", ""},
		"known, without a port": {plain, "127.0.0.1 " + key(plain.HostKey), "", ""},
		"known, hashed":         {plain, "HASH " + key(ecdsa), "", ""},
		"known, by a pattern":   {plain, "mw*,[127.0.0.?]:*,!mw2 " + key(ecdsa), "", ""},
		"known, by its alias":   {plain, "mw7 " + key(ecdsa), "HostKeyAlias mw7", ""},
		"known, among bad lines": {plain,
			"N ssh-new AAAA\nnonsense\nN ssh-ed25519 AAAA\n|1|x|y " + key(other) + "N " + key(ecdsa), "", ""},
		"unknown":                         {plain, "[127.0.0.1]:1 " + key(plain.HostKey), "", "is not known"},
		"unknown, no file":                {plain, "", "", "is not known"},
		"unknown, accept-new":             {plain, "", "StrictHostKeyChecking accept-new", "is not known"},
		"excepted":                        {plain, "*,!mw7 " + key(plain.HostKey), "HostKeyAlias mw7", "is not known"},
		"changed":                         {plain, "N " + key(other), "", "has changed"},
		"changed, another too":            {plain, "N " + key(other) + "N " + key(ecdsa), "HostKeyAlgorithms ssh-ed25519", "has changed"},
		"changed, and its type":           {plain, "N " + key(transporttest.Key(t, "rsa")), "", "no host key of a type that is known"},
		"of no algorithm we allow":        {plain, "N " + key(ecdsa), "HostKeyAlgorithms ssh-ed25519", "nothing in common"},
		"revoked":                         {plain, "@revoked * " + key(plain.HostKey) + "N " + key(plain.HostKey), "", "is revoked"},
		"revoked, another's":              {plain, "@revoked other " + key(plain.HostKey) + "N " + key(plain.HostKey), "", ""},
		"certified":                       {valid, "@cert-authority N " + ca, "", ""},
		"certified, any host":             {valid, "@cert-authority * " + ca + "N " + key(other), "", ""},
		"certified, by its alias":         {valid, "@cert-authority mw1 " + ca, "HostKeyAlias mw1", ""},
		"certified, a pattern":            {valid, "@cert-authority mw9.example.org " + ca, "HostKeyAlias mw9.example.org", "not valid"},
		"certified, and known":            {valid, "N " + key(valid.HostKey) + "N " + key(rsa), "", ""},
		"certified by another, and known": {valid, "@cert-authority * " + key(other) + "N " + key(rsa), "", ""},
		"certified, another's name":       {valid, "@cert-authority * " + ca, "HostKeyAlias mw2", "not valid"},
		"certified, too late":             {expired, "@cert-authority * " + ca, "", "expired"},
		"certified by another":            {valid, "@cert-authority * " + key(other), "", "no certificate by an authority"},
		"certified, not here":             {valid, "@cert-authority *.example.org " + ca, "", "is not known"},
		"certified, revoked":              {valid, "@cert-authority * " + ca + "@revoked * " + ca, "", "is revoked"},
		"not certified":                   {plain, "@cert-authority N " + ca, "", "shows no host certificate"},
		"an authority's own key": {plain, "@cert-authority N " + key(plain.HostKey) + "N " + key(other),
			"HostKeyAlgorithms ssh-ed25519", "has changed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := fmt.Sprintf("[127.0.0.1]:%d", c.at.Port)
			known := strings.ReplaceAll(c.known, "N ", at+" ")
			if strings.HasPrefix(known, "HASH") {
				f := file(t, strings.Replace(known, "HASH", at, 1))
				hash(t, f)
				known = read1(t, f)
				if strings.Contains(known, at) {
					t.Fatal("not hashed")
				}
			}
			err := says(t, dial(t, dialer(t, append([]string{c.config}, knowing(t, c.at, known)...)...), c.at.Host()))
			// The program's opinion is the oracle.
			program := ssh.Dialer{Config: ssh.Config{
				Client: ssh.ClientOpenSSH, Options: []string{"StrictHostKeyChecking=yes"},
				ConfigFile: file(t, strings.Join(append([]string{c.config}, knowing(t, c.at, known)...), "\n")+"\n"),
			}}
			if its := says(t, dial(t, &program, c.at.Host())); (its == nil) != (c.want == "") {
				t.Errorf("the program says: %v", its)
			}
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			refused(t, err, transport.ClassPermanent, c.want)
			t.Log(err)
		})
	}
}

// hash hashes the names of a known_hosts file.
func hash(t *testing.T, name string) {
	t.Helper()
	r, err := transport.Local{}.Run(t.Context(), transport.Command{Args: []string{"ssh-keygen", "-q", "-H", "-f", name}})
	if err != nil || r.ExitCode != 0 {
		t.Fatal(r, err)
	}
}
