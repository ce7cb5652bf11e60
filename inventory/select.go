package inventory

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// Select returns the names of the hosts that an expression selects, in the fleet's order. What it
// reads is, loosest first:
//
//	expression = term { "or" term }
//	term       = factor { "and" factor }
//	factor     = "not" factor | union
//	union      = item { "," item }
//	item       = "(" expression ")" | host | range | glob | "@" group | key ":" word
//
// A range is that of ExpandRange and holds only hosts of the fleet, as does a plain name. A glob has
// * for any characters and ? for one, and matches whole names; * alone is every host. The keys are
// role (masters, canaries or proxies), datacenter and rack. The comma binds tightest, so that
// "mw1,mw2 and not @jobrunners" is what it looks like.
//
// An expression that selects no host is an error, like a host, group, role, datacenter or rack that
// the fleet does not have. Errors are Problems, with the file "selection".
func (f *Fleet) Select(expression string) ([]string, error) {
	p := selection{fleet: f, text: expression}
	selected := p.read()
	var names []string
	if len(p.faults) == 0 {
		for i, in := range selected {
			if in {
				names = append(names, f.Hosts[i].Name)
			}
		}
		if len(names) == 0 {
			p.report(faultf("", "the selection %s holds no host", quote(expression)))
		}
	}
	var problems Problems
	for _, f := range p.faults {
		problems = append(problems, f.problems("selection", expression)...)
	}
	return names, problems.orNil()
}

// checkSelection returns what is wrong with an expression for Fleet.Select as far as that can be told without a fleet.
func checkSelection(expression string) []*fault {
	p := selection{fleet: &Fleet{}, text: expression, anyFleet: true}
	p.read()
	return p.faults
}

const (
	maxExpression = 64 << 10 // bytes
	maxNesting    = 100      // of parentheses and nots
)

var (
	roleNames     = []string{"masters", "canaries", "proxies"}
	selectionKeys = []string{"role", "datacenter", "rack"}
)

// hosts says of each host of a fleet whether it is selected.
type hosts []bool

// selection is an expression while it is read.
type selection struct {
	fleet    *Fleet
	anyFleet bool // any name may be one of the fleet's: only what no fleet can have is a fault
	text     string
	tokens   []token // still to be read
	faults   []*fault
}

// token is a word, a parenthesis or a comma.
type token struct {
	text   string
	offset int
}

func (p *selection) report(f *fault) { p.faults = append(p.faults, f) }

// read returns what the whole text selects, which means something if there is no fault.
func (p *selection) read() hosts {
	if len(p.text) > maxExpression {
		p.report(faultf("name a group in the inventory instead", "the selection is longer than %d bytes", maxExpression))
		return nil
	}
	p.tokenize()
	selected, ok := p.expression(0)
	if ok && len(p.tokens) > 0 {
		p.unexpected("and, or, or a comma")
	}
	return selected
}

// tokenize splits the text. A comma inside brackets belongs to its word.
func (p *selection) tokenize() {
	const separators = " \t\n\r(),"
	text := p.text
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case strings.IndexByte(" \t\n\r", c) >= 0:
			i++
		case strings.IndexByte("(),", c) >= 0:
			p.tokens = append(p.tokens, token{text[i : i+1], i})
			i++
		default:
			start, inside := i, false
			for ; i < len(text) && (inside || strings.IndexByte(separators, text[i]) < 0); i++ {
				switch text[i] {
				case '[':
					inside = true
				case ']':
					inside = false
				}
			}
			p.tokens = append(p.tokens, token{text[start:i], start})
		}
	}
}

// next returns whether the next token is one of the texts, and reads over it if so.
func (p *selection) next(text string) bool {
	if len(p.tokens) == 0 || p.tokens[0].text != text {
		return false
	}
	p.tokens = p.tokens[1:]
	return true
}

func (p *selection) unexpected(wanted string) {
	const hint = `write hosts, ranges, @group, role:, datacenter: or rack:, joined by commas, and, or, not and ( )`
	if len(p.tokens) == 0 {
		p.report(faultf(hint, "the selection ends where %s should be", wanted).at(len(p.text)))
		return
	}
	t := p.tokens[0]
	p.report(faultf(hint, "%s stands where %s should be", quote(t.text), wanted).at(t.offset))
}

