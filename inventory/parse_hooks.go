package inventory

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// hookKind is what distinguishes the hooks around runs from those around the syncs of hosts.
type hookKind struct {
	key, what    string
	onHosts      bool
	placeholders []string
}

var (
	runHooks  = hookKind{"run", "a hook of runs", false, []string{"{run}", "{fleet}", "{mode}"}}
	hostHooks = hookKind{"hosts", "a hook of hosts", true, []string{"{host}", "{destination}", "{run}", "{fleet}", "{mode}"}}
)

func (p *policyParser) readHooks(n *yaml.Node) {
	h := &p.policy.Hooks
	p.mapping(n, "hooks", keys{
		runHooks.key:  func(n *yaml.Node) { h.Run = p.readHookSet(n, runHooks) },
		hostHooks.key: func(n *yaml.Node) { h.Hosts = p.readHookSet(n, hostHooks) },
	})
}

func (p *policyParser) readHookSet(n *yaml.Node, kind hookKind) HookSet {
	var set HookSet
	p.mapping(n, "hooks of "+kind.key, keys{
		"pre":        func(n *yaml.Node) { set.Pre = p.readHookList(n, "pre", kind) },
		"post":       func(n *yaml.Node) { set.Post = p.readHookList(n, "post", kind) },
		"on_failure": func(n *yaml.Node) { set.OnFailure = p.readHookList(n, onFailure, kind) },
	})
	return set
}

// onFailure is the list of hooks whose own failure can make nothing worse.
const onFailure = "on_failure"

func (p *policyParser) readHookList(n *yaml.Node, list string, kind hookKind) []Hook {
	var hooks []Hook
	first := map[string]int{}
	for _, item := range p.items(n, list) {
		h := defaultHook()
		check := checkFailure
		if list == onFailure {
			h.Failure = HookIgnored
			check = checkIgnored
		}
		var name *yaml.Node
		readable := keys{
			"name":    func(n *yaml.Node) { name = n; p.textInto(&h.Name, checkNameOf("hook"))(n) },
			"command": func(n *yaml.Node) { h.Command = p.readHookCommand(n, kind) },
			"timeout": p.durationInto(&h.Timeout, time.Second),
			"failure": p.textInto((*string)(&h.Failure), check),
		}
		if kind.onHosts {
			readable["hosts"] = func(n *yaml.Node) { h.Hosts = p.readSelection(n) }
			readable["parallel"] = p.numberInto(&h.Parallel, 1, maxParallel)
		}
		if p.mapping(item, kind.what, readable, "name", "command") && !p.isDuplicate(first, name, "hook", h.Name) {
			hooks = append(hooks, h)
		}
	}
	return hooks
}

// readSelection reads which hosts something is for. That they exist is for whoever has the fleet.
func (p *policyParser) readSelection(n *yaml.Node) string {
	s, ok := p.text(n, anyText)
	if ok {
		for _, f := range checkSelection(s) {
			p.reportFault(n, f)
		}
	}
	return s
}

// named matches an argument that is nothing but a name in braces, or ends with such a value: {run}, --host={host}. Braces
// elsewhere may be those of a script, as in a check's command.
var named = regexp.MustCompile(`(?:^|=)(\{[a-z_]+\})$`)

func (p *policyParser) readHookCommand(n *yaml.Node, kind hookKind) []string {
	command := p.readCommand(n)
	for _, item := range n.Content {
		m := named.FindStringSubmatchIndex(item.Value)
		if m == nil || n.Kind != yaml.SequenceNode {
			continue
		}
		if s := item.Value[m[2]:]; !slices.Contains(kind.placeholders, s) {
			hint := didYouMean(s, kind.placeholders) + kind.what + " may hold " + strings.Join(kind.placeholders, ", ")
			p.reportFault(item, faultf(hint, "unknown placeholder %s", quote(s)).at(m[2]))
		}
	}
	return command
}

var checkFailure = oneOf("meaning of a failure", "write fail or ignore", HookFails, HookIgnored)

// checkIgnored is checkFailure where there is nothing left to fail.
func checkIgnored(s string) *fault {
	const hint = "write ignore, or leave the key out"
	f := checkFailure(s)
	switch {
	case HookFailure(s) == HookFails:
		return faultf(hint, "a hook of on_failure can fail nothing: what it is around has failed already")
	case f != nil:
		f.hint = hint
	}
	return f
}
