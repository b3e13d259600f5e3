//go:build testclock

package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"consentledger/cmd/consentledger/datadir"
)

// testClock names the file that holds the time, in Unix milliseconds. Beside it
//
//	<file>.waits  gets a byte each time that the ledger begins to wait for a sweep,
//	<file>.poke   ends every such wait when it grows, without the time moving,
//
// so that a test knows that a sweep has run from its beginning to its end.
const testClock = "CONSENTLEDGER_TEST_CLOCK"

const testClockPoll = 2 * time.Millisecond

func clocked(o datadir.Options) datadir.Options {
	file := os.Getenv(testClock)
	o.Clock = func() time.Time { return timeIn(file) }
	o.After = func(d time.Duration) <-chan time.Time { return afterIn(file, d) }
	return o
}

func timeIn(file string) time.Time {
	b, err := os.ReadFile(file)
	if err != nil {
		panic(fmt.Sprintf("read the time of the test from the file in %s: %v", testClock, err))
	}
	ms, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		panic(fmt.Sprintf("read the time of the test: %v", err))
	}
	return time.UnixMilli(ms)
}

func afterIn(file string, d time.Duration) <-chan time.Time {
	until, pokes := timeIn(file).Add(d), sizeOf(file+".poke")
	// Noted before it is told: what comes after the byte ends this wait.
	f, err := os.OpenFile(file+".waits", os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		panic(err)
	}
	if _, err := f.Write([]byte{'.'}); err != nil {
		panic(err)
	}
	if err := f.Close(); err != nil {
		panic(err)
	}
	c := make(chan time.Time, 1)
	go func() {
		for timeIn(file).Before(until) && sizeOf(file+".poke") == pokes {
			time.Sleep(testClockPoll)
		}
		c <- timeIn(file)
	}()
	return c
}

// sizeOf is 0 for a file that is not there.
func sizeOf(file string) int64 {
	info, err := os.Stat(file)
	if err != nil {
		return 0
	}
	return info.Size()
}
