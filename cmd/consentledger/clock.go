//go:build !testclock

package main

import "consentledger/cmd/consentledger/datadir"

// clocked leaves the time to the system. Only a binary that was built for the
// tests of the rules (testclock.go) can be told another.
func clocked(o datadir.Options) datadir.Options { return o }
