package tree

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/fleetsync/fleetsync/orchestrator/manifest"
	"github.com/fleetsync/fleetsync/transport"
)

// Tree is a tree on a host. Its methods may be called by several goroutines at once. Their errors are or wrap a
// *transport.Error, whose class says what to do.
type Tree struct {
	Conn    transport.Conn
	Root    string   // absolute; if it is a symlink, it is followed
	Scratch string   // absolute, on the file system of Root and not in it; the same that its syncs have
	Exclude []string // patterns such as an inventory allows
}

// ErrChanging is wrapped by the error that names what has changed in a tree while it was read.
var ErrChanging = manifest.ErrChanging

// ErrNoBackup is wrapped by the error of an undo of a run that kept nothing on the host: none of its syncs began there, or
// none was to be kept, or it was so long ago that it was removed.
var ErrNoBackup = errors.New("nothing was kept")

// ErrLater is wrapped by the error of an undo that was refused, and has changed nothing, because another run has synced the
// tree since: the error names it.
var ErrLater = errors.New("the tree has been written since")

// The scripts that run on a host.
var (
	//go:embed common.sh
	common string
	//go:embed before.sh
	beforeText string
	//go:embed after.sh
	afterText string
	//go:embed look.sh
	lookText string
	//go:embed apply.sh
	applyText string
	//go:embed finish.sh
	finishText string
	//go:embed backups.sh
	backupsText string
	//go:embed hash.sh
	hashText string
)

// What the scripts exit with, beside what transport.Script says.
const (
	exitChanging = 65 // sysexits.h: EX_DATAERR
	exitNothing  = 66 // sysexits.h: EX_NOINPUT; also flock's, if there is no folder for its file
	exitIO       = 74
	exitBusy     = 75
)

// script is one of the scripts with its arguments.
type script struct {
	what  string // for its error
	text  string
	args  []string
	stdin []byte
	lock  string // "--shared" or "--exclusive"; empty takes none
	most  int    // bytes of output; maxOutput when 0
}

// maxOutput bounds what a host may answer: the listing of a tree of millions of files.
const maxOutput = 1 << 30

// run runs s on the host and returns what it prints.
func (t Tree) run(ctx context.Context, s script) ([]byte, error) {
	argv := append([]string{"sh", "-c", transport.StripComments(common + s.text), "fleetsync"}, s.args...)
	if s.lock != "" {
		argv = append([]string{"flock", "--no-fork", s.lock, "--nonblock", "--conflict-exit-code", strconv.Itoa(exitBusy),
			transport.LockFile(t.Scratch, t.Root)}, argv...)
	}
	out := &bounded{most: s.most}
	if out.most == 0 {
		out.most = maxOutput
	}
	r, err := t.Conn.Run(ctx, transport.Command{Args: argv, Stdin: s.stdin, Stdout: out})
	switch {
	case out.over:
		return nil, &transport.Error{Class: transport.ClassPermanent,
			Message: fmt.Sprintf("cannot %s: the host answers with more than %d bytes", s.what, out.most)}
	case err != nil:
		return nil, fmt.Errorf("cannot %s: %w", s.what, err)
	case r.ExitCode == 0:
		return out.Bytes(), nil
	}
	e := &transport.Error{Class: transport.ClassPermanent, Message: said(r.Stderr)}
	switch {
	case r.ExitCode == exitBusy:
		e.Class = transport.ClassBusy
		if e.Message == "" {
			e.Message = "somebody else is writing the tree"
		}
	case r.ExitCode == exitIO || r.ExitCode > 128:
		e.Class = transport.ClassTransient
	case r.ExitCode == exitChanging:
		e.Class, e.Err = transport.ClassTransient, ErrChanging
	case r.ExitCode == exitNothing:
		e.Err = ErrNoBackup
		if strings.HasPrefix(e.Message, "flock:") {
			e.Message = ""
		}
	}
	if e.Err != nil {
		e.Message = strings.TrimPrefix(e.Message+": "+e.Err.Error(), ": ")
	} else if e.Message == "" {
		e.Message = fmt.Sprintf("exit %d", r.ExitCode)
	}
	return nil, fmt.Errorf("cannot %s: %w", s.what, e)
}

// said returns the last of what a script said, as one bounded line; it is neutralised already.
func said(stderr string) string {
	lines := slices.DeleteFunc(strings.Split(stderr, "\n"), func(s string) bool { return strings.TrimSpace(s) == "" })
	s := strings.Join(lines[max(0, len(lines)-3):], "; ")
	if len(s) > 500 {
		s = strings.ToValidUTF8(s[:500], "") + "…"
	}
	return s
}

