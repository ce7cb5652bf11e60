package tree

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fleetsync/fleetsync/orchestrator/manifest"
	"github.com/fleetsync/fleetsync/transport"
	"github.com/fleetsync/fleetsync/transport/rsync"
)

// Around is what happens around a sync of a tree, under the same lock.
type Around struct {
	Run         string     // its ID: letters, digits and -_., beginning with none of those; IDs sort by time
	Attempt     int        // of the run to sync this tree, from 1
	Fingerprint string     // of what is synced, for the Record; may be empty
	Backup      *Retention // nil: what is replaced is lost
	Prune       Retention  // of what earlier runs have kept, when Backup is nil
	// Want is what Digest must be for the tree to be recorded as good; with another one the Record stays partial, and Accept
	// may say otherwise. Empty: any is good.
	Want   string
	Digest bool // the tree's metadata digest, after the sync, is in the Record and in Stats.After; of p's paths, if it has some
}

// Retention is how much is kept: what is more goes before the next sync. The run that is under way is always kept.
type Retention struct {
	Runs int           // the newest; 0 is any number
	Age  time.Duration // since a run's last attempt; 0 is any
}

// Record is what a host knows of its tree.
type Record struct {
	Run         string   `json:"run"`
	Fingerprint string   `json:"fingerprint,omitempty"`
	Paths       []string `json:"paths,omitempty"` // what was synced; none is the whole tree
	// Partial says that a sync or an undo of Run began, and did not end well or has not ended: what the tree is, nobody knows.
	Partial bool `json:"partial,omitempty"`
	// At is when, by the clock of the host; of a partial one, when the sync was prepared, by the clock of who did that.
	At     time.Time `json:"at"`
	Digest string    `json:"digest,omitempty"` // the metadata digest after the sync, if it was asked for
}

