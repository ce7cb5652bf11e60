package tree

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/fleetsync/fleetsync/orchestrator/manifest"
)

// operation is one operation of apply.sh with its words.
type operation struct {
	verb, argument string
	words          []string
}

// plan is what leads from one tree to another. It is pure: nothing is asked of a host.
type plan struct {
	before, now *manifest.Manifest // nil: no tree
	kept        map[string]kept    // by path: the oldest attempt's
	parents     map[string]bool    // folders in which something is made, replaced or removed
	touched     map[string]bool    // paths about which anything is done
	meta        map[string]meta    // what a path's metadata will be once its content is; absent: as it is now
	way         map[string]bool    // onTheWay
	copied      int64              // bytes
	aside       string             // the folder for what goes
	undone      Undone
	missing     []string

	// replaced are the paths of before at which something is that another thing takes the place of by itself.
	leftovers, replaced, conflicts, conflictFolders, extras, extraFolders, folders, fifos []string
	restore                                                                               map[string][]string // by attempt
	split, links, symlinks                                                                []string
}

// kept is what an attempt has of a path.
type kept struct {
	attempt string
	entry   *manifest.Entry
}

type inode struct{ device, number uint64 }

// meta is an entry's metadata; the zero meta is not known.
type meta struct {
	known    bool
	mode     uint32
	uid, gid uint32
	mtime    int64
}

func metaOf(e *manifest.Entry) meta { return meta{true, e.Mode, e.UID, e.GID, e.Mtime} }

func inodeOf(e *manifest.Entry) inode { return inode{e.Device, e.Inode} }

// newPlan returns what makes the tree now what it was before; nil is no tree. backups are what the attempts kept: paths begin
// with the name of the attempt. It is an error, which names them, if the content of files is nowhere to be found. What goes
// or is replaced is kept in the folder aside: goes, sorted. With free bytes that are too few for copies of what was kept, it is linked.
func newPlan(before, now, backups *manifest.Manifest, aside string, free int64) (ops []operation, undone Undone, goes []string, err error) {
	p := &plan{
		before: before, now: now, aside: aside, kept: oldest(backups), parents: map[string]bool{},
		touched: map[string]bool{}, meta: map[string]meta{}, restore: map[string][]string{},
	}
	if p.before == nil {
		p.before = &manifest.Manifest{}
	}
	if p.now == nil {
		p.now = &manifest.Manifest{}
	}
	p.others()
	p.files()
	p.remove()
	if len(p.missing) > 0 {
		slices.Sort(p.missing)
		return nil, Undone{}, nil, fmt.Errorf("the content of %s is not kept, and not what it was", shown(p.missing))
	}
	if p.undone.Moved = len(p.replaced) + len(p.conflicts) + len(p.extras); p.undone.Moved > 0 {
		p.undone.Aside = aside
	}
	for _, names := range [][]string{p.replaced, p.conflicts, p.extras} {
		for _, name := range names {
			goes = append(goes, name[len("./"):])
		}
	}
	slices.Sort(goes)
	ops = p.operations(p.copied+spare > free)
	return ops, p.undone, goes, nil
}

// spare is what else an undo may need: folders, and what others write meanwhile.
const spare = 1 << 20

// oldest returns, for each path, what the oldest attempt that has it kept. Folders are left out: they are only there for
// what is in them.
func oldest(backups *manifest.Manifest) map[string]kept {
	all := map[string]kept{}
	for i := range backups.Entries {
		e := &backups.Entries[i]
		attempt, name, ok := strings.Cut(e.Path, "/")
		if !ok || !validAttempt(attempt) || e.Type == manifest.Folder {
			continue
		}
		if old, ok := all[name]; !ok || olderAttempt(attempt, old.attempt) {
			all[name] = kept{attempt, e}
		}
	}
	return all
}

