package rsync

import "strings"

// Progress is the state of a running transfer (--info=progress2).
type Progress struct {
	Bytes   int64 // of the files done and of the one under way
	Percent int   // of the tree's size as far as rsync knows it
	Files   int64 // transferred so far
	Left    int64 // entries of the tree still to check
	Total   int64 // entries of the tree found so far
}

// parseProgress reads a line such as
//
//	1234567  45%    1.23MB/s    0:00:01 (xfr#5, to-chk=10/20)
//
// whose end is missing while a file is under way; ir-chk while the tree is still being listed.
func parseProgress(line string) (Progress, bool) {
	f := strings.Fields(line)
	if len(f) != 4 && len(f) != 6 || !strings.HasSuffix(f[1], "%") || !strings.HasSuffix(f[2], "B/s") {
		return Progress{}, false
	}
	var p Progress
	var percent int64
	var ok bool
	if p.Bytes, ok = parseNumber(f[0]); !ok {
		return Progress{}, false
	}
	if percent, ok = parseNumber(strings.TrimSuffix(f[1], "%")); !ok || percent > 100 {
		return Progress{}, false
	}
	p.Percent = int(percent)
	if len(f) == 4 {
		return p, true
	}
	files, ok1 := strings.CutPrefix(f[4], "(xfr#")
	_, check, ok2 := strings.Cut(f[5], "-chk=")
	left, total, ok3 := strings.Cut(strings.TrimSuffix(check, ")"), "/")
	if !ok1 || !ok2 || !ok3 {
		return Progress{}, false
	}
	p.Files, ok1 = parseNumber(strings.TrimSuffix(files, ","))
	p.Left, ok2 = parseNumber(left)
	p.Total, ok3 = parseNumber(total)
	return p, ok1 && ok2 && ok3
}
