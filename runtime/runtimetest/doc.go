// Package runtimetest runs worlds for tests: on a disk in memory that loses what a real one
// loses when the power fails, with a clock that the test moves, and in Checked mode, so that
// a turn that depends on more than its objects is found on its first run.
//
// Open gives a world. When the test ends its store is checked against its invariants, it is
// closed, and a goroutine that it has left behind is an error. Crash is a power failure;
// EachCrash crashes a scenario at every operation on the disk, one run for each.
//
// What a crash leaves of the sectors that were not synced is a matter of chance. The seed is
// printed when the test fails; STURDY_SEED in the environment sets it.
package runtimetest
