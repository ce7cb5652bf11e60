package inventory

import (
	"fmt"
	"iter"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// keys says which keys a mapping may hold, and what to do with the value of each.
type keys map[string]func(value *yaml.Node)

// mapping reads a mapping whose keys are fixed. It returns whether it was one.
func (d *document) mapping(n *yaml.Node, what string, allowed keys, required ...string) bool {
	if !d.isMapping(n, what) {
		return false
	}
	seen := map[string]bool{}
	for key, value := range d.pairs(n) {
		seen[key.Value] = true
		if read, known := allowed[key.Value]; known {
			read(value)
		} else {
			d.reportUnknownKey(key, what, allowed)
		}
	}
	required = slices.DeleteFunc(slices.Clone(required), func(key string) bool { return seen[key] })
	if len(required) > 0 {
		d.report(n, "add "+strings.Join(required, ": …, ")+": …", "%s lacks %s", what, list(required))
	}
	return true
}

func (d *document) reportUnknownKey(key *yaml.Node, what string, allowed keys) {
	valid := slices.Sorted(maps.Keys(allowed))
	d.report(key, didYouMean(key.Value, valid)+what+" may hold "+strings.Join(valid, ", "),
		"unknown key %s", quote(key.Value))
}

func (d *document) isMapping(n *yaml.Node, what string) bool {
	if n.Kind != yaml.MappingNode {
		d.reportKind(n, what+" must be a mapping", "write KEY: VALUE for each, or leave it out")
		return false
	}
	return true
}

// reportKind adds the problem that a node is of another kind than it must be.
func (d *document) reportKind(n *yaml.Node, must, hint string) {
	if n.Kind == yaml.AliasNode {
		return // reported as a feature
	}
	d.report(n, hint, "%s, not %s", must, kind(n))
}

// pairs yields a mapping's keys and values in the file's order, without those whose key is no text or
// came before.
func (d *document) pairs(n *yaml.Node) iter.Seq2[*yaml.Node, *yaml.Node] {
	return func(yield func(key, value *yaml.Node) bool) {
		first := make(map[string]int, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			if key.Kind == yaml.AliasNode || key.Tag == "!!merge" {
				continue // reported as a feature
			}
			if key.Kind != yaml.ScalarNode || isNull(key) {
				d.reportKind(key, "a key must be text", "write KEY: VALUE")
				continue
			}
			if line, again := first[key.Value]; again {
				d.report(key, fmt.Sprintf("first written on line %d; keep one of them", line), "duplicate key %s", quote(key.Value))
				continue
			}
			first[key.Value] = key.Line
			if !yield(key, value) {
				return
			}
		}
	}
}

// items returns the elements of a list that must not be empty.
func (d *document) items(n *yaml.Node, what string) []*yaml.Node {
	switch {
	case n.Kind != yaml.SequenceNode:
		hint := "write [A, B, …]"
		if n.Kind == yaml.ScalarNode && !isNull(n) {
			hint = fmt.Sprintf("write [%s]", quote(n.Value))
		}
		d.reportKind(n, what+" must be a list", hint)
	case len(n.Content) == 0:
		d.report(n, "fill it, or leave the key out", "%s is empty", what)
	}
	if n.Kind != yaml.SequenceNode {
		return nil
	}
	return n.Content
}

// text reads a scalar as it is written: a rack called 12 or 1e3 is text too.
func (d *document) text(n *yaml.Node, check func(string) *fault) (value string, ok bool) {
	switch {
	case isNull(n):
		d.report(n, "write a value, or leave the key out", "the value is missing")
		return "", false
	case n.Kind != yaml.ScalarNode:
		d.reportKind(n, "must be text", "write a single value")
		return "", false
	}
	if f := check(n.Value); f != nil {
		d.reportFault(n, f)
		return "", false
	}
	return n.Value, true
}

// textInto returns a reader of text for keys.
func (d *document) textInto(into *string, check func(string) *fault) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if s, ok := d.text(n, check); ok {
			*into = s
		}
	}
}

// texts reads a list of text.
func (d *document) texts(n *yaml.Node, what string, check func(string) *fault) []string {
	var values []string
	for _, item := range d.items(n, what) {
		if s, ok := d.text(item, check); ok {
			values = append(values, s)
		}
	}
	return values
}

// textsInto returns a reader of a list of text for keys.
func (d *document) textsInto(into *[]string, what string, check func(string) *fault) func(*yaml.Node) {
	return func(n *yaml.Node) { *into = d.texts(n, what, check) }
}

// flagInto returns a reader of true and false for keys.
func (d *document) flagInto(into *bool) func(*yaml.Node) {
	return func(n *yaml.Node) {
		// YAML 1.1 took yes, no, on and off for booleans as well, YAML 1.2 takes them for text. A file
		// that means two things means none.
		if n.Kind != yaml.ScalarNode || n.Value != "true" && n.Value != "false" || n.ShortTag() != "!!bool" {
			d.reportKind(n, "must be true or false", "write true or false, without quotes")
			return
		}
		*into = n.Value == "true"
	}
}

var decimal = regexp.MustCompile(`^-?(0|[1-9][0-9]{0,17})$`)

// numberInto returns a reader of a whole number for keys.
func (d *document) numberInto(into *int, low, high int) func(*yaml.Node) {
	return func(n *yaml.Node) {
		hint := fmt.Sprintf("write a whole number from %d to %d, without quotes", low, high)
		if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" || !decimal.MatchString(n.Value) {
			d.reportKind(n, "must be a whole number", hint)
			return
		}
		value, err := strconv.Atoi(n.Value)
		if err != nil || value < low || value > high {
			d.report(n, hint, "%s is out of range", n.Value)
			return
		}
		*into = value
	}
}

