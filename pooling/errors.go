package pooling

import (
	"errors"
	"fmt"
	"net/http"
)

// What can be wrong, for errors.Is. Errors of the API that are none of these are the API's own words.
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
	// ErrUnauthorized says that the API wants other credentials.
	ErrUnauthorized = errors.New("not authorized: check user, password and client certificate")
	// ErrReadOnly says that the endpoint is a replica that takes no writes.
	ErrReadOnly = errors.New("endpoint is read-only: name a writable one")
	// ErrUnavailable says that no endpoint gave a usable answer in time. A write may have happened all the same:
	// observe, or let Restore decide.
	ErrUnavailable = errors.New("no endpoint answers")
	// ErrMalformed says that something is not what conftool writes.
	ErrMalformed = errors.New("malformed")
	// ErrIndexCleared says that what happened after an index can no longer be told change by change: read
	// the tree again and wait from there.
	ErrIndexCleared = errors.New("changes are no longer known one by one: read the pools again")
)

// rejection is the body of an error of etcd's v2 API.
type rejection struct {
	Code    int    `json:"errorCode"`
	Message string `json:"message"`
	Cause   string `json:"cause"`
}

// err returns the error that r is under an HTTP status. The codes are those of etcd's
// Documentation/v2/errorcode.md; the code decides where there is one, because 107 comes with 400 from
// etcd 3.4 itself (measured, writing to the root) and with 403 from a read-only replica.
func (r rejection) err(status int) error {
	var kind error
	switch {
	case r.Code == 100:
		kind = ErrNotFound
	case r.Code == 101 || r.Code == 105: // compare failed; key already exists
		kind = ErrConflict
	case r.Code == 107:
		kind = ErrReadOnly
	case r.Code == 110 || r.Code == 0 && (status == http.StatusUnauthorized || status == http.StatusForbidden):
		kind = ErrUnauthorized
	case r.Code == 401:
		kind = ErrIndexCleared
	default:
		kind = errors.New("refused by the API")
	}
	if r.Code == 0 {
		return fmt.Errorf("%w (HTTP %d)", kind, status)
	}
	return fmt.Errorf("%w (HTTP %d, errorCode %d, %s: %s)", kind, status, r.Code, Clean(r.Message), Clean(r.Cause))
}