// bounded is a buffer that takes no more than most bytes.
type bounded struct {
	bytes.Buffer
	most int
	over bool
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > b.most {
		b.over = true
		return 0, errors.New("too much output")
	}
	return b.Buffer.Write(p)
}

// expression returns what find's arguments are between the starting points and -printf, and what follows that.
func (t Tree) expression() (args []string, format string) {
	args = manifest.Expression(t.Exclude, manifest.ListFormat)
	return args[:len(args)-2], args[len(args)-1]
}

const listText = `
cd -- "$1" || exit 74
shift
printf '%s\0' "$(date +%s%N)"
find . "$@" || exit 65
exit 0
`

// List returns the manifest of what is not excluded, without hashes, and when it was Taken by the host's clock. It is
// ErrChanging if something went away meanwhile.
func (t Tree) List(ctx context.Context) (*manifest.Manifest, error) {
	out, err := t.run(ctx, script{what: "list the tree", text: listText,
		args: append([]string{t.Root}, manifest.Expression(t.Exclude, manifest.ListFormat)...)})
	if err != nil {
		// find says which it was; what it may not read is not changing.
		if errors.Is(err, ErrChanging) && !strings.Contains(err.Error(), "No such file or directory") {
			return nil, &transport.Error{Class: transport.ClassPermanent, Message: strings.TrimSuffix(err.Error(), ": "+ErrChanging.Error())}
		}
		return nil, err
	}
	stamp, listing, _ := bytes.Cut(out, []byte{0})
	m, err := parse("list the tree", listing)
	if err != nil {
		return nil, err
	}
	if m.Taken, err = strconv.ParseInt(string(stamp), 10, 64); err != nil {
		m.Taken = 0
	}
	return m, nil
}

func parse(what string, listing []byte) (*manifest.Manifest, error) {
	m, err := manifest.Parse(bytes.NewReader(listing))
	if err != nil {
		return nil, &transport.Error{Class: transport.ClassPermanent, Message: "cannot " + what + ": " + transport.Neutral(err.Error()), Err: err}
	}
	return m, nil
}

// Hash returns the hashes of the files, in their order. It is ErrChanging if one of them is not a file (any more), or
// changed while it was read; symlinks are not followed.
func (t Tree) Hash(ctx context.Context, paths []string) ([]manifest.Hash, error) {
	if len(paths) == 0 {
		return nil, nil
	}
	out, err := t.run(ctx, script{what: "hash files", text: hashText, args: []string{t.Root, strconv.Itoa(len(paths))}, stdin: words(paths)})
	if err != nil {
		return nil, err
	}
	hashes := make([]manifest.Hash, len(paths))
	rest := string(out)
	for i, p := range paths {
		var record string
		record, rest, _ = strings.Cut(rest, "\x00")
		digits, name, _ := strings.Cut(record, "  ")
		hash, ok := manifest.ParseHash(digits)
		if !ok || name != "./"+p {
			return nil, &transport.Error{Class: transport.ClassPermanent,
				Message: fmt.Sprintf("cannot hash files: the host answers %q where the hash of %q is expected", clip(record), clip(p))}
		}
		hashes[i] = hash
	}
	return hashes, nil
}

// words returns paths as find and others take them, NUL-terminated.
func words(paths []string) []byte {
	var b bytes.Buffer
	for _, p := range paths {
		b.WriteString("./" + p + "\x00")
	}
	return b.Bytes()
}

func clip(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}

const readText = `
cd -- "$1" || exit 74
if [ ! -f "./$2" ] || [ -L "./$2" ]; then die 65 "not a file"; fi
exec head -c "$3" -- "./$2"
`

// Read returns a file from its beginning, and at most so many bytes of it. It does not follow a symlink at the end of the
// path. It is ErrChanging if there is no such file.
func (t Tree) Read(ctx context.Context, path string, most int) ([]byte, error) {
	return t.run(ctx, script{what: fmt.Sprintf("read %q", clip(path)), text: readText, args: []string{t.Root, path, strconv.Itoa(most)},
		most: max(1, most)})
}

const existsText = `
exec xargs -0 -r sh -c '
for path do
	said=$(stat -- "$path" 2>&1 >/dev/null)
	case $said in
	"") printf 1 ;;
	*": No such file or directory" | *": Not a directory") printf 0 ;;
	*) printf "%s\n" "$said" >&2; exit 1 ;;
	esac
done' fleetsync
`

