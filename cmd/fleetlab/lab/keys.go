//go:build linux

package lab

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// keyring makes the ssh files of a lab: an authority that signs every host's key, and a user's key that
// every host lets in as root.
type keyring struct {
	dir  string // of the lab
	ca   ssh.Signer
	user ssh.PublicKey
}

// newKeyring writes the lab's own ssh files, to the folder ssh: id and id.pub, ca.pub, known_hosts with one
// line, which trusts the authority, and ssh_config.
func newKeyring(dir string) (*keyring, error) {
	k := &keyring{dir: dir}
	own := filepath.Join(dir, "ssh")
	ca, _, err := newKey()
	if err != nil {
		return nil, err
	}
	k.ca = ca
	user, private, err := newKey()
	if err != nil {
		return nil, err
	}
	k.user = user.PublicKey()
	authority := string(ssh.MarshalAuthorizedKey(ca.PublicKey()))
	return k, writeAll(own, []file{
		{"id", private, 0o600},
		{"id.pub", string(ssh.MarshalAuthorizedKey(k.user)), 0o644},
		{"ca.pub", authority, 0o644},
		{"known_hosts", "@cert-authority * " + authority, 0o644},
		{"ssh_config", k.clientConfig(), 0o644},
	})
}

func (k *keyring) clientConfig() string {
	own := filepath.Join(k.dir, "ssh")
	return strings.Join([]string{
		"Host *",
		"    User root",
		"    IdentityFile " + filepath.Join(own, "id"),
		"    IdentitiesOnly yes",
		"    UserKnownHostsFile " + filepath.Join(own, "known_hosts"),
		"    GlobalKnownHostsFile none",
		"    StrictHostKeyChecking yes",
		"    UpdateHostKeys no",
	}, "\n") + "\n"
}

// writeHost writes what a host has as /etc/ssh.
func (k *keyring) writeHost(h Host) error {
	key, private, err := newKey()
	if err != nil {
		return err
	}
	certificate := &ssh.Certificate{
		Key: key.PublicKey(), CertType: ssh.HostCert, KeyId: h.Name, ValidPrincipals: []string{h.Name, h.Address},
		// A host of the lab may have a clock of its own.
		ValidAfter: 0, ValidBefore: ssh.CertTimeInfinity,
	}
	if err := certificate.SignCert(rand.Reader, k.ca); err != nil {
		return fmt.Errorf("cannot sign the key of %s: %w", h.Name, err)
	}
	return writeAll(filepath.Join(hostDir(k.dir, h.Name), "ssh"), []file{
		{"host_key", private, 0o600},
		{"host_key.pub", string(ssh.MarshalAuthorizedKey(key.PublicKey())), 0o644},
		{"host_key-cert.pub", string(ssh.MarshalAuthorizedKey(certificate)), 0o644},
		{"authorized_keys", string(ssh.MarshalAuthorizedKey(k.user)), 0o600},
		{"ssh_config", k.clientConfig(), 0o644},
		{"sshd_config", strings.Join([]string{
			"AddressFamily inet",
			"Port 22",
			"ListenAddress " + h.Address,
			"HostKey /etc/ssh/host_key",
			"HostCertificate /etc/ssh/host_key-cert.pub",
			"AuthorizedKeysFile /etc/ssh/authorized_keys",
			"PermitRootLogin prohibit-password",
			"PasswordAuthentication no",
			"KbdInteractiveAuthentication no",
			"UsePAM no", // the machine's rules are not the lab's
			"PidFile /run/sshd.pid",
			"Include " + clockFolder + "/*.conf", // none, unless the clock is wrong
			"PrintMotd no",
			"Subsystem sftp internal-sftp",
		}, "\n") + "\n", 0o644},
	})
}

func newKey() (ssh.Signer, string, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, "", fmt.Errorf("cannot make a key: %w", err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return nil, "", fmt.Errorf("cannot make a key: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(private, "fleetlab "+time.Now().UTC().Format(time.RFC3339))
	if err != nil {
		return nil, "", fmt.Errorf("cannot make a key: %w", err)
	}
	return signer, string(pem.EncodeToMemory(block)), nil
}

// file is a file to write.
type file struct {
	name, content string
	mode          os.FileMode
}

// writeAll writes files to a folder, which it makes.
func writeAll(dir string, files []file) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(dir, f.name), []byte(f.content), f.mode); err != nil {
			return err
		}
	}
	return nil
}