// An attempt's name is its number; with .1, .2, … those of the same number before it.
func attemptOf(name string) (number, again int, ok bool) {
	n, rest, found := strings.Cut(name, ".")
	number, err := strconv.Atoi(n)
	if err != nil || number < 1 {
		return 0, 0, false
	}
	if !found {
		return number, int(^uint(0) >> 1), true
	}
	again, err = strconv.Atoi(rest)
	return number, again, err == nil && again >= 1
}

func validAttempt(name string) bool { _, _, ok := attemptOf(name); return ok }

func olderAttempt(a, b string) bool {
	an, aa, _ := attemptOf(a)
	bn, ba, _ := attemptOf(b)
	return cmp.Or(cmp.Compare(an, bn), cmp.Compare(aa, ba)) < 0
}

// same tells whether two entries of files have the size and mtime that rsync takes for the same content.
func same(a, b *manifest.Entry) bool {
	return a.Type == b.Type && a.Size == b.Size && a.Mtime == b.Mtime
}

// change notes that something is made, replaced or removed at a path.
func (p *plan) change(name string) {
	p.touched[name] = true
	if name != "." {
		p.parents[path.Dir(name)] = true
	}
}

// others plans what is no file.
func (p *plan) others() {
	for i := range p.before.Entries {
		b := &p.before.Entries[i]
		n := p.now.Find(b.Path)
		there := n != nil && n.Type == b.Type
		switch b.Type {
		case manifest.File: // files
		case manifest.Folder:
			if !there && b.Path != "." {
				p.change(b.Path)
				p.folders = append(p.folders, "./"+b.Path)
			}
			if !there {
				p.undone.Restored++
				p.meta[b.Path] = meta{}
			}
		case manifest.Symlink:
			if !there || n.Link != b.Link {
				p.change(b.Path)
				p.symlinks = append(p.symlinks, b.Link, "./"+b.Path)
				p.undone.Restored++
				p.meta[b.Path] = meta{}
			}
		case manifest.Fifo, manifest.Socket, manifest.CharDevice, manifest.BlockDevice:
			k, ok := p.kept[b.Path]
			switch {
			case ok && k.entry.Type == b.Type:
				p.restoreFrom(b, k)
			case there:
			case b.Type == manifest.Fifo:
				p.change(b.Path)
				p.fifos = append(p.fifos, "./"+b.Path)
				p.undone.Restored++
				p.meta[b.Path] = meta{}
			default:
				p.missing = append(p.missing, b.Path)
			}
		}
	}
}

func (p *plan) restoreFrom(b *manifest.Entry, k kept) {
	p.change(b.Path)
	p.restore[k.attempt] = append(p.restore[k.attempt], "./"+b.Path)
	p.copied += b.Size
	p.undone.Restored++
	// Who owns it depends on who we are; so that is set again. A file's time comes with it, and touch is a process for each
	// path; that of what is no file does not, to the nanosecond (measured with 3.5.0).
	p.meta[b.Path] = meta{}
	if b.Type == manifest.File {
		p.meta[b.Path] = meta{known: true, uid: ^b.UID, gid: ^b.GID, mode: b.Mode, mtime: k.entry.Mtime}
	}
}

// files plans the files: each inode that there was before has its content from a name that still has it, else from the oldest
// attempt; its other names are linked to that.
func (p *plan) files() {
	claimed := map[inode]bool{} // by an inode of before
	for _, names := range p.groups() {
		leader := p.unchanged(names)
		at := inode{}
		switch {
		case leader != "":
			at = inodeOf(p.now.Find(leader))
			if claimed[at] {
				// Two files were made one since: give this one its own content again.
				p.change(leader)
				p.split = append(p.split, "./"+leader)
				p.undone.Restored++
				p.meta[leader] = meta{}
				at = inode{}
			} else {
				claimed[at] = true
			}
		default:
			for _, name := range names {
				b := p.before.Find(name)
				if k, ok := p.kept[name]; ok && same(k.entry, b) {
					leader = name
					p.restoreFrom(b, k)
					break
				}
			}
			if leader == "" {
				p.missing = append(p.missing, names[0])
				continue
			}
		}
		for _, name := range names {
			if name == leader {
				continue
			}
			if n := p.now.Find(name); at != (inode{}) && n != nil && n.Type == manifest.File && inodeOf(n) == at {
				p.meta[name] = p.metaNow(leader)
				continue
			}
			p.change(name)
			p.links = append(p.links, "./"+leader, "./"+name)
			p.undone.Linked++
			p.meta[name] = p.metaNow(leader)
		}
	}
}

