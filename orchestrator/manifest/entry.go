package manifest

import "errors"

// ErrChanging is wrapped by the error that names what has changed in a tree while it was read. What was read then is
// no tree that ever was.
var ErrChanging = errors.New("the tree changes while it is read: wait until whoever changes it is done")

// Type is what an entry is, as find's %y prints it.
type Type byte

// The types.
const (
	File        Type = 'f'
	Folder      Type = 'd'
	Symlink     Type = 'l'
	Fifo        Type = 'p'
	Socket      Type = 's'
	CharDevice  Type = 'c'
	BlockDevice Type = 'b'
)

// Hash is the SHA-256 of a file's content; the zero Hash is not known.
type Hash [32]byte

// Entry is one path of a tree.
type Entry struct {
	Path  string // relative to the tree, its bytes as they are; "." is the tree itself
	Type  Type
	Mode  uint32 // the permissions with setuid, setgid and sticky: 0o7777
	Size  int64  // of a file, in bytes; 0 for anything else
	Mtime int64  // nanoseconds since 1970
	Link  string // a symlink's target
	Hash  Hash   // of a file's content

	// What is true only on the machine that the tree is on.
	Ctime  int64 // nanoseconds since 1970
	Device uint64
	Inode  uint64
	Links  uint32 // how many names the inode has
	UID    uint32
	GID    uint32
	Blocks int64 // of 512 bytes, that the entry takes on the disk
}

// Manifest is what was found in a tree. Its entries are sorted by the bytes of their paths, each path once, "." first
// if it is there at all.
type Manifest struct {
	Entries []Entry
	// Taken is when its listing began, by the clock of the machine that the tree is on, in nanoseconds since 1970;
	// 0 is not known. A file that was changed about then may have been changed again without its times telling.
	Taken int64
}
