package guard

import (
	"context"
	"crypto/sha256"
	"fmt"
	"regexp"
	"strings"

	"github.com/fleetsync/fleetsync/orchestrator/manifest"
)

// Rule is what a finding is about.
type Rule string

// The rules.
const (
	RuleEmpty       Rule = "empty"       // there must be a file
	RuleRequired    Rule = "required"    // what must be there, and what it must say
	RuleShrink      Rule = "shrink"      // how much may be gone since the last good run
	RuleProvisioned Rule = "provisioned" // the machine must be ready
	RuleOwner       Rule = "owner"       // whose everything must be
	RulePath        Rule = "path"        // what rsync cannot take
	RuleSparse      Rule = "sparse"      // files that are mostly holes
	RuleSubmodule   Rule = "submodule"   // uninitialised, or in conflict
	RuleUntracked   Rule = "untracked"   // files that git does not know
	RuleUnfinished  Rule = "unfinished"  // a merge or the like that somebody is in the middle of
	RuleMissing     Rule = "missing"     // files that git knows and that are not there
	RuleGit         Rule = "git"         // git could not say
	RuleDangling    Rule = "dangling"    // symlinks to nothing
	RuleSpecial     Rule = "special"     // what is no file, folder or symlink
)

// Required is a path that must be a file with something in it.
type Required struct {
	Path  string         // relative to the tree
	Match *regexp.Regexp // what the first MiB of it must match; nil is anything
}

// Last is what the tree of the last good run had.
type Last struct {
	Files int
	Bytes int64
}

// Rules are what a tree must keep to. Some need not be asked for: a tree must have a file, paths that rsync can take,
// and checkouts that are whole.
type Rules struct {
	Required    []Required
	MaxShrink   int      // of the files and of the bytes of the last good run, in hundredths of a percent; 0 is nothing at all
	Provisioned string   // an absolute path that is there once the machine is ready to be synced from; empty asks for none
	Owners      []uint32 // user IDs one of which must own everything; none is anybody
	Untracked   []string // patterns, as for excludes and relative to the tree, of what git need not know
	SkipGit     bool     // do not look at checkouts at all
	Sparse      bool     // let files be mostly holes
}

// Finding is one thing that is wrong with a tree. All of it is fit to be shown.
type Finding struct {
	Rule Rule   `json:"rule"`
	Path string `json:"path,omitempty"` // quoted if it cannot be printed
	Text string `json:"text"`           // what is wrong, to come after the path if there is one
	Hint string `json:"hint,omitempty"` // what to do
}

// String returns the finding without its hint.
func (f Finding) String() string {
	if f.Path == "" {
		return f.Text
	}
	return f.Path + " " + f.Text
}

// Report is what Inspect found. A tree may be synced from if nothing refuses it.
type Report struct {
	Refusals []Finding `json:"refusals,omitempty"`
	Warnings []Finding `json:"warnings,omitempty"`
}

const (
	// maxFindings is how many paths are named for a rule; the rest is counted.
	maxFindings = 10
	// maxPath is how long a path may be, in bytes. Linux takes 4095. With --delay-updates rsync puts a path's last
	// component into a folder of its own, and ends with exit 13 where it does not fit (measured with 3.5.0); what a sync
	// replaced is kept below a folder too.
	maxPath = 4000
	// leftover is where rsync --delay-updates keeps what has arrived. A sender hides folders of that name (measured with 3.5.0).
	leftover = ".~tmp~"
	// sparseSize is how large a file must be before its holes matter, in bytes.
	sparseSize = 64 << 20
	// maxRead is how much of a required file is looked at, in bytes.
	maxRead = 1 << 20
)

// findings collects what one rule found in one way.
type findings struct {
	rule  Rule
	hint  string
	named []Finding
	more  int
}

func (f *findings) add(path, text string) {
	if len(f.named) == maxFindings {
		f.more++
		return
	}
	if path != "" {
		path = show(path)
	}
	f.named = append(f.named, Finding{Rule: f.rule, Path: path, Text: text, Hint: f.hint})
}

func (f *findings) all() []Finding {
	if f.more > 0 {
		return append(f.named, Finding{Rule: f.rule, Text: fmt.Sprintf("and %d more", f.more), Hint: f.hint})
	}
	return f.named
}

