// Package consent says what the entries of a ledger mean: policies, the calls
// that members and shops make, the events that are recorded, the state that a
// member's events add up to, and the answers that follow from it.
//
// Everything here is a pure function of its arguments. Nothing reads a clock,
// a disk or a network: the time is always handed in, and the time zones come
// from the copy that is linked into the binary if the system has none (see
// zone.go for the one exception and its bounds). A Register and a Policy never
// change once made and may be used by any number of goroutines at once; a Fold
// may be read by several, but must not be read while Apply runs.
//
// A rule that says no does so with a *Refusal. Its message names the field at
// fault and the remedy and never repeats what the caller sent, because what
// the caller sent may be personal data in the wrong place.
package consent