// Exists tells for each of the absolute paths whether anything is there, be it a symlink to nowhere.
func (t Tree) Exists(ctx context.Context, paths ...string) ([]bool, error) {
	if len(paths) == 0 {
		return nil, nil
	}
	out, err := t.run(ctx, script{what: "look for files", text: existsText, stdin: []byte(strings.Join(paths, "\x00") + "\x00")})
	if err != nil {
		return nil, err
	}
	all := make([]bool, len(paths))
	if len(out) != len(all) {
		return nil, &transport.Error{Class: transport.ClassPermanent,
			Message: fmt.Sprintf("cannot look for files: %d answers to %d questions", len(out), len(all))}
	}
	for i, b := range out {
		all[i] = b == '1'
	}
	return all, nil
}

const checkoutsText = `
cd -- "$1" || exit 74
shift
find . -name .git -prune -printf '%h\0' -o "$@" -false || exit 65
exit 0
`

// Checkouts returns the folders that hold something called .git, sorted; "." if it is the tree itself. Whether .git is
// excluded does not matter, but nothing below what else is excluded counts.
func (t Tree) Checkouts(ctx context.Context) ([]string, error) {
	args, _ := t.expression()
	out, err := t.run(ctx, script{what: "look for checkouts", text: checkoutsText, args: append([]string{t.Root}, args...)})
	if err != nil {
		return nil, err
	}
	var all []string
	for record := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		if record != "" {
			all = append(all, strings.TrimPrefix(record, "./"))
		}
	}
	slices.Sort(all)
	return all, nil
}

const gitText = `
cd -- "$1" && cd -- "./$2" || exit 74
shift 2
for name in $(env | sed -n 's/^\(GIT_[A-Za-z0-9_]*\)=.*/\1/p'); do unset "$name"; done
export GIT_TERMINAL_PROMPT=0
exec git "$@"
`

// maxGit bounds what git may print.
const maxGit = 64 << 20

// Git runs git in a folder of the tree and returns what it printed. No variable whose name begins with GIT_ is in its
// environment, and it has no terminal to ask on. It is an error if git exits other than 0, with what it said, neutralised.
func (t Tree) Git(ctx context.Context, dir string, args ...string) ([]byte, error) {
	return t.run(ctx, script{what: "ask git", text: gitText, args: append([]string{t.Root, dir}, args...), most: maxGit})
}

const freeText = `
near=$1
while [ ! -e "$near" ]; do
	near=${near%/*}
	near=${near:-/}
done
exec stat -f -c '%a %S' -- "$near"
`

// Free returns how many bytes are free, to whom the host's commands run as, on the file system of the tree, or of the nearest
// folder above it that there is.
func (t Tree) Free(ctx context.Context) (int64, error) {
	out, err := t.run(ctx, script{what: "ask for free space", text: freeText, args: []string{t.Root}, most: 1000})
	if err != nil {
		return 0, err
	}
	blocks, size, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	b, err1 := strconv.ParseInt(blocks, 10, 64)
	s, err2 := strconv.ParseInt(size, 10, 64)
	if err1 != nil || err2 != nil || b < 0 || s <= 0 || b > math.MaxInt64/s {
		return 0, &transport.Error{Class: transport.ClassPermanent,
			Message: fmt.Sprintf("cannot ask for free space: the host answers %q", clip(string(out)))}
	}
	return b * s, nil
}

// Digest returns the metadata digest of the tree, or of what is at or below the paths if there are any. A path that the tree
// does not have is no error.
func (t Tree) Digest(ctx context.Context, paths []string) (string, error) {
	s, err := t.after("", true, "", paths)
	if err != nil {
		return "", &transport.Error{Class: transport.ClassPermanent, Message: transport.Neutral(err.Error()), Err: err}
	}
	out, err := t.run(ctx, script{what: "digest the tree", text: afterText, args: s.Args, most: 1000})
	if err != nil {
		return "", err
	}
	return ParseDigest(out)
}

// ParseDigest reads what a sync with a digest has printed: rsync.Stats.After.
func ParseDigest(after []byte) (string, error) {
	s := strings.TrimSpace(string(after))
	if _, ok := manifest.ParseHash(s); !ok {
		return "", &transport.Error{Class: transport.ClassPermanent, Message: fmt.Sprintf("%q is no digest of a tree", clip(s))}
	}
	return s, nil
}
