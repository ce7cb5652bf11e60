package ssh

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// identities are the keys that we log in with; each file is read once.
type identities struct {
	mu    sync.Mutex
	files map[string]*identity
}

// identity is a file of a private key, or of a public key whose private one an agent has.
type identity struct {
	signer xssh.Signer       // nil: only an agent can sign
	public xssh.PublicKey    // nil: not known
	cert   *xssh.Certificate // NAME-cert.pub; may be nil
	why    string            // there is no signer
	absent bool              // there is no file
}

func (i *identities) read(name string) *identity {
	i.mu.Lock()
	defer i.mu.Unlock()
	if id := i.files[name]; id != nil {
		return id
	}
	id := readIdentity(name)
	if i.files == nil {
		i.files = map[string]*identity{}
	}
	i.files[name] = id
	return id
}

func readIdentity(name string) *identity {
	id := &identity{}
	text, err := os.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		id.why, id.absent = "there is no such file", true
	case err != nil:
		id.why = err.Error()
	default:
		id.signer, err = xssh.ParsePrivateKey(text)
		encrypted := (*xssh.PassphraseMissingError)(nil)
		if err == nil {
			id.public = id.signer.PublicKey()
			// ssh refuses such keys too (authfile.c: sshkey_perm_ok).
			if info, err := os.Stat(name); err == nil && info.Mode().Perm()&0o077 != 0 {
				id.signer, id.why = nil, fmt.Sprintf("others can read it (chmod 600 %s)", name)
			}
		} else if errors.As(err, &encrypted) {
			id.public, id.why = encrypted.PublicKey, "it is encrypted and no agent has it (ssh-add "+name+")"
		} else if public, _, _, _, perr := xssh.ParseAuthorizedKey(text); perr == nil {
			id.public, id.why = public, "it is a public key and no agent has the private one"
		} else {
			id.why = err.Error()
		}
	}
	if id.public == nil {
		id.public = readPublic(name + ".pub")
	}
	if cert, ok := readPublic(name + "-cert.pub").(*xssh.Certificate); ok {
		id.cert = cert
		if id.public == nil {
			id.public = cert.Key
		}
	}
	return id
}

// readPublic returns the public key in a file, or nil.
func readPublic(name string) xssh.PublicKey {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil
	}
	public, _, _, _, err := xssh.ParseAuthorizedKey(text)
	if err != nil {
		return nil
	}
	return public
}

// credentials are the keys that a handshake offers. Who gets them closes them after the handshake.
type credentials struct {
	signers []xssh.Signer
	notes   []string // why something cannot be used
	agent   net.Conn
}

func (p *credentials) close() {
	if p.agent != nil {
		_ = p.agent.Close()
	}
}

// credentials returns the keys to offer on a route, in ssh's order: of the agent's keys those that files name, then its
// others, then those of files alone (sshconnect2.c: pubkey_prepare). A certificate goes before its key.
func (i *identities) credentials(r *route) *credentials {
	p := &credentials{}
	var held []xssh.Signer
	if r.agent != "" {
		conn, err := net.Dial("unix", r.agent) //nolint:noctx // local, and it answers or not
		if err == nil {
			p.agent = conn
			_ = conn.SetDeadline(time.Now().Add(r.timeout)) // an agent that asks somebody waits as long as the host does
			held, err = agent.NewClient(conn).Signers()
		}
		if err != nil {
			p.notes = append(p.notes, fmt.Sprintf("the agent at %s does not answer: %v", r.agent, err))
		}
	}
	taken := make([]bool, len(held))
	fromAgent := func(public xssh.PublicKey) xssh.Signer {
		for n, s := range held {
			if public != nil && string(s.PublicKey().Marshal()) == string(public.Marshal()) {
				taken[n] = true
				return s
			}
		}
		return nil
	}
	var named, files []xssh.Signer
	for _, name := range r.identities {
		id := i.read(name)
		signer, to := fromAgent(id.public), &named
		if signer == nil {
			signer, to = id.signer, &files
		}
		if id.cert != nil {
			if s := fromAgent(id.cert); s != nil {
				named = append(named, s)
			}
		}
		if signer == nil {
			if !id.absent || r.given {
				p.notes = append(p.notes, fmt.Sprintf("%s cannot be used: %s", name, id.why))
			}
			continue
		}
		if id.cert != nil {
			if s, err := xssh.NewCertSigner(id.cert, signer); err == nil {
				*to = append(*to, s)
			} else {
				p.notes = append(p.notes, fmt.Sprintf("%s-cert.pub cannot be used: %v", name, err))
			}
		}
		*to = append(*to, signer)
	}
	p.signers = named
	for n, s := range held {
		if !taken[n] && !r.identitiesOnly {
			p.signers = append(p.signers, s)
		}
	}
	p.signers = append(p.signers, files...)
	return p
}

// refused says what was offered and why some keys were not.
func (p *credentials) refused(user string) string {
	var tried []string
	for _, s := range p.signers {
		key := s.PublicKey()
		tried = append(tried, key.Type()+" "+xssh.FingerprintSHA256(key))
	}
	s := fmt.Sprintf("the host does not let %s in", user)
	if len(tried) > 0 {
		s += " by " + strings.Join(tried[:min(len(tried), 6)], ", ")
	} else {
		s += ": there is no key to show it"
	}
	if len(p.notes) > 0 {
		s += "; " + strings.Join(p.notes[:min(len(p.notes), 6)], "; ")
	}
	return s
}
