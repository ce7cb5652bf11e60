package ssh

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // what known_hosts files hash names with
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// knownHosts are the keys that known_hosts files have, as sshd(8), SSH_KNOWN_HOSTS FILE FORMAT, says.
// A file is read again when it has changed.
//
// golang.org/x/crypto/ssh/knownhosts is not enough: one line that it cannot read makes a file useless
// to it, it takes the key of an authority for a host's own, matches no pattern to a host on another port, tries
// every line for every host, and does not tell which keys it has, so that one cannot ask the host for one of those.
type knownHosts struct {
	mu    sync.Mutex
	files map[string]*knownFile
}

// knownFile is one file as it was at a time. Nothing in it is changed.
type knownFile struct {
	size     int64
	modified time.Time

	exact    map[string][]*knownLine // by name
	patterns []*knownLine            // all else
}

type knownLine struct {
	marker string // "", cert-authority, revoked
	names  []string
	key    ssh.PublicKey
	blob   string // the key as it goes over the wire
}

// parseKnownHosts reads a file. Lines that cannot be read are left out, as ssh does: other versions know other keys.
func parseKnownHosts(text []byte) *knownFile {
	f := &knownFile{exact: map[string][]*knownLine{}}
	for line := range bytes.SplitSeq(text, []byte("\n")) {
		marker, names, key, _, _, err := ssh.ParseKnownHosts(line)
		if err != nil || (marker != "" && marker != "cert-authority" && marker != "revoked") {
			continue
		}
		l := &knownLine{marker: marker, names: names, key: key, blob: string(key.Marshal())}
		if slices.ContainsFunc(names, func(n string) bool { return n == "" || strings.ContainsAny(n, "*?!|") }) {
			f.patterns = append(f.patterns, l)
			continue
		}
		for _, n := range names {
			n = strings.ToLower(n)
			f.exact[n] = append(f.exact[n], l)
		}
	}
	return f
}

// matches tells whether a line is of a name (hostfile.c: match_hostname). A pattern with a ! that
// matches makes it not so, whatever the others say.
func (l *knownLine) matches(name string) bool {
	found := false
	for _, p := range l.names {
		not := strings.HasPrefix(p, "!")
		p = strings.TrimPrefix(p, "!")
		var is bool
		if strings.HasPrefix(p, "|") {
			is = hashMatches(p, name)
		} else {
			is = wildcard(strings.ToLower(p), name)
		}
		if is && not {
			return false
		}
		found = found || is
	}
	return found
}

// hashMatches tells whether |1|salt|hash is of a name (hostfile.c: host_hash).
func hashMatches(hashed, name string) bool {
	parts := strings.Split(hashed, "|")
	if len(parts) != 4 || parts[0] != "" || parts[1] != "1" {
		return false
	}
	salt, err1 := base64.StdEncoding.DecodeString(parts[2])
	hash, err2 := base64.StdEncoding.DecodeString(parts[3])
	if err1 != nil || err2 != nil {
		return false
	}
	mac := hmac.New(sha1.New, salt)
	mac.Write([]byte(name))
	return hmac.Equal(mac.Sum(nil), hash)
}

func (k *knownHosts) read(name string) (*knownFile, error) {
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return &knownFile{}, nil
	}
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if f := k.files[name]; f != nil && f.size == info.Size() && f.modified.Equal(info.ModTime()) {
		return f, nil
	}
	if !info.Mode().IsRegular() { // /dev/null says that there are none
		return &knownFile{}, nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	f := parseKnownHosts(text)
	f.size, f.modified = info.Size(), info.ModTime()
	if k.files == nil {
		k.files = map[string]*knownFile{}
	}
	k.files[name] = f
	return f, nil
}

// known is what is known of one host.
type known struct {
	keys, authorities, revoked []*knownLine
}

// of returns what the files of r say of its host. A file that cannot be read is an error: it may be
// the one that revokes a key.
func (k *knownHosts) of(r *route) (known, error) {
	find := func(name string) (known, error) {
		var all known
		for _, file := range r.knownFiles {
			f, err := k.read(file)
			if err != nil {
				return known{}, err
			}
			lines := slices.Clone(f.exact[name])
			for _, l := range f.patterns {
				if l.matches(name) {
					lines = append(lines, l)
				}
			}
			for _, l := range lines {
				switch l.marker {
				case "revoked":
					all.revoked = append(all.revoked, l)
				case "cert-authority":
					all.authorities = append(all.authorities, l)
				default:
					all.keys = append(all.keys, l)
				}
			}
		}
		return all, nil
	}
	all, err := find(strings.ToLower(r.known))
	if err != nil || r.plain == "" {
		return all, err
	}
	// Where nothing is known with the port, ssh looks without (sshconnect.c: check_host_key). What is revoked there, is.
	plain, err := find(r.plain)
	if len(all.keys) == 0 && len(all.authorities) == 0 {
		all.keys, all.authorities = plain.keys, plain.authorities
	}
	all.revoked = append(all.revoked, plain.revoked...)
	return all, err
}

