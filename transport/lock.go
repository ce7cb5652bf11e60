package transport

import (
	"crypto/sha256"
	"encoding/hex"
	"path"
)

// LockFile returns the path of the lock file of a destination, which whoever writes that must hold by flock(1). The same path is
// the same lock; another way to write the same directory is not.
func LockFile(scratch, destination string) string {
	return scratch + "/" + FileName(destination) + ".lock"
}

// FileName returns a name for files that are about a destination and beside it: readable, and no other destination's.
func FileName(destination string) string {
	sum := sha256.Sum256([]byte(destination))
	base := path.Base(destination)
	return base[:min(len(base), 100)] + "-" + hex.EncodeToString(sum[:4])
}
