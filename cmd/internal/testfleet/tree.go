package testfleet

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Versions is the file of a generated tree that says which version of it is served.
const Versions = "wikiversions.php"

// Tree says what tree to make.
type Tree struct {
	Copy     string // of a tree that is there; empty generates one, which the rest is about
	Files    int    // regular files, at least 1
	Bytes    int    // of each file but Versions, which no compression makes much smaller; 0: as a grown tree has them
	Excluded bool   // add files that Exclude is for; Files does not count them
}

// Make makes the tree in a directory, which may exist if it is empty.
func (t Tree) Make(ctx context.Context, dir string) error {
	var err error
	if t.Copy != "" {
		err = copyTree(ctx, t.Copy, dir)
	} else {
		err = t.generate(ctx, dir)
	}
	if err != nil {
		return fmt.Errorf("cannot make the tree: %w", err)
	}
	return nil
}

// generate makes a tree shaped like a checkout of MediaWiki, always the same one: so many regular
// files, a few symbolic links that lead to what is there, and an empty directory.
func (t Tree) generate(ctx context.Context, dir string) error {
	w := newTreeWriter(dir, t.Bytes)
	for _, folder := range []string{"", php, php + "/images"} {
		if err := w.folder(folder); err != nil {
			return err
		}
	}
	for i, f := range treeFiles(t.Files, w.random) {
		if i%100 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if t.Bytes > 0 && f.path != Versions {
			f.size, f.head = t.Bytes, ""
		}
		if err := w.file(f); err != nil {
			return err
		}
	}
	if t.Excluded {
		for _, f := range excludedFiles {
			if err := w.file(f); err != nil {
				return err
			}
		}
	}
	for _, l := range treeLinks {
		// Nothing dangles, however small the tree.
		folder := path.Dir(l[0])
		if _, err := os.Stat(filepath.Join(dir, folder, l[1])); err != nil {
			continue
		}
		if err := w.folder(folder); err != nil {
			return err
		}
		if err := os.Symlink(l[1], filepath.Join(dir, l[0])); err != nil {
			return err
		}
	}
	return nil
}

const (
	php     = "php-1.27.0-wmf.11"
	l10n    = php + "/cache/l10n/"
	regular = 0o644
)

type treeFile struct {
	path string
	size int
	mode fs.FileMode
	head string // what it begins with
}

// firstFiles are in every tree, as far as there is room.
var firstFiles = []treeFile{
	{Versions, 400, regular, "<?php\nreturn [\n\t'enwiki' => '" + php + "',\n\t'dewiki' => '" + php + "',\n];\n"},
	{php + "/includes/DefaultSettings.php", 40_000, regular, "<?php\n"},
	{php + "/index.php", 1_000, regular, "<?php\n"},
	{php + "/README", 3_000, regular, ""},
	{php + "/maintenance/run.sh", 300, 0o755, "#!/bin/sh\n"},
	{php + "/vendor/psr/log/Psr/Log/Test/Fixtures/Nested/Deeper/Still/Handler.php", 900, regular, "<?php\n"},
	{php + "/languages/data/Übersetzung – 日本語.txt", 700, regular, ""},
	{php + "/tests/phpunit/data/an empty file.txt", 0, 0o600, ""},
	{php + "/extensions/Math/math font.ttf", 512 << 10, regular, ""},
	{php + "/resources/assets/sprites.png", 768 << 10, regular, ""},
	{"wmf-config/CommonSettings.php", 60_000, regular, "<?php\n"},
	{"wmf-config/InitialiseSettings.php", 200_000, regular, "<?php\n"},
	{"wmf-config/db-eqiad.php", 9_000, regular, "<?php\n"},
	{"wmf-config/db-codfw.php", 9_000, regular, "<?php\n"},
	{"docroot/wikipedia.org/index.html", 2_000, regular, "<!DOCTYPE html>\n"},
	{"docroot/wikipedia.org/robots.txt", 500, regular, ""},
	{"docroot/foundation/Press kit/logo 2016 (final) & more.svg", 5_000, regular, "<svg>"},
}

// treeLinks are the symbolic links, and what they say.
var treeLinks = [][2]string{
	{"php", php},
	{"docroot/wikibooks.org", "wikipedia.org"},
	{"wmf-config/db-secondary.php", "db-codfw.php"},
	{php + "/extensions/Math/README link", "../../README"},
}

// Exclude are an inventory's patterns for a generated tree. A tree that was given is synced whole.
var Exclude = []string{"**/.git", "*.swp", "**/cache/l10n/*.cdb"}

// excludedFiles are what Exclude is for.
var excludedFiles = []treeFile{
	{".git/HEAD", 21, regular, "ref: refs/heads/main\n"},
	{php + "/.git/objects/ab/cdef", 2_000, regular, ""},
	{"wmf-config/.CommonSettings.php.swp", 12_000, regular, ""},
	{l10n + "l10n_cache-en.cdb", 64 << 10, regular, ""},
}

