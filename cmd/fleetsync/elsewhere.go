package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/transport"
)

// elsewhere is what the shared store tells of the fleet beyond this machine.
type elsewhere struct {
	Lock       *pooling.Holder     `json:"lock,omitempty"`
	Unfinished []pooling.RunRecord `json:"unfinished,omitempty"` // runs of other machines
	Out        []rollout.Out       `json:"out,omitempty"`        // hosts that runs of other machines took out
	Error      string              `json:"error,omitempty"`      // why it cannot be told
}

// elsewherePatience is how long status waits for the shared store: it must answer when that is away.
const elsewherePatience = 3 * time.Second

// elsewhere asks the shared store what other masters do, and it and the pools who is in quarantine; nil where there is no store.
func (s *setup) elsewhere(ctx context.Context) (*elsewhere, *quarantine) {
	shared, err := s.shared()
	if err == nil && shared == nil {
		return nil, nil
	}
	e, q := &elsewhere{}, &quarantine{}
	if err == nil {
		defer shared.Close()
		ctx, cancel := context.WithTimeout(ctx, elsewherePatience)
		defer cancel()
		err = e.ask(ctx, s, shared)
		if err == nil || errors.Is(err, pooling.ErrMalformed) { // what else there is can be read
			q.ask(ctx, s, shared)
			q.asked = true
		}
	}
	if err != nil {
		e.Error = err.Error()
	}
	if !q.asked {
		q.Error = e.Error
	}
	return e, q
}

func (e *elsewhere) ask(ctx context.Context, s *setup, shared *pooling.Shared) error {
	holder, _, err := shared.Holder(ctx)
	switch {
	case err == nil:
		e.Lock = &holder
	case !errors.Is(err, pooling.ErrNotFound):
		return err
	}
	records, err := shared.Runs(ctx)
	if err != nil {
		return err
	}
	for _, r := range records {
		if !s.has(r.Run) {
			e.Unfinished = append(e.Unfinished, r)
		}
	}
	receipts, err := shared.Receipts(ctx)
	if err != nil {
		return err
	}
	for _, r := range receipts {
		if r.Purpose == pooling.Serving && !s.has(r.Run) {
			e.Out = append(e.Out, rollout.Out{Host: r.Host, Error: "taken out by run " + r.Run + " on " + r.Machine})
		}
	}
	return nil
}

// print tells people, in the lines that status adds to what this machine knows.
func (e *elsewhere) print(w io.Writer, q *quarantine) {
	if e == nil {
		return
	}
	say := func(format string, args ...any) {
		_, _ = fmt.Fprintln(w, transport.Neutral(fmt.Sprintf(format, args...)))
	}
	switch {
	case e.Error != "" && !q.asked:
		say("other masters, and who is in quarantine: the shared store does not tell: %s", e.Error)
	case e.Error != "":
		say("other masters: the shared store does not tell: %s", e.Error)
	}
	if e.Lock != nil {
		who := "run " + e.Lock.Run
		if e.Lock.Run == "" {
			who = e.Lock.Owner
		}
		say("lock: held by %s on %s since %sZ: %s", who, e.Lock.Host, e.Lock.Since.UTC().Format(time.DateTime), e.Lock.Reason)
	}
	for _, r := range e.Unfinished {
		say("other masters: run %s (%s) of %s on %s, since %sZ, has not finished", r.Run, r.Mode, r.Owner, r.Machine, r.Since.UTC().Format(time.DateTime))
	}
	for _, o := range e.Out {
		say("other masters: %s is out: %s", o.Host, o.Error)
	}
}
