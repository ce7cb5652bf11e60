package session

import (
	"errors"
	"os"
	"sync/atomic"

	"github.com/rs/zerolog"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// runLog is the log of a run: a line for each event and for each line that a host's programs say,
// all with the run and the number of the last event. It is safe for concurrent use.
type runLog struct {
	file *os.File
	log  zerolog.Logger
	seq  atomic.Int64
}

func newRunLog(path, run string) (*runLog, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	l := &runLog{file: file}
	// The file is opened for appending, so that one line is one write and lines never mix.
	l.log = zerolog.New(file).With().Timestamp().Str("run", run).Logger()
	return l, nil
}

// Observe implements orchestrator.Observer.
func (l *runLog) Observe(turn []rollout.Event, _ *rollout.Snapshot) {
	for _, e := range turn {
		l.event(e)
	}
}

func (l *runLog) event(e rollout.Event) {
	l.seq.Store(e.Seq)
	line := l.log.Info()
	if e.Kind == rollout.StepFailed {
		line = l.log.Warn()
	}
	line = line.Int64("seq", e.Seq)
	for _, field := range []struct{ name, value string }{
		{"step", string(e.Step)}, {"host", e.Host}, {"source", e.Source}, {"error", e.Error},
		{"class", string(e.Class)}, {"verdict", string(e.Verdict)}, {"detail", e.Detail},
	} {
		if field.value != "" {
			line = line.Str(field.name, field.value)
		}
	}
	if e.Attempt > 0 {
		line = line.Int("attempt", e.Attempt)
	}
	if e.Stats != nil {
		line = line.Int64("bytes", e.Stats.Bytes).Int64("transferred", e.Stats.Transferred).Int64("deleted", e.Stats.Deleted)
	}
	line.Msg(string(e.Kind))
}

// Host records a line that a program on a host said.
func (l *runLog) Host(host, line string) {
	l.log.Debug().Int64("seq", l.seq.Load()).Str("host", host).Msg(line)
}

// Close closes the file.
func (l *runLog) Close() error { return errors.Join(l.file.Sync(), l.file.Close()) }
