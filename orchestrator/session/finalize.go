package session

import (
	"context"
	"slices"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/pooling"
)

// finalize puts back what the receipts of a run tell of beyond its journal, and so drops them: those of hosts that were observed but
// not taken out, because the depool was refused, or because the run died before its journal knew. A receipt that stayed would keep
// every other run out. So it does with receipts of quarantines that are over, of whichever run. It leaves alone the hosts that are
// named already, and returns those that it could not put back, and whether that is all.
func (s *Session) finalize(ctx context.Context, run string, named []rollout.Out) (out []rollout.Out, known bool) {
	if s.Shared == nil {
		return nil, true
	}
	ctx = context.WithoutCancel(ctx)
	receipts, err := s.Shared.Receipts(ctx)
	if err != nil {
		s.Printer.Warn("the receipts of run %s cannot be read: %v", run, err)
	}
	_, over, unknown := s.quarantined(ctx, receipts, err)
	if unknown != nil {
		over = nil // a receipt of a quarantine that stays does no harm
	}
	left := slices.DeleteFunc(ToPutBack(run, receipts, over), func(r pooling.Receipt) bool {
		return slices.ContainsFunc(named, func(o rollout.Out) bool { return o.Host == r.Host })
	})
	return s.restoreReceipts(ctx, left), err == nil
}

// restoreReceipts puts back the hosts of runs of which only the receipts are known, and returns those that are still out.
func (s *Session) restoreReceipts(ctx context.Context, receipts []pooling.Receipt) []rollout.Out {
	var out []rollout.Out
	for _, r := range receipts {
		// Who has lost the lock may see a host that another run is just taking out.
		if r.Purpose == pooling.Quarantine && !s.leased() {
			continue
		}
		restorer := s.restorer()
		e := restorer.PutBack(ctx, r.Run, r.Host, r.Objects, false)
		switch {
		case r.Purpose != pooling.Serving: // of a quarantine that is over there is nothing to tell, nor is the host out
		case e.Kind == rollout.StepDone:
			s.sayBack(r.Host, e.Detail)
		default:
			out = append(out, rollout.Out{Host: r.Host, Error: e.Error})
		}
	}
	return out
}

// sayBack tells what has become of a host that was put back.
func (s *Session) sayBack(host, detail string) {
	if detail == "" {
		detail = "back in its pools"
	}
	s.Printer.Say("%s: %s", host, detail)
}