// treeFiles returns the files of a tree.
func treeFiles(n int, random *rand.Rand) []treeFile {
	files := slices.Clone(firstFiles[:min(n, len(firstFiles))])
	extensions := strings.Fields("AbuseFilter CentralAuth Cite Echo Flow Math MobileFrontend ParserFunctions Scribunto VisualEditor Wikibase")
	folders := strings.Fields("api cache db diff filerepo/file installer jobqueue/jobs media parser resourceloader specials upload")
	pick := func(words []string) string { return words[random.IntN(len(words))] }
	for i := len(files); i < n; i++ {
		f := treeFile{mode: regular, head: "<?php\n", size: 200 + random.IntN(1800)}
		if random.IntN(20) == 0 {
			f.size = 10_000 + random.IntN(20_000)
		}
		switch random.IntN(10) {
		case 0, 1, 2:
			f.path = fmt.Sprintf("%s/includes/%s/Class%d.php", php, pick(folders), i)
		case 3, 4:
			f.path = fmt.Sprintf("%s/extensions/%s/includes/%s/Class%d.php", php, pick(extensions), pick(folders), i)
		case 5, 6:
			f.path, f.head = fmt.Sprintf("%s/extensions/%s/i18n/module%d/en-%d.json", php, pick(extensions), i%7, i), "{"
		case 7:
			f.path, f.head = fmt.Sprintf("%s/resources/src/mediawiki.module%d/module%d.js", php, i%25, i), ""
		case 8:
			f.path = fmt.Sprintf("%s/languages/messages/MessagesX%d.php", php, i)
		default:
			f.path = fmt.Sprintf("%s/vendor/package%d/src/Part%d/File %d.php", php, i%12, i%5, i)
		}
		files = append(files, f)
	}
	return files
}

// treeWriter writes files below a root.
type treeWriter struct {
	root   string
	made   map[string]bool
	random *rand.Rand
	text   string // what files are cut from
}

// newTreeWriter returns a writer of text such as programs are, or of bytes that cannot be compressed, if files shall have
// so many.
func newTreeWriter(root string, bytes int) *treeWriter {
	w := &treeWriter{root: root, made: map[string]bool{}, random: rand.New(rand.NewPCG(2016, 202))}
	if bytes > 0 {
		noise := make([]byte, max(1<<20, bytes+1))
		_, _ = rand.NewChaCha8([32]byte{20, 16, 2, 2}).Read(noise) // never fails
		w.text = string(noise)
		return w
	}
	words := strings.Fields("function return array public static $wgTitle $this->getRevision() null foreach if else new Status " +
		"wfMessage( 'mainpage' ) // /** * @param string */ { } [ ] = => ; ;")
	var b strings.Builder
	for b.Len() < 1<<20 {
		b.WriteString(words[w.random.IntN(len(words))])
		b.WriteByte("       \n"[w.random.IntN(8)])
	}
	w.text = b.String()
	return w
}

func (w *treeWriter) folder(name string) error {
	if w.made[name] {
		return nil
	}
	w.made[name] = true
	return os.MkdirAll(filepath.Join(w.root, name), 0o755)
}

func (w *treeWriter) file(f treeFile) error {
	if err := w.folder(path.Dir(f.path)); err != nil {
		return err
	}
	rest := max(0, f.size-len(f.head))
	start := w.random.IntN(len(w.text) - rest)
	// In the days before the first of February 2016, to the second.
	at := time.Unix(1454284800-int64(w.random.IntN(60*86400)), 0)
	return write(filepath.Join(w.root, f.path), strings.NewReader(f.head+w.text[start:start+rest]), f.mode, at)
}

// write writes a new file.
func write(name string, content io.Reader, mode fs.FileMode, at time.Time) error {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	// On Linux a copy from a file shares its blocks where the file system can (copy_file_range(2)).
	_, err = io.Copy(file, content)
	if err == nil {
		err = file.Chmod(mode) // the umask shall not decide
	}
	if e := file.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Chtimes(name, at, at)
	}
	return err
}

// Edit changes n regular files of a tree, always the same of one tree, by adding a line to each, and
// returns their paths within the tree. It passes over what the inventory of a generated tree excludes.
func Edit(tree string, n int) ([]string, error) {
	var files []string
	err := filepath.WalkDir(tree, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == ".git":
			return fs.SkipDir
		case !d.Type().IsRegular(), strings.HasSuffix(name, ".swp"), strings.HasSuffix(name, ".cdb"):
			return nil
		}
		relative, err := filepath.Rel(tree, name)
		files = append(files, relative)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot edit the tree: %w", err)
	}
	if n < 0 || n > len(files) {
		return nil, fmt.Errorf("cannot edit %d files of %q: it has %d", n, tree, len(files))
	}
	edited := make([]string, n)
	for i := range edited {
		edited[i] = files[i*len(files)/n]
		if err := appendLine(filepath.Join(tree, edited[i])); err != nil {
			return nil, fmt.Errorf("cannot edit the tree: %w", err)
		}
	}
	return edited, nil
}

func appendLine(name string) error {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString("// edited\n")
	if e := file.Close(); err == nil {
		err = e
	}
	return err
}