// metaNow returns what is known of a path's metadata after its content is put back.
func (p *plan) metaNow(name string) meta {
	if m, ok := p.meta[name]; ok {
		return m
	}
	if n := p.now.Find(name); n != nil {
		return metaOf(n)
	}
	return meta{}
}

// unchanged returns the name that has the content it had before, of those the one whose inode most of them have; or "".
func (p *plan) unchanged(names []string) string {
	best, most := "", 0
	for _, name := range names {
		b, n := p.before.Find(name), p.now.Find(name)
		if n == nil || !same(b, n) {
			continue
		}
		// What was replaced once may look the same by chance: only the inode that was kept, or none, is believed.
		if k, ok := p.kept[name]; ok && inodeOf(k.entry) != inodeOf(n) {
			continue
		}
		count := 0
		for _, other := range names {
			if o := p.now.Find(other); o != nil && o.Type == manifest.File && inodeOf(o) == inodeOf(n) {
				count++
			}
		}
		if count > most {
			best, most = name, count
		}
	}
	return best
}

// groups returns the names of the files before, those of one inode together.
func (p *plan) groups() [][]string {
	var groups [][]string
	at := map[inode]int{}
	for i := range p.before.Entries {
		b := &p.before.Entries[i]
		if b.Type != manifest.File {
			continue
		}
		if g, ok := at[inodeOf(b)]; ok && b.Links > 1 {
			groups[g] = append(groups[g], b.Path)
			continue
		}
		if b.Links > 1 {
			at[inodeOf(b)] = len(groups)
		}
		groups = append(groups, []string{b.Path})
	}
	return groups
}

// remove plans what goes: what is in the way of what was there before, at once, and the rest once that is back.
func (p *plan) remove() {
	inWay := map[string]bool{} // folders now that were none
	for i := range p.now.Entries {
		n := &p.now.Entries[i]
		b := p.before.Find(n.Path)
		above := n.Path != "." && inWay[path.Dir(n.Path)]
		conflict := b != nil && b.Type != n.Type &&
			// A new file or symlink takes the place of anything but a folder by itself.
			(n.Type == manifest.Folder || b.Type != manifest.File && b.Type != manifest.Symlink)
		if !above && !conflict && b != nil {
			// What only gets an inode of its own stays what it is.
			if p.touched[n.Path] && n.Type != manifest.Folder && !slices.Contains(p.split, "./"+n.Path) {
				p.replaced = append(p.replaced, "./"+n.Path)
			}
			continue
		}
		if n.Type == manifest.Folder && (above || conflict) {
			inWay[n.Path] = true
		}
		if n.Path == "." {
			continue // apply.sh removes it last
		}
		p.change(n.Path)
		if b == nil {
			p.undone.Removed++
		}
		switch name := "./" + n.Path; {
		case b == nil && n.Type == manifest.File && leftover(n.Path):
			p.leftovers = append(p.leftovers, name)
		case (above || conflict) && n.Type == manifest.Folder:
			p.conflictFolders = append(p.conflictFolders, name)
		case above || conflict:
			p.conflicts = append(p.conflicts, name)
		case n.Type == manifest.Folder:
			p.extraFolders = append(p.extraFolders, name)
		default:
			p.extras = append(p.extras, name)
		}
	}
	// The deepest first: what is in a folder sorts after it.
	slices.Reverse(p.conflictFolders)
	slices.Reverse(p.extraFolders)
}

