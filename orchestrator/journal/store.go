package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Store is the folder where the runs of one fleet are kept: a folder a run, with its journal and its
// log. It needs no other bookkeeping, so nothing in it can be out of date.
type Store struct {
	Dir string
}

const (
	journalName = "journal.jsonl"
	logName     = "run.log"
	lockName    = "lock"

	manifestName = "manifest"
	scansName    = "scans"
)

// ErrLocked says that another process of this machine runs something on the fleet.
var ErrLocked = errors.New("another run of this fleet is under way on this machine")

// ErrNoRun says that a store has no such run.
var ErrNoRun = errors.New("no such run")

// NewRun returns an identifier for a run that begins now: the time, which sorts, and four random
// letters, which keep apart what begins in the same second on two machines. It sorts after all runs of
// the store, also within one second, or when the clock was set back: what a host holds is told by the run that is last.
func (s Store) NewRun(now time.Time, random [2]byte) string {
	run := newRun(now, random)
	runs, err := s.Runs()
	if err != nil || len(runs) == 0 || runs[0] < run {
		return run
	}
	last := runs[0]
	at, err := time.Parse(runTime, last[:min(len(last), len(runTime))])
	var n uint16
	if _, scanErr := fmt.Sscanf(last[min(len(last), len(runTime)):], "-%04x", &n); err != nil || scanErr != nil {
		return run // somebody else's name
	}
	if n++; n == 0 {
		at = at.Add(time.Second)
	}
	return newRun(at, [2]byte{byte(n >> 8), byte(n)})
}

const runTime = "20060102-150405"

func newRun(at time.Time, random [2]byte) string {
	return fmt.Sprintf("%s-%x", at.UTC().Format(runTime), random)
}

// JournalPath returns where the journal of a run is. The name of a run may come from a pool object,
// hence from anybody: whatever it is, the path is below the store.
func (s Store) JournalPath(run string) string { return filepath.Join(s.folder(run), journalName) }

// LogPath returns where the log of a run is.
func (s Store) LogPath(run string) string { return filepath.Join(s.folder(run), logName) }

// ManifestPath returns where the manifest of the tree that a run put on its hosts is, if it is still kept.
func (s Store) ManifestPath(run string) string { return filepath.Join(s.folder(run), manifestName) }

// ScanPath returns where the newest manifest of a master's tree is: what the next scan takes the hashes of
// unchanged files from.
func (s Store) ScanPath(master string) string { return filepath.Join(s.Dir, scansName, tame(master)) }

func (s Store) folder(run string) string { return filepath.Join(s.Dir, tame(run)) }

// tame returns a name as one that cannot lead out of its folder.
func tame(name string) string {
	return strings.NewReplacer("/", "_", "\x00", "_").Replace(strings.TrimLeft(name, "."))
}

// Create begins the journal of a new run.
func (s Store) Create(run string) (*Journal, error) {
	if err := os.MkdirAll(s.folder(run), 0o755); err != nil {
		return nil, err
	}
	if err := syncFolder(s.Dir); err != nil {
		return nil, err
	}
	return Create(s.JournalPath(run))
}

// Runs returns the runs that have a journal, newest first.
func (s Store) Runs() ([]string, error) {
	entries, err := os.ReadDir(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var runs []string
	for _, e := range entries {
		if _, err := os.Stat(s.JournalPath(e.Name())); err == nil {
			runs = append(runs, e.Name())
		}
	}
	slices.Sort(runs)
	slices.Reverse(runs)
	return runs, nil
}

// Find returns the one run whose identifier is or begins with name. The error is ErrNoRun, or names
// the runs that it could be.
func (s Store) Find(name string) (string, error) {
	runs, err := s.Runs()
	if err != nil {
		return "", err
	}
	var found []string
	for _, run := range runs {
		if run == name {
			return run, nil
		}
		if strings.HasPrefix(run, name) {
			found = append(found, run)
		}
	}
	switch {
	case name == "" || len(found) == 0:
		return "", fmt.Errorf("%w: %q", ErrNoRun, name)
	case len(found) > 1:
		return "", fmt.Errorf("%q could be %s", name, strings.Join(found[:min(len(found), 5)], ", "))
	default:
		return found[0], nil
	}
}

// Alive says whether the process that writes a run's journal still runs.
func (s Store) Alive(run string) bool {
	file, err := os.Open(s.JournalPath(run))
	if err != nil {
		return false
	}
	defer func() { _ = file.Close() }() // only read
	return errors.Is(unix.Flock(int(file.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// Lock is the right to run something on a fleet from this machine. It ends with the process,
// however that comes.
type Lock struct{ file *os.File }

// Lock takes the store's lock, and makes its folder if need be. The error is ErrLocked if somebody
// else has it.
func (s Store) Lock() (*Lock, error) {
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(s.Dir, lockName), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := own(file); err != nil {
		err = errors.Join(err, file.Close())
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, ErrLocked
		}
		return nil, err
	}
	return &Lock{file: file}, nil
}

// Release gives the lock up.
func (l *Lock) Release() error { return l.file.Close() }
