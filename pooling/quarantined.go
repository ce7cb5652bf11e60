package pooling

import "slices"

// Quarantined is a host that is out of pools because it had no good tree.
type Quarantined struct {
	Receipt
	Out []Object // its objects that the receipt's run took out, as they are now; at least one
	In  []Object // those that are "yes": somebody has put them back, or the run died before it took all out
}

// Quarantined returns which of QuarantineReceipts are still so, in their order. A quarantine is, by what the pools say of its receipt's
// objects,
//
//   - in force: one of them at least is out because of the receipt's run,
//   - over: the pools have all of them, and none is out because of that run; somebody, or a run, has put the host back,
//   - unknown, and not returned: none is out because of it, but the pools do not have all of them.
//
// A host that two runs took out is there twice.
func (s Snapshot) Quarantined(receipts []Receipt) (quarantined []Quarantined, over []Receipt) {
	for _, r := range receipts {
		q := Quarantined{Receipt: r}
		for _, o := range s.Hosts[r.Host] {
			f, err := o.Fields()
			switch {
			case r.Out(o):
				q.Out = append(q.Out, o)
			case err == nil && f.Pooled == PooledYes:
				q.In = append(q.In, o)
			}
		}
		unseen := slices.ContainsFunc(r.Objects, func(was Object) bool {
			return !slices.ContainsFunc(s.Hosts[r.Host], func(o Object) bool { return o.Key == was.Key })
		})
		switch {
		case len(q.Out) > 0:
			quarantined = append(quarantined, q)
		case !unseen:
			over = append(over, r)
		}
	}
	return quarantined, over
}
