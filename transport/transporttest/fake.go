package transporttest

import (
	"context"
	"sync"

	"github.com/fleetsync/fleetsync/transport"
)

// Fake is a connection that runs nothing: it records what it is asked to and answers as scripted.
// The zero Fake answers every command with exit code 0.
type Fake struct {
	// Answer says how a command ends; it may write to the command's Stdout and Log. Nil: exit 0.
	Answer func(ctx context.Context, c transport.Command) (transport.Result, error)

	mu       sync.Mutex
	commands []transport.Command
}

// Run implements transport.Conn.
func (f *Fake) Run(ctx context.Context, c transport.Command) (transport.Result, error) {
	f.mu.Lock()
	f.commands = append(f.commands, c)
	f.mu.Unlock()
	if ctx.Err() != nil {
		return transport.Result{}, &transport.Error{Class: transport.ClassStopped, Message: "stopped", Err: context.Cause(ctx)}
	}
	if f.Answer == nil {
		return transport.Result{}, nil
	}
	return f.Answer(ctx, c)
}

// Commands returns what was run so far, in the order of the starts.
func (f *Fake) Commands() []transport.Command {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]transport.Command(nil), f.commands...)
}
