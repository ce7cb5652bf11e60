package checks

import "time"

// Verdict is what a probe found out.
type Verdict string

// The verdicts.
const (
	Pass    Verdict = "pass"    // the answer is what was expected
	Fail    Verdict = "fail"    // the host answered, and the answer is wrong
	Unknown Verdict = "unknown" // nothing was found out; not a pass
)

// DefaultTimeout bounds a probe that names no timeout.
const DefaultTimeout = 10 * time.Second

// Result is the outcome of one probe.
type Result struct {
	Verdict Verdict
	// One line, at most MaxDetail bytes, safe on a terminal: what was wrong and what was expected; of a pass, what was seen
	Detail string
	Took   time.Duration // from the start of the probe to its verdict
}

// Worst returns the verdict that several add up to: fail before unknown before pass. Nothing was
// found out by no verdicts at all, and by one that is none of the three: both are unknown.
func Worst(verdicts ...Verdict) Verdict {
	if len(verdicts) == 0 {
		return Unknown
	}
	worst := Pass
	for _, v := range verdicts {
		switch v {
		case Fail:
			return Fail
		case Pass:
		case Unknown:
			worst = Unknown
		default:
			worst = Unknown
		}
	}
	return worst
}
