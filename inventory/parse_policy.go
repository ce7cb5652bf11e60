package inventory

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"gopkg.in/yaml.v3"
)

// LoadPolicy reads a policy file, and the password file that it may name. An error about its content
// is of type Problems.
func LoadPolicy(path string) (*Policy, error) {
	data, err := read(path, "policy")
	if err != nil {
		return nil, err
	}
	return ParsePolicy(path, data)
}

// ParsePolicy reads a policy. The name stands for it in errors, which are of type Problems and hold
// every mistake of the file; relative paths in it start at the name's folder. The only file that
// ParsePolicy reads is the password file.
func ParsePolicy(name string, data []byte) (*Policy, error) {
	d, root := parse(name, data)
	if root == nil {
		return nil, d.problems.orNil()
	}
	p := policyParser{document: d}
	p.policy, p.settings = defaults()
	p.read(root)
	if err := d.problems.orNil(); err != nil {
		return nil, err
	}
	return &p.policy, nil
}

type policyParser struct {
	*document
	policy   Policy
	settings Settings // those of the file, over which modes have theirs

	poolPrefix, lockPrefix *yaml.Node // nil: the file does not hold it
}

func (p *policyParser) read(root *yaml.Node) {
	var modes *yaml.Node
	p.mapping(root, "a policy", keys{
		"inventory": p.localPath(&p.policy.Inventory),
		"state":     p.localPath(&p.policy.State),
		"pooling":   p.readPooling,
		"batches":   func(n *yaml.Node) { p.readBatches(n, &p.settings.Batches) },
		"gate":      func(n *yaml.Node) { p.readGate(n, &p.settings.Gate) },
		"rsync":     p.readRsync,
		"modes":     keep(&modes),
		"lock":      p.readLock,
		"guard":     p.readGuard,
		"verify":    p.readVerify,
		"keep":      p.readKeep,
		"ssh":       p.readSSH,
		"hooks":     p.readHooks,
	}, "inventory")
	p.checkPrefixes()

	sync, canary, resync := p.settings, p.settings, p.settings
	if modes != nil {
		p.mapping(modes, "modes", keys{
			string(ModeSync):   p.modeInto(&sync),
			string(ModeCanary): p.modeInto(&canary),
			string(ModeResync): p.modeInto(&resync),
		})
	}
	p.policy.settings = map[Mode]Settings{ModeSync: sync, ModeCanary: canary, ModeResync: resync}
}

// modeInto returns a reader of what a mode overrides for keys.
func (p *policyParser) modeInto(s *Settings) func(*yaml.Node) {
	return func(n *yaml.Node) {
		p.mapping(n, "a mode", keys{
			"batches": func(n *yaml.Node) { p.readBatches(n, &s.Batches) },
			"gate":    func(n *yaml.Node) { p.readGate(n, &s.Gate) },
		})
	}
}

// localPath returns a reader of a path on this machine for keys.
func (p *policyParser) localPath(into *string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if s, ok := p.text(n, checkLocalPath); ok {
			*into = p.resolve(s)
		}
	}
}

// resolve returns a path that the file holds as one that the program can open.
func (p *policyParser) resolve(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(filepath.Dir(p.name), path)
}

// checkLocalPath says what is wrong with a path on this machine.
func checkLocalPath(s string) *fault {
	switch {
	case s == "":
		return faultf("write a path; a relative one starts at the policy file's folder", "the path is empty")
	case len(s) > maxPath:
		return faultf("", "path %s is longer than %d bytes", quote(s), maxPath)
	case strings.HasPrefix(s, "~"):
		return faultf("write the folder out; only a shell knows ~", "bad path %s", quote(s))
	}
	return checkPrintable(s)
}

// checkPrintable says when text holds what a terminal would not print.
func checkPrintable(s string) *fault {
	if i := strings.IndexFunc(s, func(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsPrint(r) }); i >= 0 {
		return faultf("remove it", "%s holds a character that cannot be printed", quote(s)).at(i)
	}
	return nil
}

// Limits that no fleet comes near; a number beyond them is a mistake.
const (
	maxParallel = 10_000
	maxAttempts = 10
)

func (p *policyParser) readBatches(n *yaml.Node, b *Batches) {
	p.mapping(n, "batches", keys{
		"parallel": p.numberInto(&b.Parallel, 1, maxParallel),
		"attempts": p.numberInto(&b.Attempts, 1, maxAttempts),
		"timeout":  p.durationInto(&b.Timeout, time.Second),
		"ramp":     func(n *yaml.Node) { b.Ramp = p.readRamp(n) },

		"max_failures": p.amountInto(&b.MaxFailures, "hosts"),
		"down":         p.textInto((*string)(&b.Down), checkDown),
	})
}

var checkDown = oneOf("answer to hosts that are down", "write skip or try", DownSkip, DownTry)

func (p *policyParser) readRamp(n *yaml.Node) []Amount {
	var ramp []Amount
	for _, item := range p.items(n, "ramp") {
		a, ok := p.amount(item, "hosts")
		switch {
		case !ok:
		case a.Count == 0 && a.BasisPoints == 0:
			p.report(item, "write the size of a batch, such as 5% or 8", "a batch of no hosts")
		default:
			ramp = append(ramp, a)
		}
	}
	return ramp
}

func (p *policyParser) readRsync(n *yaml.Node) {
	r := &p.policy.Rsync
	p.mapping(n, "rsync", keys{
		"bandwidth_limit": p.textInto(&r.BandwidthLimit, checkBandwidth),
		"compress":        p.flagInto(&r.Compress),
		"args":            p.textsInto(&r.Args, "args", checkRsyncArg),
		"timeout": func(n *yaml.Node) {
			p.durationInto(&r.Timeout, time.Second)(n)
			p.wholeSeconds(n, r.Timeout, "rsync") // man rsync, --timeout=SECONDS
		},
	})
}

// wholeSeconds reports a duration that a program which counts whole seconds cannot take.
func (p *policyParser) wholeSeconds(n *yaml.Node, d time.Duration, program string) {
	if d%time.Second != 0 {
		p.report(n, fmt.Sprintf("write %v", d.Round(time.Second)), "%s counts whole seconds, not %s", program, quote(n.Value))
	}
}
