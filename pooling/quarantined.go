package pooling

import "slices"

// Quarantined is a host that is out of pools because it had no good tree.
type Quarantined struct {
	Receipt
	Out []Object // its objects that the receipt's run took out, as they are now; at least one
	In  []Object // those that say "yes": somebody has put them back, or the run died before it was through
}

// Quarantined tells apart receipts, which are QuarantineReceipts, in their order: those that the pools bear out, as somebody may have put
// the hosts of the others back, and those that are over, because all that they tell of is there and nothing of it is out because of them.
// What tells of objects that the snapshot does not have is neither. A host that two runs took out is there twice.
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
