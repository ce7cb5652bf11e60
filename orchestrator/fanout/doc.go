// Package fanout does one thing for many hosts at once, with a bound.
//
// It knows neither hosts nor errors: what became of each item is the caller's to write down, at the item's own index, which
// needs no lock. One item that fails ends no other: that is why this is not errgroup.WithContext.
//
// # Invariants
//
//   - Never more than the limit are under way.
//   - Each returns only after all that it began has ended.
//   - Nothing begins after the context is done.
package fanout
