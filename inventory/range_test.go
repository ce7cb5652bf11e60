package inventory

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestExpandRange(t *testing.T) {
	for pattern, want := range map[string]string{
		"tin.eqiad.wmnet":                        "tin.eqiad.wmnet",
		"mw[1017-1019,1080].eqiad":               "mw1017.eqiad mw1018.eqiad mw1019.eqiad mw1080.eqiad",
		"mw[08-11]":                              "mw08 mw09 mw10 mw11",
		"mw[8-11]":                               "mw8 mw9 mw10 mw11",
		"mw[0-1]":                                "mw0 mw1",
		"mw[00-01]":                              "mw00 mw01",
		"mw[007]":                                "mw007",
		"db[1-2]-[01-02].x":                      "db1-01.x db1-02.x db2-01.x db2-02.x",
		"[1-2][3-4]":                             "13 14 23 24",
		"tin,mw[1-2],x[1,3]y":                    "tin mw1 mw2 x1y x3y",
		"mw[5-5]":                                "mw5",
		"mw[2,1,2]":                              "mw2 mw1 mw2",
		"a[99999999999999998-99999999999999999]": "a99999999999999998 a99999999999999999",
	} {
		got, err := ExpandRange(pattern)
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("ExpandRange(%q) = %q, %v; want %s", pattern, got, err, want)
		}
	}
}

func TestExpandRangeRefuses(t *testing.T) {
	for pattern, want := range map[string]string{
		"":                                 "range:1:1: a name is missing",
		"a,,b":                             "range:1:3: a name is missing",
		"a,":                               "range:1:3: a name is missing",
		"mw[":                              "range:1:3: a [ is not closed",
		"mw]":                              "range:1:3: a ] closes nothing",
		"mw[1-2]]":                         "range:1:8: a ] closes nothing",
		"mw[[1]]":                          "range:1:4: bad range [[1]",
		"mw[]":                             "range:1:4: bad range []",
		"mw[1,]":                           "range:1:6: bad range []",
		"mw[1-]":                           "range:1:4: bad range [1-]",
		"mw[-1]":                           "range:1:4: bad range [-1]",
		"mw[1-2-3]":                        "range:1:4: bad range [1-2-3]",
		"mw[a-c]":                          "range:1:4: bad range [a-c]",
		"mw[1-9/2]":                        "range:1:4: bad range [1-9/2]",
		"mw[٣]":                            "range:1:4: bad range [٣]",
		"é[5,9-3]":                         "range:1:5: range [9-3] runs backwards",
		"mw[001-10]":                       "range:1:4: range [001-10] has ends of different width",
		"mw[0-99999999999]":                `range:1:1: "mw[0-99999999999]" stands for more than 100000 names`,
		"mw[0-999][0-999]":                 `range:1:1: "mw[0-999][0-999]" stands for more than 100000 names`,
		"x[1-100000],y":                    `range:1:13: "y" stands for more than 100000 names`,
		"x[1-99999],y[1-2]":                `range:1:12: "y[1-2]" stands for more than 100000 names`,
		"mw[1-99999999999999999999999999]": "range:1:4: range [1-99999999999999999999999999] has too many digits",
	} {
		_, err := ExpandRange(pattern)
		var problems Problems
		if !errors.As(err, &problems) {
			t.Errorf("ExpandRange(%q): %v, not Problems", pattern, err)
			continue
		}
		if got, _, _ := strings.Cut(err.Error(), "\n"); got != want {
			t.Errorf("ExpandRange(%q):\n got %s\nwant %s", pattern, got, want)
		}
	}
}

// A pattern that would fill the memory is refused before it does.
func TestExpandRangeIsBounded(t *testing.T) {
	patterns := []string{
		"mw[0-99999999999999999]",
		strings.Repeat("[0-99999]", 1000),
		"x" + strings.Repeat("[0-9]", 5) + strings.Repeat("y", 1<<20),
		"x[" + strings.Repeat("1-99999,", 1000) + "1]",
		strings.Repeat("x[1-99999],", 1000) + "x",
	}
	for _, pattern := range patterns {
		allocated := testing.AllocsPerRun(1, func() {
			if names, err := ExpandRange(pattern); err == nil {
				t.Errorf("%.40q gives %d names", pattern, len(names))
			}
		})
		if allocated > 500_000 {
			t.Errorf("%.40q: %.0f allocations", pattern, allocated)
		}
	}
}