// The readers below return false after an error of syntax, behind which nothing can be understood. An
// unknown name is reported and selects nothing, so that all of them are reported at once.

func (p *selection) expression(depth int) (hosts, bool) {
	selected, ok := p.term(depth)
	for ok && p.next("or") {
		var more hosts
		if more, ok = p.term(depth); ok {
			for i := range selected {
				selected[i] = selected[i] || more[i]
			}
		}
	}
	return selected, ok
}

func (p *selection) term(depth int) (hosts, bool) {
	selected, ok := p.factor(depth)
	for ok && p.next("and") {
		var other hosts
		if other, ok = p.factor(depth); ok {
			for i := range selected {
				selected[i] = selected[i] && other[i]
			}
		}
	}
	return selected, ok
}

func (p *selection) factor(depth int) (hosts, bool) {
	if depth > maxNesting {
		deep := faultf("name a group in the inventory instead", "the selection is nested too deeply").at(len(p.text))
		if len(p.tokens) > 0 {
			deep = deep.at(p.tokens[0].offset)
		}
		p.report(deep)
		return nil, false
	}
	if p.next("not") {
		selected, ok := p.factor(depth + 1)
		for i := range selected {
			selected[i] = !selected[i]
		}
		return selected, ok
	}
	selected := make(hosts, len(p.fleet.Hosts))
	for {
		if !p.item(selected, depth) {
			return nil, false
		}
		if !p.next(",") {
			return selected, true
		}
	}
}

// item reads one item and adds its hosts to those selected.
func (p *selection) item(selected hosts, depth int) bool {
	if p.next("(") {
		inner, ok := p.expression(depth + 1)
		if !ok {
			return false
		}
		if !p.next(")") {
			p.unexpected("a closing parenthesis")
			return false
		}
		for i, in := range inner {
			selected[i] = selected[i] || in
		}
		return true
	}
	if len(p.tokens) == 0 || slices.Contains([]string{")", ",", "and", "or", "not"}, p.tokens[0].text) {
		p.unexpected("a host, a group or a parenthesis")
		return false
	}
	word := p.tokens[0]
	p.tokens = p.tokens[1:]
	if f := p.word(selected, word.text); f != nil {
		p.report(f.at(word.offset + f.offset))
	}
	return true
}

// word adds the hosts that a word stands for to those selected.
func (p *selection) word(selected hosts, word string) *fault {
	if p.anyFleet {
		return checkSelected(word)
	}
	if group, ok := strings.CutPrefix(word, "@"); ok {
		names, known := p.fleet.Groups[group]
		if !known {
			return unknown("group", group, slices.Collect(maps.Keys(p.fleet.Groups)))
		}
		p.add(selected, names)
		return nil
	}
	if key, value, ok := strings.Cut(word, ":"); ok {
		return p.keyed(selected, key, value)
	}
	if strings.ContainsAny(word, "*?") {
		return p.glob(selected, word)
	}
	names, f := expandRange(word)
	if f != nil {
		return f
	}
	var strangers []string
	for _, name := range names {
		if _, ok := p.fleet.byName[name]; !ok {
			strangers = append(strangers, name)
		}
	}
	if len(strangers) > 0 {
		return p.fleet.unknownHosts(strangers)
	}
	p.add(selected, names)
	return nil
}

func (p *selection) add(selected hosts, names []string) {
	for _, name := range names {
		if i, ok := p.fleet.byName[name]; ok {
			selected[i] = true
		}
	}
}

