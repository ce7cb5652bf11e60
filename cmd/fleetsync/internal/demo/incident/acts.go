package incident

import (
	"os"
	"path/filepath"
	"slices"

	"github.com/fleetsync/fleetsync/transport"
)

// act is one thing that somebody does, and what it must come to.
type act struct {
	title string
	args  []string     // of fleetsync; {name} is what an earlier act has said
	rsync []string     // or of rsync, without fleetsync
	edit  func() error // or what is done by hand, as by says
	by    string

	code    int
	says    string   // a regular expression for what it says; a group's text is for later acts
	changes []string // hosts whose trees may be others now; all others must be the very same
	back    string   // the moment at which those held exactly what they must hold now
	like    string   // the master whose tree they must hold now, but for what is excluded
	mark    string   // what this moment is called from now on
}

// anyFailure is any exit code but 0: an rsync that a daemon has refused ends 5, or 10 if it notices the end of the
// connection first (measured with 3.5.0).
const anyFailure = -1

// acts returns all acts, in order.
func (r *Replay) acts() []act {
	var everybody []string // but the good master
	for _, h := range r.known.Hosts {
		if h.Name != r.a {
			everybody = append(everybody, h.Name)
		}
	}
	hosts := slices.DeleteFunc(slices.Clone(everybody), r.isMaster)
	const because = "the meeting is in ten minutes"
	copied := filepath.Join(r.fleet.Dir, "copy") + "/"
	return []act{
		{
			title: "A full sync: the whole fleet holds the good tree", args: []string{"sync"},
			changes: everybody, like: r.a, mark: "good",
		},
		{
			title: "Anybody may take the tree from a master that may serve", rsync: []string{"--archive", r.endpoint(r.a), copied},
		},
		{
			title: r.b + " is reimaged; most of its tree is not there yet", edit: r.reimage,
			by: "wikiversions.php is gone, and so is nearly everything; the inventory says serve: false", changes: []string{r.b}, mark: "reimaged",
		},
		{
			title: "Somebody syncs it over the good master", args: []string{"masters", "sync", "--from", r.b, "--to", r.a},
			code: exitRefused, says: "serve: false",
		},
		{
			title: "Somebody does that by hand, as it was done that day",
			rsync: []string{"--archive", "--delete", r.endpoint(r.b), r.tree(r.a) + "/"},
			code:  anyFailure, says: "(?s)pre-xfer exec.*serve: false",
		},
		{
			title: "Somebody runs a full sync from it", args: []string{"sync", "--from", r.b},
			code: exitRefused, says: "serve: false",
		},
		{
			title: "Somebody lets it serve, as it was done that day", edit: func() error { return r.serve("false", "true") },
			by: "the inventory says serve: true",
		},
		{
			title: "Somebody runs a full sync from it", args: []string{"sync", "--from", r.b},
			code: exitRefused, says: "wikiversions.php",
		},
		{
			title: "Somebody syncs it over the good master", args: []string{"masters", "sync", "--from", r.b, "--to", r.a, "--yes"},
			code: exitRefused, says: "wikiversions.php",
		},
		{
			title: "Somebody overrides that: --yes does not cover deletions",
			args:  []string{"masters", "sync", "--from", r.b, "--to", r.a, "--yes", "--override", because},
			code:  exitRefused, says: `--confirm-deletions (?P<gone>\d+)`,
		},
		{
			title: "Somebody guesses how many there are",
			args:  []string{"masters", "sync", "--from", r.b, "--to", r.a, "--yes", "--override", because, "--confirm-deletions", "1"},
			code:  exitRefused, says: `1 deletions were confirmed, and {gone} would be made`,
		},
		{
			title:   "Somebody forces it, with every override and the right number",
			args:    []string{"masters", "sync", "--from", r.b, "--to", r.a, "--yes", "--override", because, "--confirm-deletions", "{gone}"},
			says:    `from ` + r.b + ` to ` + r.a + `: create \d+, change \d+, delete {gone}`,
			changes: []string{r.a}, like: r.b, mark: "broken",
		},
		{
			title: "Somebody runs a full sync from what is left of the good master", args: []string{"sync"},
			code: exitRefused, says: `(?s)wikiversions.php is missing.*\d% of them are gone`,
		},
		{
			title: "Somebody overrides that", args: []string{"sync", "--override", because},
			code: exitRefused, says: `--confirm-deletions (?P<lost>\d+)`,
		},
		{
			title: "Somebody forces it: canaries fail the gate and get their trees back; nobody else is touched",
			args:  []string{"sync", "--override", because, "--confirm-deletions", "{lost}"},
			code:  exitHalted, says: `\d rolled back \(they have the tree that they had before\), \d+ untouched`,
		},
		{
			title:   "Somebody forces that, too: the whole fleet has the broken tree",
			args:    []string{"sync", "--override", because, "--confirm-deletions", "{lost}", "--force", because},
			says:    `run (?P<run>\d{8}-\d{6}-[0-9a-f]+) `,
			changes: everybody, like: r.a,
		},
		{
			title: "The good master gets its tree back, from what it has kept itself",
			args:  []string{"masters", "undo", "--on", r.a, "--yes"}, changes: []string{r.a}, back: "good",
		},
		{
			title: "So does every host: canaries first, judged at the gate", args: []string{"rollback", "{run}"},
			changes: hosts, back: "good",
		},
		{
			title: "Every host still holds what its last good run left there, to the last byte", args: []string{"verify", "--content"},
		},
		{
			title: "That is what is known of the fleet", args: []string{"status"}, says: `(?s)rolled back.*trees: all \d+ hosts hold the newest`,
		},
		{
			title: "What the run changed on " + r.b + " is taken back", args: []string{"masters", "undo", "--on", r.b, "--yes"},
			changes: []string{r.b}, back: "reimaged",
		},
		{
			title: "It may not serve again", edit: func() error { return r.serve("true", "false") }, by: "the inventory says serve: false",
		},
		{
			title:   "It is synced from the good master, as it should have been",
			args:    []string{"masters", "sync", "--from", r.a, "--to", r.b, "--yes"},
			changes: []string{r.b}, back: "good",
		},
		{
			title: "Masters do not differ any more", args: []string{"masters", "status"},
		},
		{
			title: "Nobody is behind", args: []string{"sync", "--behind"}, says: "no host is behind",
		},
		{
			title: "Had nothing been kept: the good master's tree is gone", edit: func() error { return os.RemoveAll(r.tree(r.a)) },
			by: "rm -r " + transport.Word(r.tree(r.a)), changes: []string{r.a},
		},
		{
			title: "It is rebuilt from what a proxy holds: in seconds, not in six hours",
			args:  []string{"masters", "restore", "--from-host", r.proxy, "--to", r.a, "--yes"},
			says:  "from " + r.proxy + " to " + r.a, changes: []string{r.a}, like: r.proxy,
		},
	}
}