// maxDuration bounds every duration of a policy.
const maxDuration = 24 * time.Hour

// durationInto returns a reader of a duration for keys. A low of 0 is allowed to be 0.
func (d *document) durationInto(into *time.Duration, low time.Duration) func(*yaml.Node) {
	return d.durationWithin(into, low, maxDuration)
}

// durationWithin is durationInto with an upper bound of its own.
func (d *document) durationWithin(into *time.Duration, low, high time.Duration) func(*yaml.Node) {
	return func(n *yaml.Node) {
		s, ok := d.text(n, anyText)
		if !ok {
			return
		}
		value, ok := parseDuration(s)
		switch {
		case !ok && high > maxDuration:
			d.report(n, "write a number and a unit: 36h, 14d or 1d12h", "bad duration %s", quote(s))
		case !ok:
			d.report(n, "write a number and a unit: 500ms, 10s, 15m or 1h30m", "bad duration %s", quote(s))
		case value < low || value > high:
			d.report(n, fmt.Sprintf("write a duration from %s to %s", short(low), short(high)), "duration %s is out of range", quote(s))
		default:
			*into = value
		}
	}
}

var days = regexp.MustCompile(`^([0-9]{1,4})d([0-9].*)?$`)

// parseDuration returns the duration that a policy writes as s: what time.ParseDuration takes, and days
// of 24 hours, alone or before less than another one: 14d or 1d12h.
func parseDuration(s string) (value time.Duration, ok bool) {
	m := days.FindStringSubmatch(s)
	if m == nil {
		value, err := time.ParseDuration(s)
		return value, err == nil
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		return 0, false
	}
	if m[2] != "" {
		if value, err = time.ParseDuration(m[2]); err != nil || value >= day {
			return 0, false
		}
	}
	return time.Duration(n)*day + value, true
}

// short returns a duration as people write it: in days, or without minutes and seconds that are 0.
func short(d time.Duration) string {
	if d > day && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func startsWithDigit(s string) bool { return s != "" && s[0] >= '0' && s[0] <= '9' }

var (
	percentage = regexp.MustCompile(`^(0|[1-9][0-9]{0,2})(?:\.([0-9]{1,2}))?%$`)
	count      = regexp.MustCompile(`^(0|[1-9][0-9]{0,5})$`)
)

// parseAmount returns the amount that a policy writes as s. What says of what it is, in the plural.
func parseAmount(s, what string) (Amount, *fault) {
	hint := "write a count of " + what + " (8) or a share of them (5% or 2.5%)"
	if count.MatchString(s) {
		n, err := strconv.Atoi(s)
		if err != nil {
			return Amount{}, faultf(hint, "bad amount %s", quote(s))
		}
		return Amount{Count: n}, nil
	}
	m := percentage.FindStringSubmatch(s)
	if m == nil {
		return Amount{}, faultf(hint, "bad amount %s", quote(s))
	}
	points, err := strconv.Atoi(m[1] + (m[2] + "00")[:2]) // 2.5 → 2 and 50 hundredths
	if err != nil || points > 10_000 {
		return Amount{}, faultf("write a percentage from 0% to 100%", "%s is more than everything", s)
	}
	return Amount{BasisPoints: points, Share: true}, nil
}

// amount reads an amount of what.
func (d *document) amount(n *yaml.Node, what string) (Amount, bool) {
	s, ok := d.text(n, anyText)
	if !ok {
		return Amount{}, false
	}
	a, f := parseAmount(s, what)
	if f != nil {
		d.reportFault(n, f)
		return Amount{}, false
	}
	return a, true
}

// amountInto returns a reader of an amount of what for keys.
func (d *document) amountInto(into *Amount, what string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if a, ok := d.amount(n, what); ok {
			*into = a
		}
	}
}

// shareInto returns a reader of an amount that must be a percentage for keys.
func (d *document) shareInto(into *Amount) func(*yaml.Node) {
	return func(n *yaml.Node) {
		s, ok := d.text(n, anyText)
		if !ok {
			return
		}
		switch a, f := parseAmount(s, "anything"); {
		case f != nil:
			d.report(n, "write a percentage from 0% to 100%, such as 5% or 2.5%", "%s", f.message)
		case !a.Share:
			d.report(n, fmt.Sprintf("write %d%%", min(a.Count, 100)), "must be a percentage, not %s", quote(n.Value))
		default:
			*into = a
		}
	}
}

var size = regexp.MustCompile(`^([1-9][0-9]{0,3})([KMGT])$`)

// sizeInto returns a reader of a number of bytes for keys: 0, or a number with a unit, so that nobody has
// to guess which one. The units are those of df -h: powers of 1024.
func (d *document) sizeInto(into *int64) func(*yaml.Node) {
	return func(n *yaml.Node) {
		s, ok := d.text(n, anyText)
		if !ok {
			return
		}
		value, ok := parseSize(s)
		if !ok {
			d.report(n, "write 0, or a whole number up to 9999 and K, M, G or T: 512M or 2G", "bad size %s", quote(s))
			return
		}
		*into = value
	}
}

// parseSize returns the number of bytes that a policy writes as s.
func parseSize(s string) (bytes int64, ok bool) {
	if s == "0" {
		return 0, true
	}
	m := size.FindStringSubmatch(s)
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil {
		return 0, false
	}
	return n << (10 * (1 + strings.Index("KMGT", m[2]))), true
}

// anyText is the check of text that its reader goes on to parse.
func anyText(string) *fault { return nil }

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// kind says what a node is, to somebody who expected something else.
func kind(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case isNull(n):
		return "nothing"
	default:
		return quote(n.Value)
	}
}