// hostKeyAlgorithms are those we take, best first. Those of certificates come before all others. Nobody changes them.
var hostKeyAlgorithms = sync.OnceValue(func() []string {
	all := safeAlgorithms().HostKeys
	first := []string{
		ssh.CertAlgoED25519v01, ssh.CertAlgoECDSA256v01, ssh.CertAlgoECDSA384v01, ssh.CertAlgoECDSA521v01, ssh.CertAlgoRSASHA512v01,
		ssh.CertAlgoRSASHA256v01,
		ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256,
	}
	rest := slices.DeleteFunc(slices.Clone(all), func(a string) bool { return slices.Contains(first, a) })
	first = slices.DeleteFunc(first, func(a string) bool { return !slices.Contains(all, a) })
	return append(first, rest...)
})

// algorithms returns the host key algorithms to ask the host for: those of keys that are known, and
// those of certificates if an authority is. Otherwise a host with two keys might show the one that is not known.
func (k known) algorithms(r *route) []string {
	wanted := r.hostKeys
	if wanted == nil {
		wanted = hostKeyAlgorithms()
	}
	if len(k.keys) == 0 && len(k.authorities) == 0 {
		return wanted // it is refused, but the message names the key
	}
	return slices.DeleteFunc(slices.Clone(wanted), func(a string) bool {
		if strings.Contains(a, "-cert-v0") {
			return len(k.authorities) == 0
		}
		return !slices.ContainsFunc(k.keys, func(l *knownLine) bool {
			t := l.key.Type()
			return a == t || (t == ssh.KeyAlgoRSA && (a == ssh.KeyAlgoRSASHA256 || a == ssh.KeyAlgoRSASHA512))
		})
	})
}

// untrusted is why a host key is not trusted.
type untrusted struct{ message string }

func (e *untrusted) Error() string { return e.message }

// check tells whether a host has shown a key that is known to be its own.
func (k known) check(r *route, key ssh.PublicKey) error {
	cert, isCert := key.(*ssh.Certificate)
	has := func(lines []*knownLine, key ssh.PublicKey) bool {
		blob := string(key.Marshal())
		return slices.ContainsFunc(lines, func(l *knownLine) bool { return l.blob == blob })
	}
	plain := key
	if isCert {
		plain = cert.Key
	}
	shown := fmt.Sprintf("%s %s", plain.Type(), ssh.FingerprintSHA256(plain))
	if has(k.revoked, key) || has(k.revoked, plain) || (isCert && has(k.revoked, cert.SignatureKey)) {
		return &untrusted{fmt.Sprintf("the host key of %s is revoked (%s): do not use this host before you know why", r.known, shown)}
	}
	if isCert && has(k.authorities, cert.SignatureKey) {
		if err := checkHostCertificate(cert, r.principal); err != nil {
			return &untrusted{fmt.Sprintf("the host certificate of %s is not valid: %v; have it signed again", r.known, err)}
		}
		return nil
	}
	if has(k.keys, plain) {
		return nil
	}
	if len(k.keys) == 0 {
		what := "no entry for it"
		if len(k.authorities) > 0 {
			what = "no certificate by an authority of its"
		}
		return &untrusted{fmt.Sprintf("the host key of %s is not known (%s; %s in %s): check the fingerprint, then add the key there",
			r.known, shown, what, strings.Join(r.knownFiles, ", "))}
	}
	return &untrusted{fmt.Sprintf("the host key of %s has changed (now %s; others are in %s): somebody may be in between; if the host was installed anew, check the fingerprint and replace the key there",
		r.known, shown, strings.Join(r.knownFiles, ", "))}
}

// checkHostCertificate tells whether a certificate is valid for a name now. Its authority is trusted. The
// names in it are no patterns (seen: OpenSSH 9.2).
func checkHostCertificate(cert *ssh.Certificate, name string) error {
	if cert.CertType != ssh.HostCert {
		return errors.New("it is of a user")
	}
	if cert.Signature == nil || cert.Signature.Format == ssh.KeyAlgoRSA || cert.Signature.Format == "ssh-dss" {
		return errors.New("it is signed by SHA-1") // not in CASignatureAlgorithms (ssh_config(5))
	}
	return (&ssh.CertChecker{}).CheckCert(name, cert)
}
