package inventory

import (
	"time"

	"gopkg.in/yaml.v3"
)

// maxConnections is what no machine has ports for; a number beyond it is a mistake.
const maxConnections = 60_000

func (p *policyParser) readSSH(n *yaml.Node) {
	s := &p.policy.SSH
	p.mapping(n, "ssh", keys{
		"client": func(n *yaml.Node) {
			if text, ok := p.text(n, checkSSHClient); ok {
				s.Client = SSHClient(text)
			}
		},
		"config":          p.localPath(&s.ConfigFile),
		"max_connections": p.numberInto(&s.MaxConnections, 1, maxConnections),
		"connect_timeout": p.durationInto(&s.ConnectTimeout, time.Second),
	})
}

func checkSSHClient(s string) *fault {
	switch SSHClient(s) {
	case SSHNative, SSHOpenSSH:
		return nil
	default:
		known := []string{string(SSHNative), string(SSHOpenSSH)}
		return faultf(didYouMean(s, known)+"write native or openssh", "unknown ssh client %s", quote(s))
	}
}
