package pooling

import (
	"context"
	"errors"
	"fmt"
)

// Outcome is what became of a receipt.
type Outcome string

// The outcomes.
const (
	Back      Outcome = "restored"  // it had the marker and has been put back
	Unchanged Outcome = "unchanged" // it does not have the marker and is what the receipt says: put back before, or never taken
	Foreign   Outcome = "foreign"   // somebody else decided: what they made of it stays, and if it had the marker that is gone
	Deleted   Outcome = "deleted"   // the key is gone, and stays gone
	Unknown   Outcome = "unknown"   // it could not be read or written; it may still be out
)

// Restored is what Restore did with one receipt.
type Restored struct {
	Object  Object // as it is now; of a Deleted one the receipt, of an Unknown one what was seen last
	Outcome Outcome
	Err     error // set if and only if the outcome is Unknown
}

// Restore puts back what has the marker, from receipts, which are the objects as they were observed
// before Depool. Each is put back by one write of the receipt's pooled value without the marker. Whatever
// else somebody changed meanwhile is kept; if nothing else was, the value is the receipt's, byte for byte.
//
// An object that does not have the marker is left alone, and so is the pooled value of one that somebody
// changed while it was held. (They are Foreign, as is one that can no longer be decoded.) No key is created.
// An object is written even though it does not have the marker if it has not been changed since the receipt
// was taken, which says "yes": the value it has, so that a depool still on its way can no longer succeed.
//
// Every receipt is tried, whatever becomes of the others; results are in the order of receipts. The error joins
// those of the Unknown ones. Restore can be repeated.
func (c *Client) Restore(ctx context.Context, marker string, receipts []Object) ([]Restored, error) {
	if err := checkMarker(marker); err != nil {
		return nil, err
	}
	ctx, cancel := deadline(ctx, c.timeout)
	defer cancel()
	var all []Restored
	var errs []error
	for _, receipt := range receipts {
		r := Restored{Object: receipt}
		r.Outcome, r.Err = c.restore(ctx, marker, receipt, &r.Object)
		if r.Err != nil {
			r.Outcome = Unknown
			errs = append(errs, r.Err)
		}
		all = append(all, r)
	}
	return all, errors.Join(errs...)
}

// restore puts back one object and leaves in now what it is then.
func (c *Client) restore(ctx context.Context, marker string, receipt Object, now *Object) (Outcome, error) {
	before, err := unmarked(marker, receipt)
	if err != nil {
		return Unknown, fmt.Errorf("receipt: %w", err)
	}
	was, err := decodeFields(before)
	if err != nil {
		return Unknown, fmt.Errorf("receipt: %s: %w", Clean(receipt.Key), err)
	}
	for range tries {
		o, err := c.read(ctx, receipt.Key)
		if errors.Is(err, ErrNotFound) {
			return Deleted, nil
		}
		if err != nil {
			return Unknown, err
		}
		*now = o
		text, outcome := restored(marker, before, was, o.Value)
		late := outcome == Unchanged && o.Index == receipt.Index && was.Pooled == PooledYes
		if text == o.Value && !late {
			return outcome, nil
		}
		o, err = c.swap(ctx, o, text)
		switch {
		case err == nil:
			*now = o
			return outcome, nil
		case errors.Is(err, ErrNotFound):
			return Deleted, nil
		case !errors.Is(err, ErrConflict):
			return Unknown, err
		}
	}
	return Unknown, fmt.Errorf("%s: %w, %d times in a row", Clean(receipt.Key), ErrConflict, tries)
}

// unmarked returns what a receipt's object said before it had the marker. Normally that is the receipt's
// value. A receipt that was taken while the object was held has the marker itself; before that the object was "yes",
// because Depool takes nothing else.
func unmarked(marker string, receipt Object) (text string, err error) {
	f, err := receipt.Fields()
	if err != nil || f.Marker != marker {
		return receipt.Value, err
	}
	if text, err = without(receipt.Value); err == nil {
		text, err = with(text, memberPooled, string(PooledYes))
	}
	return text, err
}

// restored decides what an object that says now should say and what to call that. before says what it
// said before it was taken, as text and decoded.
func restored(marker, before string, was Fields, now string) (text string, outcome Outcome) {
	is, err := decodeFields(now)
	switch {
	case err != nil:
		return now, Foreign
	case is.Marker != marker && is.Pooled == was.Pooled && is.Marker == was.Marker && sameElse(now, before):
		return now, Unchanged
	case is.Marker != marker:
		return now, Foreign
	case is.Pooled == PooledNo && sameElse(now, before):
		return before, Back
	}
	// Both edits are of text that has just been decoded and cannot fail.
	if was.Marker == "" {
		text, _ = without(now)
	} else {
		text, _ = with(now, memberMarker, was.Marker)
	}
	if is.Pooled != PooledNo {
		return text, Foreign
	}
	text, _ = with(text, memberPooled, string(was.Pooled))
	return text, Back
}
