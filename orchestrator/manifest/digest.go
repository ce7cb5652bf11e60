package manifest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
)

// Digest returns the metadata digest of the tree, or of what is at or below the paths if there are any: the SHA-256,
// in hex, that sha256sum prints of the sorted output of find with Expression in DigestFormat. A path that the tree
// does not have is no error, as long as it is within the tree; one that is not counts for nothing.
func (m *Manifest) Digest(paths []string) string {
	return m.digest(m.subset(paths), false)
}

// Fingerprint returns the digest, in hex, of the whole tree with the content of its files. It means nothing unless
// all their hashes are known, which Hashed tells.
func (m *Manifest) Fingerprint() string {
	return m.digest(m.Entries, true)
}

// Hashed tells whether the hash of every file is known.
func (m *Manifest) Hashed() bool {
	for i := range m.Entries {
		if m.Entries[i].Type == File && m.Entries[i].Hash == (Hash{}) {
			return false
		}
	}
	return true
}

// Count returns how many files the tree has, and how many bytes they hold together. A hard link counts like a file of
// its own, because it is one to rsync unless it is told otherwise.
func (m *Manifest) Count() (files int, size int64) {
	for i := range m.Entries {
		if m.Entries[i].Type == File {
			files++
			size += m.Entries[i].Size
		}
	}
	return files, size
}

// Find returns the entry of the path, nil if the tree has none.
func (m *Manifest) Find(path string) *Entry {
	i, found := slices.BinarySearchFunc(m.Entries, path, func(e Entry, p string) int { return Compare(e.Path, p) })
	if !found {
		return nil
	}
	return &m.Entries[i]
}

// subset returns the entries at or below one of the paths.
func (m *Manifest) subset(paths []string) []Entry {
	if len(paths) == 0 {
		return m.Entries
	}
	valid := make([]string, 0, len(paths))
	for _, p := range paths {
		if _, err := reduce([]string{p}); err == nil {
			valid = append(valid, p)
		}
	}
	if len(valid) == 0 {
		return nil
	}
	reduced, _ := reduce(valid) // each was good by itself
	if reduced == nil {
		return m.Entries
	}
	var below []Entry
	for _, e := range m.Entries {
		if within(e.Path, reduced) {
			below = append(below, e)
		}
	}
	return below
}

func (m *Manifest) digest(entries []Entry, content bool) string {
	var all []byte
	ends := make([]int, 0, len(entries))
	for i := range entries {
		all = entries[i].appendDigest(all, content)
		ends = append(ends, len(all))
	}
	// The records are in the order of their paths, which is not that of their bytes: a-b comes after a, and a-b// before a//.
	records := make([][]byte, len(ends))
	start := 0
	for i, end := range ends {
		records[i] = all[start:end]
		start = end
	}
	if !slices.IsSortedFunc(records, bytes.Compare) {
		slices.SortFunc(records, bytes.Compare)
	}
	h := sha256.New()
	sorted := make([]byte, 0, len(all))
	for _, r := range records {
		sorted = append(sorted, r...)
	}
	h.Write(sorted)
	return hex.EncodeToString(h.Sum(nil))
}

// appendDigest appends what find prints of the entry in DigestFormat; with content, a file's hash too.
func (e *Entry) appendDigest(b []byte, content bool) []byte {
	if e.Path == "." {
		b = append(b, '.')
	} else {
		b = append(append(b, "./"...), e.Path...)
	}
	b = append(b, '/', '/', byte(e.Type), ' ')
	switch e.Type {
	case Symlink:
		b = append(b, e.Link...)
	case File:
		b = strconv.AppendUint(b, uint64(e.Mode), 8)
		b = append(b, ' ')
		b = strconv.AppendInt(b, e.Size, 10)
		b = append(b, ' ')
		b = appendTime(b, e.Mtime)
		if content {
			b = append(b, ' ')
			b = hex.AppendEncode(b, e.Hash[:])
		}
	default:
		b = strconv.AppendUint(b, uint64(e.Mode), 8)
	}
	return append(b, 0)
}

// String returns the hash as sha256sum prints it.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// ParseHash reads a hash as sha256sum prints it.
func ParseHash(s string) (Hash, bool) {
	var h Hash
	if len(s) != 2*len(h) || strings.ToLower(s) != s {
		return h, false
	}
	_, err := hex.Decode(h[:], []byte(s))
	return h, err == nil
}
