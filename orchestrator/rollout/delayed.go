package rollout

import (
	"container/heap"
	"time"
)

// delayed holds the hosts of the current stage that may not be tried before some time: a heap by
// that time, in which a host is found and removed by its index.
type delayed struct {
	hosts []int
	at    map[int]int // host → its place in hosts
	due   map[int]time.Time
}

func newDelayed() *delayed {
	return &delayed{at: map[int]int{}, due: map[int]time.Time{}}
}

func (d *delayed) add(host int, due time.Time) {
	d.remove(host)
	d.due[host] = due
	heap.Push((*byDue)(d), host)
}

func (d *delayed) remove(host int) {
	if i, ok := d.at[host]; ok {
		heap.Remove((*byDue)(d), i)
		delete(d.due, host)
	}
}

func (d *delayed) has(host int) bool {
	_, ok := d.at[host]
	return ok
}

func (d *delayed) size() int { return len(d.hosts) }

// walk calls visit for each host that is due, earliest branches first, until visit returns false.
// It looks at no more than twice the hosts it visits.
func (d *delayed) walk(now time.Time, visit func(host int) bool) { d.walkFrom(0, now, visit) }

func (d *delayed) walkFrom(i int, now time.Time, visit func(host int) bool) bool {
	if i >= len(d.hosts) || d.due[d.hosts[i]].After(now) {
		return true
	}
	return visit(d.hosts[i]) && d.walkFrom(2*i+1, now, visit) && d.walkFrom(2*i+2, now, visit)
}

// wake returns the earliest time after now at which a host becomes due; zero if there is none.
func (d *delayed) wake(now time.Time) time.Time {
	var wake time.Time
	d.wakeFrom(0, now, &wake)
	return wake
}

func (d *delayed) wakeFrom(i int, now time.Time, wake *time.Time) {
	if i >= len(d.hosts) {
		return
	}
	if due := d.due[d.hosts[i]]; due.After(now) {
		earliest(wake, due)
		return
	}
	d.wakeFrom(2*i+1, now, wake)
	d.wakeFrom(2*i+2, now, wake)
}

// earliest moves *wake to t if that is earlier; a zero time is no time.
func earliest(wake *time.Time, t time.Time) {
	if !t.IsZero() && (wake.IsZero() || t.Before(*wake)) {
		*wake = t
	}
}

// byDue is delayed as a container/heap.
type byDue delayed

func (b *byDue) Len() int { return len(b.hosts) }
func (b *byDue) Less(i, j int) bool {
	x, y := b.hosts[i], b.hosts[j]
	if !b.due[x].Equal(b.due[y]) {
		return b.due[x].Before(b.due[y])
	}
	return x < y
}
func (b *byDue) Swap(i, j int) {
	b.hosts[i], b.hosts[j] = b.hosts[j], b.hosts[i]
	b.at[b.hosts[i]], b.at[b.hosts[j]] = i, j
}
func (b *byDue) Push(x any) {
	host := x.(int)
	b.at[host] = len(b.hosts)
	b.hosts = append(b.hosts, host)
}
func (b *byDue) Pop() any {
	last := len(b.hosts) - 1
	host := b.hosts[last]
	b.hosts = b.hosts[:last]
	delete(b.at, host)
	return host
}
