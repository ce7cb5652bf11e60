package ssh

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	xssh "golang.org/x/crypto/ssh"
)

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
			return a == t || (t == xssh.KeyAlgoRSA && (a == xssh.KeyAlgoRSASHA256 || a == xssh.KeyAlgoRSASHA512))
		})
	})
}

// untrusted is why a host key is not trusted.
type untrusted struct{ message string }

// check tells whether a host has shown a key that is known to be its own.
func (k known) check(r *route, key xssh.PublicKey) error {
	cert, isCert := key.(*xssh.Certificate)
	has := func(lines []*knownLine, key xssh.PublicKey) bool {
		blob := string(key.Marshal())
		return slices.ContainsFunc(lines, func(l *knownLine) bool { return l.blob == blob })
	}
	plain := key
	if isCert {
		plain = cert.Key
	}
	shown := fmt.Sprintf("%s %s", plain.Type(), xssh.FingerprintSHA256(plain))
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
	return &untrusted{fmt.Sprintf("the host key of %s has changed (now %s; others are in %s): somebody may be in between; "+
		"if the host was installed anew, check the fingerprint and replace the key there", r.known, shown, strings.Join(r.knownFiles, ", "))}
}

// checkHostCertificate tells whether a certificate is valid for a name now. Its authority is trusted. The
// names in it are no patterns (seen: OpenSSH 9.2).
func checkHostCertificate(cert *xssh.Certificate, name string) error {
	if cert.CertType != xssh.HostCert {
		return errors.New("it is of a user")
	}
	if cert.Signature == nil || cert.Signature.Format == xssh.KeyAlgoRSA || cert.Signature.Format == "ssh-dss" {
		return errors.New("it is signed by SHA-1") // not in CASignatureAlgorithms (ssh_config(5))
	}
	return (&xssh.CertChecker{}).CheckCert(name, cert)
}