// checkSelected says what is wrong with a word of a selection in whatever fleet. It expands no range, because an
// expression could hold thousands, each for a hundred thousand names.
func checkSelected(word string) *fault {
	if group, ok := strings.CutPrefix(word, "@"); ok {
		if f := checkWord(group); f != nil {
			return f.at(1)
		}
		return nil
	}
	if key, value, ok := strings.Cut(word, ":"); ok {
		switch {
		case !slices.Contains(selectionKeys, key):
			return unknownKey(key)
		case key == "role" && !slices.Contains(roleNames, value):
			return unknown("role", value, roleNames).at(len("role:"))
		case checkWord(value) != nil:
			return checkWord(value).at(len(key) + 1)
		}
		return nil
	}
	if strings.ContainsAny(word, "*?") {
		return checkGlob(word)
	}
	_, f := parsePattern(word, maxNames)
	return f
}

// checkGlob says when a glob is more than that.
func checkGlob(pattern string) *fault {
	if i := strings.IndexAny(pattern, `[]\`); i >= 0 {
		return faultf("join two words with a comma or and", "a word cannot be a glob and a range at once").at(i)
	}
	return nil
}

func (p *selection) glob(selected hosts, pattern string) *fault {
	if f := checkGlob(pattern); f != nil {
		return f
	}
	found := false
	for i, h := range p.fleet.Hosts {
		if ok, err := path.Match(pattern, h.Name); ok && err == nil {
			selected[i], found = true, true
		}
	}
	if !found {
		return faultf("", "no host matches %s", quote(pattern))
	}
	return nil
}

func (p *selection) keyed(selected hosts, key, value string) *fault {
	switch key {
	case "role":
		return p.role(selected, value)
	case "datacenter":
		return p.attribute(selected, key, value, func(h *Host) string { return h.Datacenter })
	case "rack":
		return p.attribute(selected, key, value, func(h *Host) string { return h.Rack })
	default:
		return unknownKey(key)
	}
}

func unknownKey(key string) *fault {
	return faultf(didYouMean(key, selectionKeys)+"keys are "+list(selectionKeys), "unknown key %s", quote(key))
}

func (p *selection) role(selected hosts, role string) *fault {
	f := p.fleet
	switch role {
	case "masters":
		for _, m := range f.Masters {
			p.add(selected, []string{m.Host})
		}
	case "canaries":
		p.add(selected, f.Canaries)
	case "proxies":
		for _, x := range f.Proxies {
			p.add(selected, []string{x.Host})
		}
	default:
		return unknown("role", role, roleNames).at(len("role:"))
	}
	return nil
}

// attribute selects the hosts for which of is value.
func (p *selection) attribute(selected hosts, key, value string, of func(*Host) string) *fault {
	found := false
	for i := range p.fleet.Hosts {
		if value != "" && of(&p.fleet.Hosts[i]) == value {
			selected[i], found = true, true
		}
	}
	if found {
		return nil
	}
	known := map[string]bool{}
	for i := range p.fleet.Hosts {
		if v := of(&p.fleet.Hosts[i]); v != "" {
			known[v] = true
		}
	}
	return unknown(key, value, slices.Collect(maps.Keys(known))).at(len(key) + 1)
}

// unknown is the fault of a word that is none of the words known.
func unknown(what, word string, known []string) *fault {
	return faultf(fmt.Sprintf("%sknown: %s", didYouMean(word, known), list(known)), "unknown %s %s", what, quote(word))
}

// unknownHosts is the fault of names that are no hosts of the fleet.
func (f *Fleet) unknownHosts(names []string) *fault {
	if len(names) > 1 {
		return faultf("hosts are those under hosts:", "unknown hosts %s", quote(FoldNames(names)))
	}
	hint := f.suggest(names[0])
	if hint == "" {
		hint = "hosts are those under hosts:, with their names in full"
	}
	return faultf(hint, "unknown host %s", quote(names[0]))
}

// suggest returns what somebody may have meant by a name that is no host.
func (f *Fleet) suggest(name string) string {
	if _, ok := f.Groups[name]; ok {
		return "did you mean @" + name + "?"
	}
	if slices.Contains(roleNames, name) {
		return "did you mean role:" + name + "?"
	}
	known := make([]string, len(f.Hosts))
	for i, h := range f.Hosts {
		if strings.HasPrefix(h.Name, name+".") {
			return "did you mean " + quote(h.Name) + "?"
		}
		known[i] = h.Name
	}
	return strings.TrimSpace(didYouMean(name, known))
}