// Inspect judges a tree, whose manifest Scan made just now, by the rules, and by the last good run if there was one. What it
// cannot find out is an error, but for what git does not say, which refuses the tree.
func Inspect(ctx context.Context, t Tree, m *manifest.Manifest, rules Rules, last *Last) (Report, error) {
	var report Report
	refuse := func(f *findings) { report.Refusals = append(report.Refusals, f.all()...) }
	warn := func(f *findings) { report.Warnings = append(report.Warnings, f.all()...) }

	f, err := provisioned(ctx, t, rules.Provisioned)
	if err != nil {
		return Report{}, err
	}
	refuse(f)
	refuse(empty(m))
	if f, err = required(ctx, t, m, rules.Required); err != nil {
		return Report{}, err
	}
	refuse(f)
	refuse(shrunk(m, rules.MaxShrink, last))
	refuse(owned(m, rules.Owners))
	refuse(unfit(m))
	if !rules.Sparse {
		refuse(sparse(m))
	}
	if !rules.SkipGit {
		refused, warned, err := audit(ctx, t, m, rules.Untracked)
		if err != nil {
			return Report{}, err
		}
		report.Refusals = append(report.Refusals, refused...)
		report.Warnings = append(report.Warnings, warned...)
	}
	warn(dangling(m))
	warn(special(m))
	return report, nil
}

func provisioned(ctx context.Context, t Tree, marker string) (*findings, error) {
	f := &findings{rule: RuleProvisioned,
		hint: "finish setting up the machine that the tree is on; its provisioning makes this file when it is done"}
	if marker == "" {
		return f, nil
	}
	there, err := t.Exists(ctx, marker)
	if err != nil {
		return nil, err
	}
	if len(there) != 1 || !there[0] {
		f.add(marker, "is missing: the machine is not provisioned")
	}
	return f, nil
}

func empty(m *manifest.Manifest) *findings {
	f := &findings{rule: RuleEmpty, hint: "restore the tree; to sync it would delete everything everywhere"}
	if files, _ := m.Count(); files == 0 {
		f.add("", "the tree has no file")
	}
	return f
}

func required(ctx context.Context, t Tree, m *manifest.Manifest, all []Required) (*findings, error) {
	f := &findings{rule: RuleRequired, hint: "restore it, or change guard.required in the policy"}
	for _, r := range all {
		e, _ := resolve(m, r.Path)
		switch {
		case e == nil && m.Find(r.Path) != nil:
			f.add(r.Path, "is a symlink to nothing in the tree, and required")
		case e == nil:
			f.add(r.Path, "is missing, and required")
		case e.Type != manifest.File:
			f.add(r.Path, "is no file, and required to be one")
		case e.Size == 0:
			f.add(r.Path, "is empty, and required")
		case r.Match != nil:
			b, err := t.Read(ctx, e.Path, maxRead)
			if err != nil {
				return nil, err
			}
			// Or the guard would judge another file than the one that was scanned.
			if int64(len(b)) != min(e.Size, maxRead) || e.Size <= maxRead && e.Hash != (manifest.Hash{}) && sha256.Sum256(b) != e.Hash {
				return nil, fmt.Errorf("%s: %w", show(e.Path), ErrChanging)
			}
			if !r.Match.Match(b) {
				f.add(r.Path, "does not match "+show(r.Match.String()))
			}
		}
	}
	return f, nil
}

func shrunk(m *manifest.Manifest, most int, last *Last) *findings {
	f := &findings{rule: RuleShrink, hint: "see what is gone; if it is meant to be, override it, or raise guard: max_shrink in the policy"}
	if last == nil {
		return f
	}
	files, size := m.Count()
	for _, of := range []struct {
		was, is int64
		what    string
	}{{int64(last.Files), int64(files), "files"}, {last.Bytes, size, "bytes"}} {
		gone := of.was - of.is
		// In this order, because the product of a tree's bytes with 10,000 might not fit.
		if allowed := of.was/10000*int64(most) + of.was%10000*int64(most)/10000; gone > allowed {
			f.add("", fmt.Sprintf("the tree has %d %s, and had %d in the last good run: %s of them are gone, at most %s may be",
				of.is, of.what, of.was, percent(float64(gone)/float64(of.was)), percent(float64(most)/10000)))
		}
	}
	return f
}

func percent(share float64) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.2f", 100*share), "0"), ".") + "%"
}

