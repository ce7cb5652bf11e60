package inventory

import "gopkg.in/yaml.v3"

func (p *policyParser) readVerify(n *yaml.Node) {
	p.textInto((*string)(&p.policy.Verify), checkVerify)(n)
}

var checkVerify = oneOf("choice of hosts", "write none, sample or all; canaries and proxies are verified in any case", VerifyNone,
	VerifySample, VerifyAll)
