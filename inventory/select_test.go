package inventory

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const selectable = `
fleet: t
tree: {source: /srv/a, destination: /srv/b, module: m}
hosts:
  tin.eqiad: {datacenter: eqiad}
  mw[1-9].eqiad: {datacenter: eqiad, rack: a1}
  mw[10-12].codfw: {datacenter: codfw, rack: b2}
  spare:
groups:
  jobrunners: ["mw[3-4].eqiad", mw10.codfw]
  api: ["mw[8-9].eqiad"]
roles:
  masters: [{host: tin.eqiad, serve: true}]
  canaries: ["mw[1-2].eqiad"]
  proxies: [{hosts: [mw5.eqiad]}, {hosts: [mw11.codfw]}]
`

func parseSelectable(t testing.TB) *Fleet {
	t.Helper()
	f, err := ParseFleet("f.yaml", []byte(selectable))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestSelect(t *testing.T) {
	f := parseSelectable(t)
	for expression, want := range map[string]string{
		"spare":                            "spare",
		"mw[2-4].eqiad":                    "mw[2-4].eqiad",
		"mw3.eqiad,mw1.eqiad":              "mw[1,3].eqiad",
		"mw3.eqiad , spare":                "mw3.eqiad,spare",
		"mw3.eqiad mw3.eqiad":              "", // see TestSelectRefuses
		"@api":                             "mw[8-9].eqiad",
		"@api,@jobrunners":                 "mw10.codfw,mw[3-4,8-9].eqiad",
		"@api or @jobrunners":              "mw10.codfw,mw[3-4,8-9].eqiad",
		"@api and @jobrunners":             "",
		"role:masters":                     "tin.eqiad",
		"role:canaries":                    "mw[1-2].eqiad",
		"role:proxies":                     "mw11.codfw,mw5.eqiad",
		"datacenter:codfw":                 "mw[10-12].codfw",
		"rack:a1":                          "mw[1-9].eqiad",
		"*":                                "mw[10-12].codfw,mw[1-9].eqiad,spare,tin.eqiad",
		"mw1*":                             "mw[10-12].codfw,mw1.eqiad",
		"mw?.eqiad":                        "mw[1-9].eqiad",
		"*.codfw and not @jobrunners":      "mw[11-12].codfw",
		"not *.eqiad":                      "mw[10-12].codfw,spare",
		"not not spare":                    "spare",
		"not mw[1-9].eqiad,spare":          "mw[10-12].codfw,tin.eqiad", // the comma binds before not
		"not (mw[1-9].eqiad or spare)":     "mw[10-12].codfw,tin.eqiad",
		"spare or @api and mw8.eqiad":      "mw8.eqiad,spare",
		"(spare or @api) and mw8.eqiad":    "mw8.eqiad",
		"(spare),(@api and not mw9.eqiad)": "mw8.eqiad,spare",
		"\tspare\n":                        "spare",
		"mw[1,3].eqiad,spare":              "mw[1,3].eqiad,spare",
	} {
		got, err := f.Select(expression)
		if want == "" {
			if err == nil {
				t.Errorf("Select(%q) = %s", expression, FoldNames(got))
			}
			continue
		}
		if err != nil || FoldNames(got) != want {
			t.Errorf("Select(%q) = %s, %v; want %s", expression, FoldNames(got), err, want)
		}
		if !slices.IsSortedFunc(got, func(a, b string) int { return f.byName[a] - f.byName[b] }) {
			t.Errorf("Select(%q) = %q is not in the fleet's order", expression, got)
		}
	}
}

func TestSelectRefuses(t *testing.T) {
	f := parseSelectable(t)
	for expression, want := range map[string]string{
		"":                      `1: the selection ends where a host, a group or a parenthesis should be`,
		"  ":                    `3: the selection ends where a host, a group or a parenthesis should be`,
		"spare tin.eqiad":       `7: "tin.eqiad" stands where and, or, or a comma should be`,
		"spare,":                `7: the selection ends where a host, a group or a parenthesis should be`,
		",spare":                `1: "," stands where a host, a group or a parenthesis should be`,
		"spare and":             `10: the selection ends where a host, a group or a parenthesis should be`,
		"and spare":             `1: "and" stands where a host, a group or a parenthesis should be`,
		"(spare":                `7: the selection ends where a closing parenthesis should be`,
		"spare)":                `6: ")" stands where and, or, or a comma should be`,
		"()":                    `2: ")" stands where a host, a group or a parenthesis should be`,
		"not":                   `4: the selection ends where a host, a group or a parenthesis should be`,
		"spare, not @api":       `8: "not" stands where a host, a group or a parenthesis should be`,
		"é or spare":            `1: unknown host "é"`,
		"mw1":                   `1: unknown host "mw1" | did you mean "mw1.eqiad"?`,
		"masters":               `1: unknown host "masters" | did you mean role:masters?`,
		"api":                   `1: unknown host "api" | did you mean @api?`,
		"role:canaries,proxies": `15: unknown host "proxies" | did you mean role:proxies?`,
		"spar or @apu or rack:c": `1: unknown host "spar" | did you mean "spare"?
9: unknown group "apu" | did you mean "api"? known: api, jobrunners
22: unknown rack "c" | known: a1, b2`,
		"mw[8-11].eqiad":                      `1: unknown hosts "mw[10-11].eqiad" | hosts are those under hosts:`,
		"mw[3-1].eqiad":                       `4: range [3-1] runs backwards | write [1-3]`,
		"spare,mw[":                           `9: a [ is not closed | close it with ]`,
		"mw[0-99999999999]":                   `1: "mw[0-99999999999]" stands for more than 100000 names | write it as several patterns`,
		"db*":                                 `1: no host matches "db*"`,
		"mw[1-2]*":                            `3: a word cannot be a glob and a range at once | join two words with a comma or and`,
		"role:canary":                         `6: unknown role "canary" | known: canaries, masters, proxies`,
		"role:":                               `6: unknown role "" | known: canaries, masters, proxies`,
		"rack:":                               `6: unknown rack "" | known: a1, b2`,
		"dc:eqiad":                            `1: unknown key "dc" | keys are datacenter, rack, role`,
		"datacentre:eqiad":                    `1: unknown key "datacentre" | did you mean "datacenter"? keys are datacenter, rack, role`,
		"@api and spare":                      `1: the selection "@api and spare" holds no host`,
		strings.Repeat("(", 200) + "spare":    `102: the selection is nested too deeply | name a group in the inventory instead`,
		strings.Repeat("not ", 200) + "spare": `405: the selection is nested too deeply | name a group in the inventory instead`,
	} {
		got, err := f.Select(expression)
		var problems Problems
		if !errors.As(err, &problems) {
			t.Errorf("Select(%q) = %q, %v", expression, got, err)
			continue
		}
		var lines []string
		for _, p := range problems {
			line := fmt.Sprintf("%d: %s", p.Column, p.Message)
			if strings.Contains(want, "|") {
				line += " | " + p.Hint
			}
			lines = append(lines, line)
		}
		if text := strings.TrimSuffix(strings.Join(lines, "\n"), " | "); text != want {
			t.Errorf("Select(%q):\n got %s\nwant %s", expression, text, want)
		}
	}
}

// Select agrees with an evaluation of its own for each host of expressions that are printed with as
// few parentheses as the grammar allows. Planted faults that this found: and read as or, or binding
// tighter than and, not that ends before the comma, a group's order kept instead of the fleet's,
// selected hosts of one operand kept by and.
func TestSelectAgreesWithItsGrammar(t *testing.T) {
	f := parseSelectable(t)
	rapid.Check(t, func(t *rapid.T) {
		text, holds := drawExpression(t, 3)
		var want []string
		for _, h := range f.Hosts {
			if holds(f, h) {
				want = append(want, h.Name)
			}
		}
		got, err := f.Select(text)
		if (err != nil) != (len(want) == 0) || !slices.Equal(got, want) {
			t.Fatalf("Select(%q) = %q, %v; want %q", text, got, err, want)
		}
	})
}

type predicate func(*Fleet, Host) bool

// drawExpression returns an expression of the lowest level of the grammar, and what it means.
func drawExpression(t *rapid.T, depth int) (string, predicate) {
	return drawJoined(t, " or ", depth, drawTerm, func(a, b bool) bool { return a || b })
}

func drawTerm(t *rapid.T, depth int) (string, predicate) {
	return drawJoined(t, " and ", depth, drawFactor, func(a, b bool) bool { return a && b })
}

func drawFactor(t *rapid.T, depth int) (string, predicate) {
	if depth > 0 && rapid.IntRange(0, 3).Draw(t, "not") == 0 {
		text, holds := drawFactor(t, depth-1)
		return "not " + text, func(f *Fleet, h Host) bool { return !holds(f, h) }
	}
	return drawJoined(t, ",", depth, drawItem, func(a, b bool) bool { return a || b })
}

func drawItem(t *rapid.T, depth int) (string, predicate) {
	if depth > 0 && rapid.IntRange(0, 2).Draw(t, "parentheses") == 0 {
		text, holds := drawExpression(t, depth-1)
		return "(" + text + ")", holds
	}
	words := []string{"spare", "mw[2-5].eqiad", "@jobrunners", "role:canaries", "datacenter:codfw", "mw*", "tin.eqiad"}
	meanings := []predicate{
		func(_ *Fleet, h Host) bool { return h.Name == "spare" },
		func(_ *Fleet, h Host) bool {
			return slices.Contains([]string{"mw2.eqiad", "mw3.eqiad", "mw4.eqiad", "mw5.eqiad"}, h.Name)
		},
		func(f *Fleet, h Host) bool { return slices.Contains(f.Groups["jobrunners"], h.Name) },
		func(f *Fleet, h Host) bool { return slices.Contains(f.Canaries, h.Name) },
		func(_ *Fleet, h Host) bool { return h.Datacenter == "codfw" },
		func(_ *Fleet, h Host) bool { return strings.HasPrefix(h.Name, "mw") },
		func(_ *Fleet, h Host) bool { return h.Name == "tin.eqiad" },
	}
	i := rapid.IntRange(0, len(words)-1).Draw(t, "word")
	return words[i], meanings[i]
}

func drawJoined(t *rapid.T, by string, depth int, operand func(*rapid.T, int) (string, predicate), join func(a, b bool) bool) (string,
	predicate) {
	text, holds := operand(t, depth)
	for range rapid.IntRange(0, 2).Draw(t, "more") {
		more, also := operand(t, depth)
		first := holds
		text, holds = text+by+more, func(f *Fleet, h Host) bool { return join(first(f, h), also(f, h)) }
	}
	return text, holds
}

func FuzzSelect(f *testing.F) {
	for _, seed := range []string{
		"spare", "@api,@jobrunners and not (mw1*)", "role:masters or rack:a1", "not not *", "((", "mw[1-", "datacenter:x", ",",
		"mw[3-4].eqiad", "\xff", "é é",
	} {
		f.Add(seed)
	}
	fleet := parseSelectable(f)
	f.Fuzz(func(t *testing.T, expression string) {
		faults := checkSelection(expression)
		names, err := fleet.Select(expression)
		if err == nil && len(faults) > 0 {
			t.Fatalf("Select(%q) = %q, but without the fleet %v", expression, names, faults[0])
		}
		if err != nil {
			checkProblems(t, err, expression)
			return
		}
		if len(names) == 0 || !slices.IsSortedFunc(names, func(a, b string) int { return fleet.byName[a] - fleet.byName[b] }) {
			t.Fatalf("Select(%q) = %q", expression, names)
		}
	})
}
