package session

import (
	"runtime/debug"
	"sync"
)

// writer returns the name of this program and its version, as journals bear it for who cannot read them.
var writer = sync.OnceValue(func() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "fleetsync (devel)"
	}
	return "fleetsync " + info.Main.Version
})
