package inventory

import "strings"

// didYouMean returns the candidate that is closest to a word that is none of them, as the start of a
// hint, or nothing if none is close.
func didYouMean(word string, candidates []string) string {
	if len(word) > 64 {
		return ""
	}
	best, closest := "", min(3, len(word)/2+1) // one more than the typos it forgives
	for _, c := range candidates {
		if d := distance(strings.ToLower(word), strings.ToLower(c), closest); d < closest {
			best, closest = c, d
		}
	}
	if best == "" {
		return ""
	}
	return "did you mean " + quote(best) + "? "
}

// distance returns the number of single-character insertions, deletions, replacements and swaps of
// neighbours between a and b, or limit if it is not less.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	older, old, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range old {
		old[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(old[j]+1, row[j-1]+1, old[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], older[j-2]+1)
			}
		}
		older, old, row = old, row, older
	}
	return min(old[len(b)], limit)
}
