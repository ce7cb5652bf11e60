package pooling

import "errors"

// What can be wrong, for errors.Is. Errors of a store that are none of these are its own words.
var (
	// ErrConflict says that an object changed after it was observed: observe again, then decide again.
	ErrConflict = errors.New("changed by somebody else since it was observed")
	// ErrNotFound says that there is no such key.
	ErrNotFound = errors.New("no such object")
	// ErrCapacity says that a pool would be, or was, taken below its threshold; nothing of the call that
	// returns it is left out, unless its text says so.
	ErrCapacity = errors.New("pool would fall below its threshold")
	// ErrNoObjects says that a host has no selected object.
	ErrNoObjects = errors.New("host has no objects in the selected pools")
	// ErrUnauthorized says that the store wants other credentials.
	ErrUnauthorized = errors.New("not authorized: check user, password and client certificate")
	// ErrReadOnly says that the store takes no writes where it was asked.
	ErrReadOnly = errors.New("endpoint is read-only: name a writable one")
	// ErrUnavailable says that the store gave no usable answer in time. A write may have happened all the same:
	// observe, or let Restore decide.
	ErrUnavailable = errors.New("no endpoint answers")
	// ErrMalformed says that something is not what conftool, or this package, writes.
	ErrMalformed = errors.New("malformed")
	// ErrIndexCleared says that what happened after an index can no longer be told change by change: read
	// the tree again and wait from there.
	ErrIndexCleared = errors.New("changes are no longer known one by one: read the pools again")
)
