package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// maxRecord bounds one record. A path may be longer than the 4096 bytes that Linux opens at once: find walks down
// step by step.
const maxRecord = 1 << 20

// Parse reads what find printed in ListFormat, in any order, and returns its manifest, without hashes. It reads to
// the end; who calls it bounds how much that is. What find could not have printed is an error, as is a
// path that comes twice, or a time that nanoseconds since 1970 cannot say in 64 bits (1678 to 2262).
func Parse(r io.Reader) (*Manifest, error) {
	raw, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("cannot read the listing of a tree: %w", err)
	}
	m := &Manifest{Entries: make([]Entry, 0, bytes.Count(raw, []byte{0}))}
	for rest := string(raw); rest != ""; {
		record, after, ended := strings.Cut(rest, "\x00")
		if !ended {
			return nil, errors.New("the listing of a tree ends in the middle of a record")
		}
		if len(record) > maxRecord {
			return nil, fmt.Errorf("record %d of the listing of a tree is too long", len(m.Entries)+1)
		}
		e, err := parseEntry(record)
		if err != nil {
			return nil, fmt.Errorf("record %d of the listing of a tree, %s: %w", len(m.Entries)+1, neutral(record), err)
		}
		m.Entries = append(m.Entries, e)
		rest = after
	}
	return m, m.Sort()
}

// Sort sorts the entries. It is an error if a path comes twice.
func (m *Manifest) Sort() error {
	slices.SortFunc(m.Entries, func(a, b Entry) int { return Compare(a.Path, b.Path) })
	for i := 1; i < len(m.Entries); i++ {
		if m.Entries[i].Path == m.Entries[i-1].Path {
			return fmt.Errorf("path %s comes twice in a tree", neutral(m.Entries[i].Path))
		}
	}
	return nil
}

// Compare orders paths as the entries of a manifest are: by their bytes, with the tree itself first.
func Compare(a, b string) int {
	switch {
	case a == b:
		return 0
	case a == ".":
		return -1
	case b == ".":
		return 1
	}
	return strings.Compare(a, b)
}

func parseEntry(record string) (Entry, error) {
	var e Entry
	var fields [11]string
	rest := record
	for i := range fields {
		var found bool
		if fields[i], rest, found = strings.Cut(rest, " "); !found {
			return e, errors.New("has too few fields")
		}
	}
	if len(fields[0]) != 1 || !Type(fields[0][0]).valid() {
		return e, errors.New("has a type that is not known")
	}
	e.Type = Type(fields[0][0])
	var failed error
	number := func(i, base, bits int) uint64 {
		n, err := strconv.ParseUint(fields[i], base, bits)
		if err != nil {
			failed = fmt.Errorf("field %d is no number that fits", i+1)
		}
		return n
	}
	e.Mode = uint32(number(1, 8, 12))
	if size := int64(number(2, 10, 63)); e.Type == File {
		e.Size = size
	}
	e.Device = number(5, 10, 64)
	e.Inode = number(6, 10, 64)
	e.Links = uint32(number(7, 10, 32))
	e.UID = uint32(number(8, 10, 32))
	e.GID = uint32(number(9, 10, 32))
	e.Blocks = int64(number(10, 10, 63))
	if failed != nil {
		return e, failed
	}
	var err error
	if e.Mtime, err = parseTime(fields[3]); err != nil {
		return e, fmt.Errorf("its mtime %w", err)
	}
	if e.Ctime, err = parseTime(fields[4]); err != nil {
		return e, fmt.Errorf("its ctime %w", err)
	}
	var found bool
	if e.Path, e.Link, found = strings.Cut(rest, "//"); !found {
		return e, errors.New("has no end of its path")
	}
	if (e.Type == Symlink) != (e.Link != "") {
		return e, errors.New("has a target and is no symlink, or is one and has none")
	}
	if e.Path != "." {
		if e.Path, found = strings.CutPrefix(e.Path, "./"); !found || !validPath(e.Path) {
			return e, errors.New("has a path that is not within the tree")
		}
	}
	return e, nil
}

func (t Type) valid() bool {
	switch t {
	case File, Folder, Symlink, Fifo, Socket, CharDevice, BlockDevice:
		return true
	}
	return false
}

// validPath tells whether the path is what find may print below a starting point: components that are neither empty
// nor . nor ..
func validPath(p string) bool {
	if strings.IndexByte(p, 0) >= 0 {
		return false
	}
	for c := range strings.SplitSeq(p, "/") {
		if c == "" || c == "." || c == ".." {
			return false
		}
	}
	return true
}

var errTime = errors.New("is not one that find prints, or not between 1678 and 2262: set it with touch")

const second = 1_000_000_000 // in nanoseconds

// parseTime reads what %T@ prints: seconds, rounded down, and what is to be added to them, as nanoseconds and a zero.
// So -2.5000000000 is a second and a half before 1970 (measured with find 4.9.0).
func parseTime(s string) (int64, error) {
	whole, fraction, _ := strings.Cut(s, ".")
	seconds, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || len(fraction) != 10 || fraction[9] != '0' {
		return 0, errTime
	}
	nanos, err := strconv.ParseUint(fraction[:9], 10, 32)
	if err != nil || seconds <= math.MinInt64/second || seconds >= math.MaxInt64/second {
		return 0, errTime
	}
	return seconds*second + int64(nanos), nil
}

// appendTime is the reverse of parseTime.
func appendTime(b []byte, t int64) []byte {
	seconds, nanos := t/second, t%second
	if nanos < 0 {
		seconds--
		nanos += second
	}
	b = strconv.AppendInt(b, seconds, 10)
	b = append(b, '.')
	digits := strconv.AppendInt(nil, nanos+second, 10)
	b = append(b, digits[1:]...)
	return append(b, '0')
}
