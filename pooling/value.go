package pooling

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The members of a value that matter here. Names match exactly, as they do in conftool's Python.
const (
	memberPooled = "pooled"
	memberWeight = "weight"
	memberMarker = "fleetsync"
)

// member is where a member of a JSON object stands in its text.
type member struct {
	name  string // decoded
	start int    // of the name's quote
	value int    // where the value starts
	end   int    // behind the value
}

// parse finds the members of the JSON object that text is, in order. Byte positions instead of decoded values are what
// lets everything that is not edited survive: order, white space, 10.0, integers beyond 64 bits.
func parse(text string) ([]member, error) {
	if !json.Valid([]byte(text)) {
		return nil, fmt.Errorf("%w: not JSON", ErrMalformed)
	}
	d := json.NewDecoder(strings.NewReader(text))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, fmt.Errorf("%w: not a JSON object", ErrMalformed)
	}
	var members []member
	for d.More() {
		from := int(d.InputOffset())
		name, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		end := int(d.InputOffset())
		members = append(members, member{
			name:  name.(string),
			start: from + strings.IndexByte(text[from:], '"'), // only white space and a comma stand before it
			value: end - len(raw),
			end:   end,
		})
	}
	return members, nil
}

// only returns the position of the one member of that name, or -1. Two would mean different things to
// different readers, and one of them is a load balancer.
func only(members []member, name string) (int, error) {
	named := func(m member) bool { return m.name == name }
	i := slices.IndexFunc(members, named)
	if i >= 0 && slices.ContainsFunc(members[i+1:], named) {
		return -1, fmt.Errorf("%w: more than one %q", ErrMalformed, name)
	}
	return i, nil
}

// decodeFields decodes the JSON text of an object's value.
func decodeFields(text string) (Fields, error) {
	members, err := parse(text)
	if err != nil {
		return Fields{}, err
	}
	// conftool requires both members; PyBal ignores an object whose weight is of another type.
	var f Fields
	for _, want := range []struct {
		name     string
		optional bool
		into     any
	}{{memberPooled, false, &f.Pooled}, {memberWeight, false, &f.Weight}, {memberMarker, true, &f.Marker}} {
		i, err := only(members, want.name)
		switch {
		case err != nil:
			return Fields{}, err
		case i < 0 && want.optional:
			continue
		case i < 0:
			return Fields{}, fmt.Errorf("%w: no %q", ErrMalformed, want.name)
		}
		raw := text[members[i].value:members[i].end]
		// encoding/json takes null for anything, and a string for a json.Number.
		number := want.name == memberWeight
		if quoted := raw[0] == '"'; quoted == number || raw == "null" || json.Unmarshal([]byte(raw), want.into) != nil {
			return Fields{}, fmt.Errorf("%w: %q is %s", ErrMalformed, want.name, Clean(raw))
		}
	}
	switch f.Pooled {
	case PooledYes, PooledNo, PooledInactive:
		return f, nil
	default:
		return Fields{}, fmt.Errorf("%w: %q is %q", ErrMalformed, memberPooled, Clean(string(f.Pooled)))
	}
}

// with returns text with the member set to a string, in place or as the last member.
func with(text, name, value string) (string, error) {
	members, err := parse(text)
	if err != nil {
		return "", err
	}
	i, err := only(members, name)
	if err != nil {
		return "", err
	}
	switch last := len(members) - 1; {
	case i >= 0:
		return text[:members[i].value] + quote(value) + text[members[i].end:], nil
	case last >= 0:
		at := members[last].end
		return text[:at] + ", " + quote(name) + ": " + quote(value) + text[at:], nil
	default:
		at := strings.IndexByte(text, '{') + 1
		return text[:at] + quote(name) + ": " + quote(value) + text[at:], nil
	}
}

// without returns text without the marker. It takes back exactly what with appended.
func without(text string) (string, error) {
	members, err := parse(text)
	if err != nil {
		return "", err
	}
	i, err := only(members, memberMarker)
	switch {
	case err != nil:
		return "", err
	case i > 0:
		return text[:members[i-1].end] + text[members[i].end:], nil
	case i == 0 && len(members) > 1:
		return text[:members[0].start] + text[members[1].start:], nil
	case i == 0:
		return text[:members[0].start] + text[members[0].end:], nil
	default:
		return text, nil
	}
}

func quote(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string always encodes
	return strings.TrimSuffix(b.String(), "\n")
}

// sameElse reports whether two values say the same but for pooled and the marker. It must see through a
// confctl that decoded and encoded an object in between: order, white space and the
// formatting of floating-point numbers change, an integer never becomes one.
func sameElse(a, b string) bool {
	decode := func(text string) (m map[string]any) {
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		if d.Decode(&m) != nil {
			return nil
		}
		delete(m, memberPooled)
		delete(m, memberMarker)
		return m
	}
	x, y := decode(a), decode(b)
	return x != nil && y != nil && same(x, y)
}

func same(a, b any) bool {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for k, v := range x {
			if w, ok := y[k]; !ok || !same(v, w) {
				return false
			}
		}
		return true
	case []any:
		y, ok := b.([]any)
		return ok && slices.EqualFunc(x, y, same)
	case json.Number:
		y, ok := b.(json.Number)
		return ok && sameNumber(string(x), string(y))
	default: // string, bool, nil
		return a == b
	}
}

func sameNumber(a, b string) bool {
	float := func(s string) bool { return strings.ContainsAny(s, ".eE") }
	if a == b || !float(a) || !float(b) {
		return a == b
	}
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	return errX == nil && errY == nil && x == y
}
