package inventory

import "slices"

// oneOf returns the check that a text is one of the words of a type. A hint says what to write instead of another.
func oneOf[W ~string](what, hint string, words ...W) func(string) *fault {
	return func(s string) *fault {
		if slices.Contains(words, W(s)) {
			return nil
		}
		known := make([]string, len(words))
		for i, word := range words {
			known[i] = string(word)
		}
		return faultf(didYouMean(s, known)+hint, "unknown %s %s", what, quote(s))
	}
}
