// Package manifest says what is in a tree: its manifest, the fingerprint and the metadata digest of that,
// and what differs between two of them.
//
// It is pure but for Load and Save: it never walks a tree and never runs a program. What it knows of programs is
// how find (GNU findutils) is told to list a tree, so that what a host computes of its own tree with find, sort and
// sha256sum is, byte for byte, what this package computes of a manifest.
//
// # Three digests of one tree
//
// The metadata digest is what a host can compute in a moment: of each file its path, size, mtime in nanoseconds and
// mode; of each folder its path and mode; of each symlink its path and target; of anything else its type, path and
// mode. Mtimes of folders are left out because files that only the host has change them; those of symlinks,
// because rsync leaves the fraction of a second as it is when the seconds are right (measured with 3.5.0). Two trees with the same
// metadata digest differ at most in the content of files of the same size and mtime.
//
// The fingerprint adds the SHA-256 of each file's content. SHA-256 because it is what every host has too, as
// sha256sum, and what processors have instructions for.
//
// The manifest itself also holds what is true only where it was made: inode, ctime, owner, links. None of that is
// in a digest.
package manifest
