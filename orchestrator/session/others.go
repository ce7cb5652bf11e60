package session

import (
	"context"
	"errors"
	"time"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/pooling"
)

// Others is what the shared store tells of the fleet beyond this machine.
type Others struct {
	Lock       *pooling.Holder     `json:"lock,omitempty"`
	Unfinished []pooling.RunRecord `json:"unfinished,omitempty"` // runs of other machines
	Out        []rollout.Out       `json:"out,omitempty"`        // hosts that runs of other machines took out
	Error      string              `json:"error,omitempty"`      // why it cannot be told
}

// storeTimeout is how long the shared store is asked where something can be told without it.
const storeTimeout = 3 * time.Second

// Others asks the shared store what other masters do, and it and the pools who is in quarantine; nil where there is no store. It
// returns within a few seconds, whether or not they answer.
func (c *Config) Others(ctx context.Context) (*Others, *Quarantine) {
	if c.Shared == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	o := &Others{}
	err := o.ask(ctx, c)
	if err != nil {
		o.Error = err.Error()
	}
	if err == nil || errors.Is(err, pooling.ErrMalformed) { // what else there is can be read
		return o, c.quarantine(ctx)
	}
	return o, &Quarantine{Error: o.Error}
}

func (o *Others) ask(ctx context.Context, c *Config) error {
	holder, _, err := c.Shared.Holder(ctx)
	switch {
	case err == nil:
		o.Lock = &holder
	case !errors.Is(err, pooling.ErrNotFound):
		return err
	}
	records, err := c.Shared.Runs(ctx)
	if err != nil {
		return err
	}
	for _, r := range records {
		if !c.has(r.Run) {
			o.Unfinished = append(o.Unfinished, r)
		}
	}
	receipts, err := c.Shared.Receipts(ctx)
	if err != nil {
		return err
	}
	for _, r := range receipts {
		if r.Purpose == pooling.Serving && !c.has(r.Run) {
			o.Out = append(o.Out, rollout.Out{Host: r.Host, Error: "taken out by run " + r.Run + " on " + r.Machine})
		}
	}
	return nil
}
