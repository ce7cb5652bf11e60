package checks

import (
	"testing"

	"pgregory.net/rapid"
)

// Planted faults that this saw: Unknown before Fail; Pass for no verdicts; the last verdict wins; a
// verdict that is none of the three taken for a pass.
func TestWorst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		verdicts := rapid.SliceOfN(rapid.SampledFrom([]Verdict{Pass, Pass, Pass, Unknown, Fail, "", "ok"}), 0, 6).Draw(t, "verdicts")
		var passes, fails int
		for _, v := range verdicts {
			if v == "pass" {
				passes++
			}
			if v == "fail" {
				fails++
			}
		}
		want := Verdict("unknown")
		if fails > 0 {
			want = "fail"
		} else if passes > 0 && passes == len(verdicts) {
			want = "pass"
		}
		if got := Worst(verdicts...); got != want {
			t.Fatalf("Worst(%q) = %q, want %q", verdicts, got, want)
		}
	})
}
