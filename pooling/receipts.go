package pooling

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Purpose is what a host was taken out for.
type Purpose string

// The purposes.
const (
	Serving    Purpose = "serving"    // to serve the tree, until the end of the run
	Quarantine Purpose = "quarantine" // because it has no good tree, until it has one
)

// Receipt is what a run found before it took a host out of its pools: all that Restore needs.
type Receipt struct {
	Run     string    `json:"run"`
	Host    string    `json:"host"`
	Purpose Purpose   `json:"purpose"`
	Owner   string    `json:"owner,omitempty"`   // a user
	Machine string    `json:"machine,omitempty"` // where the run's journal is
	Since   time.Time `json:"since"`
	Objects []Object  `json:"objects"` // as observed
}

// check returns the name of the record that r belongs in, or what is wrong with it.
func (r Receipt) check() (name string, err error) {
	for what, name := range map[string]string{"run": r.Run, "host": r.Host} {
		if err := checkName(what, name); err != nil {
			return "", err
		}
	}
	for what, text := range map[string]string{"owner": r.Owner, "machine": r.Machine} {
		if err := checkText(what, text); err != nil {
			return "", err
		}
	}
	switch r.Purpose {
	case Serving, Quarantine:
	default:
		return "", fmt.Errorf("%w: purpose %q: want %q or %q", ErrMalformed, Clean(string(r.Purpose)), Serving, Quarantine)
	}
	if len(r.Objects) == 0 {
		return "", fmt.Errorf("%w: a receipt of no objects", ErrMalformed)
	}
	for _, o := range r.Objects {
		if err := o.writable(); err != nil {
			return "", err
		}
		if o.Host() != r.Host {
			return "", fmt.Errorf("%w: %s is not an object of %s", ErrMalformed, Clean(o.Key), Clean(r.Host))
		}
	}
	return receiptName(r.Run, r.Host), nil
}

func receiptName(run, host string) string { return escapeName(run) + "," + escapeName(host) }

// PutReceipt makes a receipt durable, in the place of one that there may be of the same run and host. It can be repeated.
// The error is ErrMalformed, before anything is written, if it could not be read back as a receipt.
func (s *Shared) PutReceipt(ctx context.Context, r Receipt) error {
	r.Since = r.Since.UTC().Truncate(time.Second)
	name, err := r.check()
	if err != nil {
		return fmt.Errorf("receipt: %w", err)
	}
	return s.put(ctx, "receipts/"+name, r)
}

// Receipts returns the receipts of all runs, sorted by run and host. An error that is ErrMalformed names those that
// cannot be read, and comes with all the others.
func (s *Shared) Receipts(ctx context.Context) ([]Receipt, error) {
	receipts, err := list(ctx, s, "receipts", Receipt.check)
	slices.SortFunc(receipts, func(a, b Receipt) int {
		return cmp.Or(cmp.Compare(a.Run, b.Run), cmp.Compare(a.Host, b.Host))
	})
	return receipts, err
}

// QuarantineReceipts returns, of what Receipts has returned, the receipts of hosts that were taken out because they had no good tree.
// That others cannot be read is no error here: hosts are quarantined and released without them, and a run is
// refused because of them before it begins.
func QuarantineReceipts(receipts []Receipt, err error) ([]Receipt, error) {
	if err != nil && !errors.Is(err, ErrMalformed) {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(receipts), func(r Receipt) bool { return r.Purpose != Quarantine }), nil
}

// Out says whether one of the host's objects is out of its pool because of the receipt's run: it has the run's marker, and
// is not "yes". The receipt alone proves nothing, because somebody may have put the object back.
func (r Receipt) Out(o Object) bool {
	f, err := o.Fields()
	return err == nil && o.Host() == r.Host && f.Marker == r.Run && f.Pooled != PooledYes
}

// DropReceipt deletes the receipt of a run and host, if there is one. Do so only when its objects are back, or somebody else's.
func (s *Shared) DropReceipt(ctx context.Context, run, host string) error {
	for what, name := range map[string]string{"run": run, "host": host} {
		if err := checkName(what, name); err != nil {
			return fmt.Errorf("receipt: %w", err)
		}
	}
	return s.drop(ctx, "receipts/"+receiptName(run, host))
}