func owned(m *manifest.Manifest, owners []uint32) *findings {
	f := &findings{rule: RuleOwner, hint: "chown it, or change guard.owners in the policy"}
	if len(owners) == 0 {
		return f
	}
	allowed := map[uint32]bool{}
	for _, uid := range owners {
		allowed[uid] = true
	}
	for i := range m.Entries {
		if e := &m.Entries[i]; !allowed[e.UID] {
			f.add(e.Path, fmt.Sprintf("is owned by user %d", e.UID))
		}
	}
	return f
}

// unfit finds the paths that rsync fails on.
func unfit(m *manifest.Manifest) *findings {
	f := &findings{rule: RulePath, hint: "shorten or delete it: rsync cannot sync it"}
	for i := range m.Entries {
		path := m.Entries[i].Path
		if len(path) > maxPath {
			if strings.LastIndexByte(path, '/') <= maxPath { // or what it is in has been named
				f.add(path, fmt.Sprintf("is longer than %d bytes", maxPath))
			}
			continue
		}
		if name := path[strings.LastIndexByte(path, '/')+1:]; name == leftover {
			f.add(path, "was left by an rsync that died, and is passed over by every other: delete it")
			continue
		}
		if len(path) <= 255 {
			continue
		}
		for c := range strings.SplitSeq(path, "/") {
			if len(c) > 255 {
				f.add(path, "has a component longer than 255 bytes")
				break
			}
		}
	}
	return f
}

// mostlyHoles tells whether less than half of a large file is on the disk.
func mostlyHoles(e *manifest.Entry) bool {
	return e.Type == manifest.File && e.Size >= sparseSize && e.Blocks < e.Size/2/512
}

func sparse(m *manifest.Manifest) *findings {
	f := &findings{rule: RuleSparse, hint: "delete it, or allow sparse files in the policy: rsync would write all of it on every host"}
	for i := range m.Entries {
		e := &m.Entries[i]
		if mostlyHoles(e) {
			f.add(e.Path, fmt.Sprintf("has %d bytes of which only %d are on the disk", e.Size, e.Blocks*512))
		}
	}
	return f
}

func dangling(m *manifest.Manifest) *findings {
	f := &findings{rule: RuleDangling, hint: "point it at something in the tree, or delete it"}
	for i := range m.Entries {
		e := &m.Entries[i]
		if e.Type != manifest.Symlink {
			continue
		}
		if to, judged := resolve(m, e.Path); to == nil && judged {
			f.add(e.Path, "is a symlink to "+show(e.Link)+", which the tree does not have")
		}
	}
	return f
}

func special(m *manifest.Manifest) *findings {
	f := &findings{rule: RuleSpecial, hint: "delete or exclude it, unless it is meant to be on every host"}
	for i := range m.Entries {
		switch e := &m.Entries[i]; e.Type {
		case manifest.Fifo:
			f.add(e.Path, "is a named pipe")
		case manifest.Socket:
			f.add(e.Path, "is a socket")
		case manifest.CharDevice, manifest.BlockDevice:
			f.add(e.Path, "is a device")
		case manifest.File, manifest.Folder, manifest.Symlink:
		}
	}
	return f
}

// resolve follows the symlinks in a path as long as they stay within the tree, and returns what it leads to, or nil if
// that is nothing. It is not judged if it leads out of the tree, where each host has its own.
func resolve(m *manifest.Manifest, path string) (e *manifest.Entry, judged bool) {
	const maxLinks = 40 // as in Linux
	links, rest := 0, strings.Split(path, "/")
	var at []string // the components so far, none of them a symlink
	for len(rest) > 0 {
		c := rest[0]
		rest = rest[1:]
		switch c {
		case "", ".":
			continue
		case "..":
			if len(at) == 0 {
				return nil, false
			}
			at = at[:len(at)-1]
			continue
		}
		e = m.Find(strings.Join(append(at, c), "/"))
		switch {
		case e == nil:
			return nil, true
		case e.Type == manifest.Symlink:
			if strings.HasPrefix(e.Link, "/") {
				return nil, false
			}
			if links++; links > maxLinks {
				return nil, true
			}
			rest = append(strings.Split(e.Link, "/"), rest...)
			continue
		case e.Type != manifest.Folder && len(rest) > 0:
			return nil, true
		}
		at = append(at, c)
	}
	if len(at) == 0 {
		return m.Find("."), true
	}
	return m.Find(strings.Join(at, "/")), true
}
