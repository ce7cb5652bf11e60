package rollout

// level is how near a host is to a source.
type level int

const (
	sameRack level = iota
	sameDatacenter
	anywhere
	levels
)

// none is the index of no host.
const none = -1

// queue holds the hosts of the current stage that wait for their first source. It is three sets of
// doubly linked lists, one for each level: each host is in the list of its rack, of its datacenter
// and in the one list of all, so that a source finds the nearest waiting host, and a host leaves
// the queue, in constant time.
type queue struct {
	place [levels][]int // host → its list at a level; none where it names no such place
	lists [levels][]list
	links [levels][]link
	in    []bool
	size  int
}

type list struct{ head, tail int }

type link struct{ prev, next int }

func newQueue(hosts []Host) *queue {
	q := &queue{in: make([]bool, len(hosts))}
	numbers := map[string]int{}
	for l := range levels {
		q.place[l] = make([]int, len(hosts))
		q.links[l] = make([]link, len(hosts))
		for i, h := range hosts {
			key, ok := placeOf(h, l)
			if !ok {
				q.place[l][i] = none
				continue
			}
			n, known := numbers[key]
			if !known {
				n = len(q.lists[l])
				numbers[key] = n
				q.lists[l] = append(q.lists[l], list{none, none})
			}
			q.place[l][i] = n
		}
		clear(numbers)
	}
	return q
}

// placeOf names the place of a host at a level. Racks are told apart by their datacenter too: rack
// A1 exists everywhere.
func placeOf(h Host, l level) (string, bool) {
	switch l {
	case sameRack:
		return h.Datacenter + "\x00" + h.Rack, h.Rack != ""
	case sameDatacenter:
		return h.Datacenter, h.Datacenter != ""
	default:
		return "", true
	}
}

// near returns the nearest level at which two hosts share a place.
func (q *queue) near(a, b int) level {
	for l := sameRack; l < anywhere; l++ {
		if q.place[l][a] != none && q.place[l][a] == q.place[l][b] {
			return l
		}
	}
	return anywhere
}

// first returns the first waiting host at a level from source, or none.
func (q *queue) first(l level, source int) int {
	p := q.place[l][source]
	if p == none {
		return none
	}
	return q.lists[l][p].head
}

// next returns the waiting host after host in its list at a level, or none.
func (q *queue) next(l level, host int) int { return q.links[l][host].next }

// head returns the first waiting host of all, or none.
func (q *queue) head() int {
	if len(q.in) == 0 {
		return none
	}
	return q.first(anywhere, 0)
}

func (q *queue) push(host int) {
	if q.in[host] {
		return
	}
	q.in[host] = true
	q.size++
	for l := range levels {
		p := q.place[l][host]
		if p == none {
			continue
		}
		at := &q.lists[l][p]
		q.links[l][host] = link{prev: at.tail, next: none}
		if at.tail == none {
			at.head = host
		} else {
			q.links[l][at.tail].next = host
		}
		at.tail = host
	}
}

func (q *queue) remove(host int) {
	if !q.in[host] {
		return
	}
	q.in[host] = false
	q.size--
	for l := range levels {
		p := q.place[l][host]
		if p == none {
			continue
		}
		at, k := &q.lists[l][p], q.links[l][host]
		if k.prev == none {
			at.head = k.next
		} else {
			q.links[l][k.prev].next = k.next
		}
		if k.next == none {
			at.tail = k.prev
		} else {
			q.links[l][k.next].prev = k.prev
		}
	}
}
