package settings

import (
	"strings"
)

// nearest returns what was probably meant by a name that does not exist: the known name with the fewest slips of the hand
// between them, if they are few for its length. Empty: none is near.
func nearest(name string, known []string) string {
	best, fewest := "", min(max(1, len(name)/3), len(name)-1)+1
	for _, k := range known {
		if n := slips(strings.ToLower(name), strings.ToLower(k)); n < fewest {
			best, fewest = k, n
		}
	}
	return best
}

// DidYouMean is what an error says of a name that does not exist: empty, or a question that begins with "; ".
func DidYouMean(name string, known []string) string {
	if meant := nearest(name, known); meant != "" {
		return "; did you mean " + meant + "?"
	}
	return ""
}

// slips is how many letters were left out, put in, changed, or exchanged with the next one between a and b.
func slips(a, b string) int {
	before, last, now := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		now[0] = i + 1
		for j := range len(b) {
			changed := last[j]
			if a[i] != b[j] {
				changed++
			}
			now[j+1] = min(changed, last[j+1]+1, now[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				now[j+1] = min(now[j+1], before[j-1]+1)
			}
		}
		before, last, now = last, now, before
	}
	return last[len(b)]
}
