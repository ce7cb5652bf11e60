package balancer

// What is fuzzed.
var (
	ParseStatus = parseStatus
	ParsePool   = parsePool
)
