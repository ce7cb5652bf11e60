package journal

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// Journal is an open journal. It is for one goroutine.
type Journal struct {
	file *os.File
	err  error // the first failed append: after it the end of the file is unknown
}

// CorruptError says where a journal cannot be read.
type CorruptError struct {
	Path string
	Line int // from 1
	Err  error
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s:%d: corrupt journal: %v", e.Path, e.Line, e.Err)
}

// Unwrap returns what was wrong with the line.
func (e *CorruptError) Unwrap() error { return e.Err }

// NewerError says that a journal holds events of a form that this program does not know: a newer one wrote it, or went on with it.
// Nothing is wrong with the journal.
type NewerError struct {
	Path   string
	Format int    // of the events from some line on
	Writer string // the program that wrote those, and its version; empty: it does not say
}

func (e *NewerError) Error() string { return e.Path + ": " + e.Reason() }

// Reason returns the error without the path: what the form is, and what to do.
func (e *NewerError) Reason() string {
	return fmt.Sprintf("written by %s in form %d; this program reads forms up to %d: use that version or a newer one",
		cmp.Or(e.Writer, "a newer fleetsync"), e.Format, rollout.Format)
}

// Create makes a new journal; its folder must exist. That a file of this name exists already is an
// error (fs.ErrExist): a journal is never begun twice.
func Create(path string) (*Journal, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(own(file), syncFolder(filepath.Dir(path))); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &Journal{file: file}, nil
}

// own locks a file, a journal that is being written above all, until the process ends. One refusal is no answer: who asks whether
// a journal is being written (Store.Alive) holds it too, for a moment, and so may what a process
// that was killed had just forked.
func own(file *os.File) error {
	const tries, pause = 50, 10 * time.Millisecond
	var err error
	for range tries {
		if err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		time.Sleep(pause)
	}
	return err
}

// Open opens a journal to go on with it and returns what it holds. A torn last line is cut off. The errors are those of Read.
func Open(path string) (*Journal, []rollout.Event, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return nil, nil, err
	}
	if err := own(file); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%s is being written: %w", path, err), file.Close())
	}
	events, size, err := read(path)
	if err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	if err := errors.Join(file.Truncate(size), file.Sync()); err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	return &Journal{file: file}, events, nil
}

// Read returns what a journal holds, without a torn last line. The run may be writing it meanwhile.
// A journal that is missing is fs.ErrNotExist; one that is damaged is a *CorruptError; one that a newer program wrote, a *NewerError.
func Read(path string) ([]rollout.Event, error) {
	events, _, err := read(path)
	return events, err
}

// read returns the events of a journal and the size of the file up to and with the last of them.
func read(path string) ([]rollout.Event, int64, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, 0, err
	}
	if newer := newerForm(data); newer != nil {
		newer.Path = path
		return nil, 0, newer
	}
	events, size, err := parse(data)
	var corrupt *CorruptError
	if errors.As(err, &corrupt) {
		corrupt.Path = path
	}
	return events, size, err
}

// newerForm looks for a line that begins events of a form that is not known, before any line is taken for an event: what makes no sense
// to this program may make sense to the one that wrote it.
func newerForm(data []byte) *NewerError {
	var newer *NewerError
	for line := range bytes.Lines(data) {
		if !bytes.Contains(line, []byte(`"format"`)) || !bytes.HasSuffix(line, []byte("\n")) {
			continue
		}
		var says struct {
			Format int    `json:"format"`
			Writer string `json:"writer"`
		}
		known := rollout.Format
		if newer != nil {
			known = newer.Format
		}
		if json.Unmarshal(line, &says) == nil && says.Format > known {
			newer = &NewerError{Format: says.Format, Writer: says.Writer}
		}
	}
	return newer
}

func parse(data []byte) ([]rollout.Event, int64, error) {
	var events []rollout.Event
	size := int64(0)
	for len(data) > 0 {
		line, rest, whole := bytes.Cut(data, []byte("\n"))
		if !whole || torn(data) {
			break
		}
		var e rollout.Event
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, 0, &CorruptError{Line: len(events) + 1, Err: err}
		}
		if want := int64(len(events) + 1); e.Seq != want {
			return nil, 0, &CorruptError{Line: len(events) + 1, Err: fmt.Errorf("event %d where %d belongs", e.Seq, want)}
		}
		events = append(events, e)
		size += int64(len(line)) + 1
		data = rest
	}
	return events, size, nil
}

// torn says whether nothing but zeros is left: some file systems grow a file before its data is
// written, and a power cut in between leaves that.
func torn(data []byte) bool { return data[0] == 0 && len(bytes.TrimLeft(data, "\x00")) == 0 }

// Append writes events and returns after they are durable. After an error nothing more can be
// appended: where the file ends is not known any more.
func (j *Journal) Append(events []rollout.Event) error {
	if j.err != nil {
		return j.err
	}
	var lines bytes.Buffer
	encoder := json.NewEncoder(&lines) // ends each value with a newline
	encoder.SetEscapeHTML(false)
	for _, e := range events {
		if err := encoder.Encode(e); err != nil {
			return fmt.Errorf("event %d: %w", e.Seq, err)
		}
	}
	if _, j.err = j.file.Write(lines.Bytes()); j.err != nil {
		return j.err
	}
	j.err = j.file.Sync()
	return j.err
}

// Close closes the file. What was appended is durable already.
func (j *Journal) Close() error { return j.file.Close() }

// Fold returns the state that events lead to, and fills in what those of older forms do not say. The first must carry the plan.
func Fold(events []rollout.Event) (*rollout.State, error) {
	if len(events) == 0 || events[0].Plan == nil {
		return nil, fmt.Errorf("the journal does not begin with a plan: %w", fs.ErrNotExist)
	}
	s, err := rollout.NewState(events[0].Plan)
	if err != nil {
		return nil, err
	}
	for i := range events {
		if err := s.Apply(&events[i]); err != nil {
			return nil, &CorruptError{Line: i + 1, Err: err}
		}
	}
	return s, nil
}

// syncFolder makes the entries of a folder durable.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
