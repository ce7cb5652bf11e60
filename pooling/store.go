package pooling

import (
	"context"
	"time"
)

// Store is what pools and locks are kept in: values by key, each changed only on a condition. Package etcd has the one for etcd's v2 API;
// storetest.Conformance tests what is said here of any.
//
// A key is a path: "/" and parts, joined by "/", each of which is Plain. A directory is a path, too; keys of it begin with it and
// a "/". A key of which a part begins with "_" may be hidden from List and Wait.
//
// Every change has an index, a number that only grows, and that of a key is that of its last change. Reads are never stale: what was
// written before a call began is seen by it.
//
// Calls end when ctx does, with an error that wraps context.Cause(ctx), and take no longer than the store's own limit; Wait has
// none. An error is, or wraps,
//
//   - ErrNotFound, ErrConflict or ErrIndexCleared as said of each method,
//   - ErrUnavailable: nothing usable was answered in time; a write may have had its effect, or may yet,
//   - ErrUnauthorized, ErrReadOnly: it was refused, and would be again,
//   - ErrMalformed: an argument, or what is there, is not what it must be.
//
// What it says of others' text is Clean. A store may try a call again whose reply it did not get. Hence ErrConflict of Create and Swap,
// and ErrNotFound of a deletion, may be due to an effect of the same call: whoever needs to know reads.
//
// It is safe for concurrent use and starts no goroutine that outlives a call.
type Store interface {
	// Get returns a key; ErrNotFound if there is none, ErrMalformed if it is a directory.
	Get(ctx context.Context, key string) (Entry, error)

	// List returns all keys of a directory, of directories in it too, as they were at one moment. ErrNotFound if there is no such
	// directory; in a store without directories that is one that has no keys.
	List(ctx context.Context, dir string) (Listing, error)

	// Create makes a key that is not there; ErrConflict if it is. It runs out after ttl, which is rounded up to seconds; 0 is never.
	Create(ctx context.Context, key, value string, ttl time.Duration) error

	// Swap changes the value of a key that has an index, which is not 0, and returns its index then. ErrConflict if it has another,
	// ErrNotFound if there is no such key. A key that runs out does not any more.
	Swap(ctx context.Context, key, value string, index uint64) (now uint64, err error)

	// Delete deletes a key that has that index, which is not 0. ErrConflict if it has another, ErrNotFound if there is no such key.
	Delete(ctx context.Context, key string, index uint64) error

	// Refresh makes a key that has that value, which is not empty, run out after ttl from now, which is not 0. It tells no Wait, and
	// may change the key's index. ErrConflict if the value is another, ErrNotFound if there is no such key.
	Refresh(ctx context.Context, key, value string, ttl time.Duration) error

	// DeleteValue deletes a key that has that value, which is not empty. ErrConflict if it has another, ErrNotFound if there is no such
	// key. It is how a key that is refreshed is deleted, as its index changes.
	DeleteValue(ctx context.Context, key, value string) error

	// Wait returns the first change to a key of a directory after an index: that of a Listing, or of the change before. It waits as long
	// as ctx allows. ErrIndexCleared if the store no longer knows all changes since, key by key. After
	// ErrUnavailable the caller waits a little before it calls again.
	Wait(ctx context.Context, dir string, after uint64) (Event, error)

	// Close ends idle connections. Whoever made the store calls it, when no call is under way, or hands that duty on.
	Close()
}

// Entry is a key as it was at an index.
type Entry struct {
	Key   string
	Value string
	Index uint64
	TTL   time.Duration // until it runs out; 0: it does not. One whose time is up, but which is still there, has at least a second.
}

// Listing is what was in a directory.
type Listing struct {
	Entries []Entry // sorted by key
	Index   uint64  // of the store: changes after it are those after the listing
}

// Event is a change to a key.
type Event struct {
	Entry   Entry // as the change left it; its Index is that of the change
	Deleted bool  // or run out; then the entry has no value
}
