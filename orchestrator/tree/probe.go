package tree

import (
	"context"
	_ "embed"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/fleetsync/fleetsync/transport"
	"github.com/fleetsync/fleetsync/transport/rsync"
)

//go:embed probe.sh
var probeText string

// Probe is what a host has of what syncs of its tree need.
type Probe struct {
	Clock  time.Time // the host's, when it was asked
	Rsync  string    // its version; empty: there is none
	Lacks  []string  // programs that are missing
	Root   string    // what is wrong with the tree's folder; empty: it is there, or can be made
	Absent bool      // the tree is not there yet
	Beside string    // what is wrong with the scratch folder; empty: nothing
	Apart  bool      // the scratch folder is on another file system, so that nothing can be kept
	Free   int64     // bytes, to whom the host's commands run as
}

// Probe asks the host what syncs of the tree need, in one command. It makes and changes nothing there.
func (t Tree) Probe(ctx context.Context) (Probe, error) {
	out, err := t.run(ctx, script{what: "ask what there is", text: probeText, args: []string{t.Root, t.Scratch}, most: 64 << 10})
	if err != nil {
		return Probe{}, err
	}
	return parseProbe(string(out))
}

func parseProbe(out string) (Probe, error) {
	wrong := &transport.Error{Class: transport.ClassPermanent, Message: "cannot ask what there is: the host answers something else"}
	f := strings.Split(strings.TrimSuffix(out, "\x00"), "\x00")
	if len(f) != 7 {
		return Probe{}, wrong
	}
	nanoseconds, err := strconv.ParseInt(f[0], 10, 64)
	if err != nil {
		return Probe{}, wrong
	}
	p := Probe{Clock: time.Unix(0, nanoseconds).UTC(), Lacks: strings.Fields(transport.Neutral(f[2])), Absent: f[3] == "new",
		Apart: f[5] != "yes"}
	if words := strings.Fields(transport.Neutral(f[1])); len(words) > 2 && words[0] == "rsync" {
		p.Rsync = words[2] // rsync  version 3.2.7  protocol version 31
	}
	for i, into := range []*string{&p.Root, &p.Beside} {
		if s := f[3+i]; s != "there" && s != "new" {
			*into = clip(transport.Neutral(s))
		}
	}
	blocks, size, _ := strings.Cut(f[6], " ")
	b, err1 := strconv.ParseInt(blocks, 10, 64)
	s, err2 := strconv.ParseInt(size, 10, 64)
	if err1 != nil || err2 != nil || b < 0 || s <= 0 || b > math.MaxInt64/s {
		return Probe{}, fmt.Errorf("%w (free space)", wrong)
	}
	p.Free = b * s
	return p, nil
}

// Wrong returns what of the answers keeps a sync from the host.
func (p Probe) Wrong() []string {
	var all []string
	wrong := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	switch version, err := rsync.ParseVersion("rsync version " + p.Rsync); {
	case p.Rsync == "":
		wrong("rsync is missing")
	case err != nil:
		wrong("%v", err)
	case !version.AtLeast(3, 1, 3):
		wrong("rsync %s is too old: 3.1.3 and later compare nanoseconds", p.Rsync)
	}
	for _, program := range p.Lacks {
		wrong("%s is missing", program)
	}
	if p.Root != "" {
		wrong("the tree: %s", p.Root)
	}
	if p.Beside != "" {
		wrong("the scratch folder: %s", p.Beside)
	}
	if p.Apart {
		wrong("the scratch folder is not on the tree's file system: nothing can be kept there")
	}
	return all
}