// ExpandRange gives back the names that FoldNames folded. Planted faults that this found: a range
// that goes on from padded to one digit more (09-100), a name without a number taken
// for a sibling of one with, numbers of 20 digits taken for numbers, duplicates kept.
func TestFoldNamesIsUndoneByExpandRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := slices.Concat(rapid.SliceOfN(rapid.Custom(drawRun), 1, 6).Draw(t, "runs")...)
		folded := FoldNames(names)
		got, err := ExpandRange(folded)
		if err != nil {
			t.Fatalf("%q: %v", folded, err)
		}
		want := slices.Compact(slices.Sorted(slices.Values(names)))
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Fatalf("%q stands for %q, not for %q", folded, got, want)
		}
	})
}

// drawRun returns names that differ in a number, around the places where its number of digits changes.
func drawRun(t *rapid.T) []string {
	before := rapid.SampledFrom([]string{"mw", "mw", "db-", "a1b"}).Draw(t, "before")
	after := rapid.SampledFrom([]string{"", "", "z", ".eqiad.wmnet", ".row2"}).Draw(t, "after")
	switch rapid.IntRange(0, 5).Draw(t, "kind") {
	case 0:
		return []string{before + after}
	case 1:
		return []string{before + rapid.StringMatching(`[0-9]{16,20}`).Draw(t, "digits") + after}
	}
	start := rapid.SampledFrom([]int{0, 1, 8, 9, 10, 98, 99, 100, 999}).Draw(t, "start")
	length := rapid.SampledFrom([]int{1, 1, 2, 3, 100}).Draw(t, "length")
	width := rapid.IntRange(1, 4).Draw(t, "width")
	var names []string
	for i := range length {
		names = append(names, fmt.Sprintf("%s%0*d%s", before, width, start+i, after))
	}
	return names
}

// The case mw[9,010] was added for a planted fault that the property above rarely finds.
func TestFoldNames(t *testing.T) {
	for names, want := range map[string]string{
		"":                                 "",
		"tin":                              "tin",
		"mw2 mw1 mw1":                      "mw[1-2]",
		"mw1017.e mw1018.e mw1080.e tin.e": "mw[1017-1018,1080].e,tin.e",
		"mw008 mw009 mw010 mw011":          "mw[008-011]",
		"mw9 mw10 mw99 mw100":              "mw[9-10,99-100]",
		"mw1.e mw2.c mw3.e":                "mw2.c,mw[1,3].e",
		"mw9 mw010":                        "mw[9,010]",
		"db1-2 db1-3":                      "db1-[2-3]",
		"a1.row2 a2.row2":                  "a[1-2].row2",
	} {
		if got := FoldNames(strings.Fields(names)); got != want {
			t.Errorf("FoldNames(%s) = %s, want %s", names, got, want)
		}
	}
}

func FuzzExpandRange(f *testing.F) {
	for _, seed := range []string{"mw[1017-1070,1080].eqiad.wmnet", "a[01-10],b", "[0-99999999999]", "x[1][2]", "[", "]", ",", "é[9-3]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, pattern string) {
		names, err := ExpandRange(pattern)
		if err != nil {
			checkProblems(t, err, pattern)
			return
		}
		if len(names) == 0 || len(names) > maxNames {
			t.Fatalf("%q gives %d names", pattern, len(names))
		}
		for _, name := range names {
			if name == "" || len(name) > maxName || strings.ContainsAny(name, "[],") {
				t.Fatalf("%q gives %q", pattern, name)
			}
		}
		again, err := ExpandRange(FoldNames(names))
		if err != nil {
			t.Fatalf("%q folds to %q: %v", pattern, FoldNames(names), err)
		}
		slices.Sort(names)
		slices.Sort(again)
		if !slices.Equal(slices.Compact(names), again) {
			t.Fatalf("%q folds to %q", pattern, FoldNames(names))
		}
	})
}