// leftover tells whether a path is one of rsync's own, in which it keeps what has arrived until all has (rsync(1),
// --delay-updates). On a full disk these are what must go.
func leftover(name string) bool { return path.Base(path.Dir(name)) == ".~tmp~" }

// maxWords bounds the words of an operation whose first one is not like the others: xargs must not divide them. It takes
// 128 KiB at once (xargs(1)).
const maxWords = 64 << 10

// move returns the operations that put names, such as "./a", into the same folders below aside.
func (p *plan) move(verb string, names []string) []operation {
	var ops []operation
	at, sizes := map[string]int{}, map[string]int{} // by folder: its last operation, and how much it has
	for _, name := range names {
		folder := p.below(path.Dir(name))
		size := len(name) + 1
		if _, ok := at[folder]; !ok || sizes[folder]+size > maxWords {
			at[folder], sizes[folder] = len(ops), len(folder)+1
			ops = append(ops, operation{verb, "-", []string{folder}})
		}
		ops[at[folder]].words = append(ops[at[folder]].words, name)
		sizes[folder] += size
	}
	return ops
}

// below returns where something is kept.
func (p *plan) below(name string) string { return p.aside + "/" + path.Clean(name) }

// asideFolders returns the folders that there must be below aside.
func (p *plan) asideFolders() []string {
	need := map[string]bool{}
	for _, names := range [][]string{p.replaced, p.conflicts, p.extras} {
		for _, name := range names {
			need[p.below(path.Dir(name))] = true
		}
	}
	for _, names := range [][]string{p.conflictFolders, p.extraFolders} {
		for _, name := range names {
			if path.Base(name) != ".~tmp~" {
				need[p.below(name)] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(need))
}

// operations returns what apply.sh is to do, in its order.
func (p *plan) operations(short bool) []operation {
	// First what there is to do, because a folder that is closed to its owner is opened for what is done in it.
	differs := func(b *manifest.Entry) (owner, mode, mtime bool) {
		m := p.metaNow(b.Path)
		owner = !m.known || m.uid != b.UID || m.gid != b.GID
		// chown takes setuid and setgid away (chown(2)); a mode of a symlink means nothing.
		return owner, b.Type != manifest.Symlink && (owner || m.mode != b.Mode), !m.known || m.mtime != b.Mtime
	}
	for i := range p.before.Entries {
		b := &p.before.Entries[i]
		if owner, mode, mtime := differs(b); (owner || mode || mtime) && !p.touched[b.Path] {
			p.touched[b.Path] = true
			if p.metaNow(b.Path).known {
				p.undone.Metadata++
			}
		}
	}
	owners, modes, folderModes := map[string][]string{}, map[string][]string{}, map[string][]string{}
	var times []string
	for i := range p.before.Entries {
		b := &p.before.Entries[i]
		name := "./" + b.Path
		owner, mode, mtime := differs(b)
		if owner {
			id := fmt.Sprintf("%d:%d", b.UID, b.GID)
			owners[id] = append(owners[id], name)
		}
		if mode || p.opens(b.Path) {
			digits := strconv.FormatUint(uint64(b.Mode), 8)
			// Of five digits, because with four chmod leaves a folder's setuid and setgid as they are (chmod(1)).
			digits = strings.Repeat("0", max(0, 5-len(digits))) + digits
			if b.Type == manifest.Folder {
				folderModes[digits] = append(folderModes[digits], name)
			} else {
				modes[digits] = append(modes[digits], name)
			}
		}
		if mtime || p.parents[b.Path] {
			times = append(times, "-d", stamp(b.Mtime), name)
		}
	}

	var ops []operation
	add := func(verb, argument string, words []string) {
		if len(words) > 0 {
			ops = append(ops, operation{verb, argument, words})
		}
	}
	add("open", "-", p.closed())
	add("remove", "-", p.leftovers)
	add("room", "-", p.asideFolders())
	// What is replaced is there until it is, unless there is no room for what takes its place.
	keep, restore := "spare", "restore"
	if short {
		keep, restore = "aside", "relink"
	}
	ops = append(ops, p.move(keep, p.replaced)...)
	ops = append(ops, p.move("aside", p.conflicts)...)
	add("clear", "-", p.conflictFolders)
	add("mkdir", "-", p.folders)
	for _, attempt := range slices.Sorted(maps.Keys(p.restore)) {
		add(restore, attempt, p.restore[attempt])
	}
	add("split", "-", p.split)
	add("link", "-", p.links)
	add("symlink", "-", p.symlinks)
	add("fifo", "-", p.fifos)
	ops = append(ops, p.move("aside", p.extras)...)
	add("rmdir", "-", p.extraFolders)
	for _, owner := range slices.Sorted(maps.Keys(owners)) {
		add("chown", owner, owners[owner])
	}
	for _, mode := range slices.Sorted(maps.Keys(modes)) {
		add("chmod", mode, modes[mode])
	}
	add("touch", "-", times)
	// The deepest first, and after all else: a folder may be closed to its owner.
	for _, mode := range slices.Sorted(maps.Keys(folderModes)) {
		slices.Reverse(folderModes[mode])
	}
	ops = append(ops, closing(folderModes)...)
	return ops
}

// closing returns what sets the modes of folders: those that let their owner in first, because the others may be above them.
func closing(modes map[string][]string) []operation {
	var open, closed []operation
	for _, mode := range slices.Sorted(maps.Keys(modes)) {
		m, _ := strconv.ParseUint(mode, 8, 32)
		if m&0o700 == 0o700 {
			open = append(open, operation{"chmod", mode, modes[mode]})
			continue
		}
		closed = append(closed, operation{"chmod", mode, modes[mode]})
	}
	if len(closed) < 2 {
		return append(open, closed...)
	}
	// Of different modes, one may be in the other: one at a time, the deepest first.
	var each []operation
	for _, o := range closed {
		for _, name := range o.words {
			each = append(each, operation{o.verb, o.argument, []string{name}})
		}
	}
	slices.SortFunc(each, func(a, b operation) int { return strings.Compare(b.words[0], a.words[0]) })
	return append(open, each...)
}

// closed returns the folders that must be opened to their owner first, from the top: those on the way to anything that is
// done.
func (p *plan) closed() []string {
	var names []string
	for name := range p.onTheWay() {
		if p.opens(name) {
			names = append(names, "./"+name)
		}
	}
	slices.Sort(names)
	return names
}

// opens tells whether a folder is opened for the undo.
func (p *plan) opens(name string) bool {
	n := p.now.Find(name)
	return n != nil && n.Type == manifest.Folder && n.Mode&0o700 != 0o700 && p.onTheWay()[name]
}

func (p *plan) onTheWay() map[string]bool {
	if p.way != nil {
		return p.way
	}
	p.way = map[string]bool{}
	for name := range p.touched {
		for name != "." {
			name = path.Dir(name)
			if p.way[name] {
				break
			}
			p.way[name] = true
		}
	}
	return p.way
}

// stamp returns a time as touch(1) takes it.
func stamp(t int64) string {
	sign := ""
	if t < 0 {
		sign, t = "-", -t
	}
	return fmt.Sprintf("@%s%d.%09d", sign, t/1e9, t%1e9)
}

// encode returns operations as apply.sh reads them.
func encode(ops []operation) []byte {
	var b []byte
	for _, o := range ops {
		size := 0
		for _, w := range o.words {
			size += len(w) + 1
		}
		b = fmt.Appendf(b, "%s %s %d\n", o.verb, o.argument, size)
		for _, w := range o.words {
			b = append(append(b, w...), 0)
		}
	}
	return b
}
