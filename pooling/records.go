package pooling

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// tries is how often a write is tried again because somebody else's came between: more than that are no coincidence.
const tries = 10

// put writes a record, whatever is there.
func (s *Shared) put(ctx context.Context, name string, record any) error {
	text, err := json.Marshal(record)
	if err != nil {
		return err
	}
	ctx, cancel := deadline(ctx, s.timeout)
	defer cancel()
	key, value := s.dir+"/"+name, string(text)
	for range tries {
		var e Entry
		e, err = s.store.Get(ctx, key)
		switch {
		case errors.Is(err, ErrNotFound):
			err = s.store.Create(ctx, key, value, 0)
		case err != nil:
			return fmt.Errorf("cannot read %s: %w", Clean(key), err)
		case e.Value == value:
			return nil // put before, or just now by a write of which the reply was lost
		default:
			_, err = s.store.Swap(ctx, key, value, e.Index)
		}
		if err == nil {
			return nil
		}
		if !errors.Is(err, ErrConflict) && !errors.Is(err, ErrNotFound) {
			break
		}
	}
	return fmt.Errorf("cannot write %s: %w", Clean(key), err)
}

// drop deletes a record, if it is there.
func (s *Shared) drop(ctx context.Context, name string) error {
	ctx, cancel := deadline(ctx, s.timeout)
	defer cancel()
	key := s.dir + "/" + name
	err := ErrConflict
	for range tries {
		if !errors.Is(err, ErrConflict) {
			break
		}
		var e Entry
		e, err = s.store.Get(ctx, key)
		if err == nil {
			err = s.store.Delete(ctx, key, e.Index)
		}
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("cannot delete %s: %w", Clean(key), err)
	}
	return nil
}

// list reads all records of a directory, in the order of their keys. check returns the name that a record belongs
// under. The error joins what is wrong with records that are not in the list.
func list[T any](ctx context.Context, s *Shared, name string, check func(T) (name string, err error)) (records []T, err error) {
	ctx, cancel := deadline(ctx, s.timeout)
	defer cancel()
	dir := s.dir + "/" + name
	l, err := s.store.List(ctx, dir)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", Clean(dir), err)
	}
	var errs []error
	for _, e := range l.Entries {
		var record T
		err := fmt.Errorf("%w: not the JSON of such a record", ErrMalformed)
		if json.Unmarshal([]byte(e.Value), &record) == nil {
			var name string
			if name, err = check(record); err == nil && e.Key != dir+"/"+name {
				err = fmt.Errorf("%w: it says that it is %s", ErrMalformed, Clean(name))
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", Clean(e.Key), err))
			continue
		}
		records = append(records, record)
	}
	return records, errors.Join(errs...)
}
