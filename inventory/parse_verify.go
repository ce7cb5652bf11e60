package inventory

import "gopkg.in/yaml.v3"

func (p *policyParser) readVerify(n *yaml.Node) {
	if s, ok := p.text(n, checkVerify); ok {
		p.policy.Verify = Verify(s)
	}
}

func checkVerify(s string) *fault {
	switch Verify(s) {
	case VerifyNone, VerifySample, VerifyAll:
		return nil
	default:
		known := []string{string(VerifyNone), string(VerifySample), string(VerifyAll)}
		return faultf(didYouMean(s, known)+"write none, sample or all; canaries and proxies are verified in any case", "unknown choice of hosts %s", quote(s))
	}
}