var runID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$`)

func validRun(run string) error {
	if !runID.MatchString(run) {
		return fmt.Errorf("run %q: must be letters, digits and -_. to name a folder", clip(run))
	}
	return nil
}

// Around returns p, a sync of this tree, with what a runs before and after it. Before rsync begins, how the tree is has been
// kept, unless it has been for the run already, and the Record is partial. When it has ended well the Record says what
// was synced.
func (t Tree) Around(p rsync.Pull, a Around) (rsync.Pull, error) {
	switch {
	case p.Destination != t.Root || p.Scratch != t.Scratch:
		return p, fmt.Errorf("a sync of %q with the scratch folder %q is not one of this tree: %q, %q", p.Destination, p.Scratch, t.Root,
			t.Scratch)
	case !slices.Equal(p.Exclude, t.Exclude):
		// What one deletes and the other does not see would be lost.
		return p, fmt.Errorf("a sync that excludes %q is not one of this tree, which excludes %q", p.Exclude, t.Exclude)
	case a.Attempt < 1:
		return p, fmt.Errorf("attempt %d: must be 1 or more", a.Attempt)
	}
	if err := validRun(a.Run); err != nil {
		return p, err
	}
	if _, ok := manifest.ParseHash(a.Want); a.Want != "" && !ok {
		return p, fmt.Errorf("%q is no digest of a tree", clip(a.Want))
	}
	keep, limit := "no", a.Prune
	if a.Backup != nil {
		keep, limit = "yes", *a.Backup
		p.Backup = t.backups() + "/" + a.Run + "/" + strconv.Itoa(a.Attempt)
	}
	began := Record{Run: a.Run, Fingerprint: a.Fingerprint, Paths: p.Paths, Partial: true, At: moment()}
	args := []string{t.Root, t.Scratch, transport.FileName(t.Root), a.Run, strconv.Itoa(a.Attempt), keep, strconv.Itoa(max(0, limit.Runs)),
		strconv.Itoa(int(max(0, limit.Age) / time.Minute)), began.json()}
	find, format := t.expression()
	args = append(append(args, format), find...)
	p.Before = transport.Script{Text: common + beforeText, Args: args}

	done := began
	done.Partial = false
	var err error
	p.After, err = t.after(done.begin(), a.Digest || a.Want != "", a.Want, p.Paths)
	return p, err
}

// after returns the script that prints the digest, if it is wanted, and writes a record, if there is one
// and the digest is the expected one, if that is not empty.
func (t Tree) after(record string, digest bool, expected string, paths []string) (transport.Script, error) {
	starts, err := manifest.Starts(paths)
	if err != nil {
		return transport.Script{}, err
	}
	want := "no"
	if digest {
		want = "yes"
	}
	args := append([]string{t.Root, t.RecordPath(), record, want, expected, strconv.Itoa(len(starts))}, starts...)
	args = append(append(args, "-ignore_readdir_race"), manifest.Expression(t.Exclude, manifest.DigestFormat)...)
	return transport.Script{Text: common + afterText, Args: args}, nil
}

// backups returns the folder of what is kept of the tree.
func (t Tree) backups() string { return t.Scratch + "/keep/" + transport.FileName(t.Root) }

const acceptText = `
if ! partial "$2" "$RUN"; then die 65 "the record is not of a sync of run $RUN that is to be accepted"; fi
`

// Accept records as good what a sync of r.Run, with a Digest other than its Want, has left, under the lock that syncs take: r.Digest
// is what it printed. It is ErrChanging, and the Record stays as it is, if the tree has another digest by now or the
// Record is no longer partial because of that run. r.Partial and r.At mean nothing.
func (t Tree) Accept(ctx context.Context, r Record) error {
	s, err := t.after(r.begin(), true, r.Digest, r.Paths)
	if err == nil {
		_, err = ParseDigest([]byte(r.Digest))
	}
	if err == nil {
		err = validRun(r.Run)
	}
	if err != nil {
		return &transport.Error{Class: transport.ClassPermanent, Message: transport.Neutral(err.Error()), Err: err}
	}
	out, err := t.run(ctx, script{what: "accept what a sync has left", text: "RUN=" + r.Run + acceptText + afterText, args: s.Args,
		lock: "--exclusive", most: 1000})
	if err != nil {
		return err
	}
	if digest, err := ParseDigest(out); err != nil || digest != r.Digest {
		return &transport.Error{Class: transport.ClassTransient, Message: "cannot accept what a sync has left: " + ErrChanging.Error(),
			Err: ErrChanging}
	}
	return nil
}

// RecordPath returns the host's file with the Record, which ParseRecord reads; it is only there if the tree was ever synced
// through Around. It is always whole, and reading it takes no lock.
func (t Tree) RecordPath() string { return t.Scratch + "/" + transport.FileName(t.Root) + ".last" }

// moment is what the Record has of a time: seconds.
func moment() time.Time { return time.Now().UTC().Truncate(time.Second) }

func (r Record) json() string {
	b, err := json.Marshal(r)
	if err != nil {
		return "{}" // a time of another millennium; it reads as the Record of no run
	}
	return string(b)
}

// begin returns the record without its end, which the host adds: when, and the digest.
func (r Record) begin() string {
	type head struct {
		Run         string   `json:"run"`
		Fingerprint string   `json:"fingerprint,omitempty"`
		Paths       []string `json:"paths,omitempty"`
	}
	b, err := json.Marshal(head{r.Run, r.Fingerprint, r.Paths})
	if err != nil {
		return `{"run":""`
	}
	return strings.TrimSuffix(string(b), "}")
}

const lastText = `
if [ ! -e "$1" ]; then exit 0; fi
exec cat -- "$1"
`

// Record returns what the host says of its tree, nil if it was never synced through Around.
func (t Tree) Record(ctx context.Context) (*Record, error) {
	out, err := t.run(ctx, script{what: "read the record of the last sync", text: lastText, args: []string{t.RecordPath()}, most: 1 << 20})
	if err != nil || len(out) == 0 {
		return nil, err
	}
	return ParseRecord(out)
}

// ParseRecord reads a Record as the file RecordPath has it. An empty one is damaged, too.
func ParseRecord(b []byte) (*Record, error) {
	var r Record
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, &transport.Error{Class: transport.ClassPermanent,
			Message: "the record of the last sync is damaged: sync the host again: " + transport.Neutral(err.Error()), Err: err}
	}
	if r.Digest != "" {
		if _, ok := manifest.ParseHash(r.Digest); !ok {
			return nil, &transport.Error{Class: transport.ClassPermanent, Message: "the record of the last sync is damaged: sync the host again"}
		}
	}
	return &r, nil
}
