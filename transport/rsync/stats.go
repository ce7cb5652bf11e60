package rsync

import (
	"math"
	"strings"
)

// Stats are the counts that rsync prints at its end (--stats). Sizes are in bytes.
type Stats struct {
	Files           int64 // entries of the tree, directories included
	Created         int64
	Deleted         int64
	Transferred     int64  // regular files
	TotalSize       int64  // of the tree
	TransferredSize int64  // of the transferred files
	Literal         int64  // of them: sent as they are
	Matched         int64  // of them: found in the old files
	FileList        int64  // size of the file list
	Sent, Received  int64  // over the wire, as the host sees it
	Warning         string // what was not quite right although the sync is done (exit 24); else empty
	After           []byte // what Pull.After printed, its last 64 KiB
}

// parse takes what a line of output tells.
func (s *Stats) parse(line string) {
	label, value, ok := strings.Cut(line, ": ")
	if !ok {
		return
	}
	field := map[string]*int64{
		"Number of files":                     &s.Files,
		"Number of created files":             &s.Created,
		"Number of deleted files":             &s.Deleted,
		"Number of regular files transferred": &s.Transferred,
		"Total file size":                     &s.TotalSize,
		"Total transferred file size":         &s.TransferredSize,
		"Literal data":                        &s.Literal,
		"Matched data":                        &s.Matched,
		"File list size":                      &s.FileList,
		"Total bytes sent":                    &s.Sent,
		"Total bytes received":                &s.Received,
	}[label]
	if field == nil {
		return
	}
	number, _, _ := strings.Cut(value, " ")
	if n, ok := parseNumber(number); ok {
		*field = n
	}
}

// parseNumber reads a number of rsync's: digits, in groups of three if it is an old or a human
// readable one.
func parseNumber(s string) (int64, bool) {
	var n int64
	group := -1 // digits since the last separator
	for i, c := range []byte(s) {
		switch {
		case '0' <= c && c <= '9':
			d := int64(c - '0')
			if n > (math.MaxInt64-d)/10 || group == 3 {
				return 0, false
			}
			n = n*10 + d
			if group >= 0 {
				group++
			}
		case c == ',' || c == '.':
			if i == 0 || group >= 0 && group != 3 || group < 0 && i > 3 {
				return 0, false
			}
			group = 0
		default:
			return 0, false
		}
	}
	return n, s != "" && (group < 0 || group == 3)
}
