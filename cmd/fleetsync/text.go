package main

import (
	"strconv"

	"github.com/fleetsync/fleetsync/transport"
)

// quoted returns s as people can tell where it begins and ends, whatever is in it.
func quoted(s string) string { return strconv.Quote(transport.Neutral(s)) }
