package rollout

import (
	"encoding/json"
	"iter"
)

// HostList is the reports of all hosts of a run but its origin, in the fleet's order. Copies share what they hold: a list
// that was handed out never changes. The zero HostList is empty.
type HostList struct {
	blocks []*hostBlock
	index  map[string]int // host → its place in the plan
	n      int
}

// hostBlock is a part of a list that is copied as a whole when a host in it changes.
type hostBlock [blockSize]*HostReport

const blockSize = 64

func newHostList(p *Plan, index map[string]int) HostList {
	l := HostList{blocks: make([]*hostBlock, (len(p.Hosts)+blockSize-1)/blockSize), index: index}
	for i := range l.blocks {
		l.blocks[i] = &hostBlock{}
	}
	return l
}

// at returns the report of the host at a place in the plan; nil where there is none.
func (l *HostList) at(i int) *HostReport { return l.blocks[i/blockSize][i%blockSize] }

// set replaces a report, and leaves alone what was handed out.
func (l *HostList) set(i int, r *HostReport) {
	block := *l.blocks[i/blockSize]
	if block[i%blockSize] == nil {
		l.n++
	}
	block[i%blockSize] = r
	l.blocks[i/blockSize] = &block
}

// share returns a list that later changes of l do not reach.
func (l *HostList) share() HostList {
	shared := *l
	shared.blocks = append([]*hostBlock(nil), l.blocks...)
	return shared
}

// Len returns how many hosts there are.
func (l HostList) Len() int { return l.n }

// All returns the reports in order. They must not be changed.
func (l HostList) All() iter.Seq[*HostReport] {
	return func(yield func(*HostReport) bool) {
		for _, block := range l.blocks {
			for _, r := range block {
				if r != nil && !yield(r) {
					return
				}
			}
		}
	}
}

// Get returns the report of one host; false where the list has none.
func (l HostList) Get(host string) (HostReport, bool) {
	i, ok := l.index[host]
	if !ok || l.at(i) == nil {
		return HostReport{}, false
	}
	return *l.at(i), true
}

// MarshalJSON writes the reports as an array.
func (l HostList) MarshalJSON() ([]byte, error) {
	reports := make([]*HostReport, 0, l.n)
	for r := range l.All() {
		reports = append(reports, r)
	}
	return json.Marshal(reports)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (l *HostList) UnmarshalJSON(data []byte) error {
	var reports []HostReport
	if err := json.Unmarshal(data, &reports); err != nil {
		return err
	}
	index := make(map[string]int, len(reports))
	*l = newHostList(&Plan{Hosts: make([]Host, len(reports))}, index)
	for i := range reports {
		index[reports[i].Host] = i
		l.set(i, &reports[i])
	}
	return nil
}
