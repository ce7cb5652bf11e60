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
		"client":          p.textInto((*string)(&s.Client), checkSSHClient),
		"config":          p.localPath(&s.ConfigFile),
		"max_connections": p.numberInto(&s.MaxConnections, 1, maxConnections),
		"connect_timeout": p.durationInto(&s.ConnectTimeout, time.Second),
	})
}

var checkSSHClient = oneOf("ssh client", "write native or openssh", SSHNative, SSHOpenSSH)
