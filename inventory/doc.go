// Package inventory turns YAML into a Fleet and a Policy.
//
// It reads files, and nothing else: no network, no host, no state of a run. Parsing is strict: every
// mistake is reported at once, each with its position, the line it is on and what to do.
package inventory
