// Package execute carries out steps: it turns each into its effect, an rsync, a change of a pool object, a check, a hook.
//
// It never decides: what to do, from where and when is rollout's. It never retries: an attempt that failed is an event like any other.
//
// # Invariants
//
//   - Every kind of step has exactly one effect, in a file that is named after it, and each call of Do returns exactly one end event.
//   - Nothing but what puts hosts back into their pools begins without the lock.
//   - The receipt of a host is in the shared store before its objects are taken out, and until they are back.
package execute
