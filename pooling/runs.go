package pooling

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"
)

// RunRecord says where a run that has not ended can be found, so that each master can list those of the others.
type RunRecord struct {
	Run       string    `json:"run"`
	Mode      string    `json:"mode,omitempty"`
	Owner     string    `json:"owner,omitempty"`
	Machine   string    `json:"machine,omitempty"`
	Since     time.Time `json:"since"`
	Inventory string    `json:"inventory,omitempty"` // its digest
	State     string    `json:"state,omitempty"`     // path of the journal on that machine
}

// check returns the name of the record that r belongs in, or what is wrong with it.
func (r RunRecord) check() (name string, err error) {
	if err := checkName("run", r.Run); err != nil {
		return "", err
	}
	for what, text := range map[string]string{
		"mode": r.Mode, "owner": r.Owner, "machine": r.Machine, "inventory": r.Inventory, "state": r.State,
	} {
		if err := checkText(what, text); err != nil {
			return "", err
		}
	}
	return escapeName(r.Run), nil
}

// PutRun records a run, in the place of what there may be of the same name. It can be repeated. The error is
// ErrMalformed, before anything is written, if a text is not one line.
func (s *Shared) PutRun(ctx context.Context, r RunRecord) error {
	r.Since = r.Since.UTC().Truncate(time.Second)
	name, err := r.check()
	if err != nil {
		return fmt.Errorf("record of a run: %w", err)
	}
	return s.put(ctx, "runs/"+name, r)
}

// Runs returns all recorded runs, sorted by name. An error that is ErrMalformed names those that cannot be read, and
// comes with all the others.
func (s *Shared) Runs(ctx context.Context) ([]RunRecord, error) {
	runs, err := list(ctx, s, "runs", RunRecord.check)
	slices.SortFunc(runs, func(a, b RunRecord) int { return cmp.Compare(a.Run, b.Run) })
	return runs, err
}

// DropRun deletes the record of a run, if there is one.
func (s *Shared) DropRun(ctx context.Context, run string) error {
	if err := checkName("run", run); err != nil {
		return fmt.Errorf("record of a run: %w", err)
	}
	return s.drop(ctx, "runs/"+escapeName(run))
}
