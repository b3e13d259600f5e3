package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// A check is one that has a long version.
type check struct {
	name, about string
	run         func(ctx context.Context, out io.Writer, args []string) error
}

// checks are all there are, in the order in which they are listed.
var checks = []check{
	{"speed", "every figure of bench/README.md, in one run, against its target", speed},
	{"decisions", "what a decision costs, with the member in memory and without, beside few members and many, and over HTTP", decisions},
	{"receipts", "what a receipt costs beyond the look that it records, beside 100,000 members", receipts},
	{"verifyurl", "a log checked over loopback beside the same log in a file: 100,000 entries, in turn", verifyURL},
	{"tilespeed", "how fast tiles, bundles of entries and checkpoints are served, beside a handler that only writes as many bytes", tileSpeed},
	{"closure", "2,400 members, 240 destructions, a crash in every step: no byte ever written leads to a destroyed key", tests("consentledger/ledger", "^(TestNothingEverWrittenLeadsToADestroyedKey|TestAPageKeyKeptOnARewriteWouldBeFound|TestLosing.*)$", time.Hour)},
	{"crash", "every cut of a recorded run, unsynced writes kept, dropped and torn: at least 5,000 states", tests("consentledger/ledger", "^(TestEveryStateThatAPowerCutCanLeaveOpensAndKeepsWhatWasAcknowledged|TestForgettingTheOldRootTooEarlyWouldBeFound)$", time.Hour)},
	{"tamper", "a flip in every byte of a small ledger, and through a ledger with a full tile", tests("consentledger/ledger", "^(TestAFlipInAnyByteOfARealLedgerIsFound|TestAKeyringPage.*|TestAnOldDatabase.*)$", time.Hour)},
	{"rules", "200,000 random calls, times and policy changes: the ledger against an independent reading of the rules; and in 50,000 nothing is allowed that was not given, or that was forbidden before something was destroyed", tests("consentledger/ledger", "^(TestTheLedgerAnswersAsAModelOfTheRulesDoes|TestAModelWithoutOneOfItsRowsDisagrees|TestNothingIsAllowedThatWasNotGivenAndForgettingAllowsNothing|TestAJudgeWhoIsDeafOrSuspectsConsentsFindsFault)$", time.Hour)},
	{"sigkill", "50 rounds of SIGKILL under load, each held against what the clients were told", tests("consentledger/cmd/consentledger", "^TestNothingAcknowledgedIsLostToSIGKILL$", time.Hour)},
	{"mutated", "10,000 changed requests, by bytes, fields, headers, order and truncation: each is told what is wrong or recorded as it says", tests("consentledger/server", "^(TestTenThousandMutatedRequestsAreAnsweredForWhatTheyAre|TestAServerThatAnswersMutatedRequestsWronglyIsFound)$", time.Hour)},
	{"load", "2,000 connections, half of them slow or dead, for five minutes: good clients' p99, memory, and a SIGTERM that leaves no call in doubt", tests("consentledger/cmd/consentledger", "^(TestGoodClientsAreServedBesideSlowAndDeadOnes|TestEveryKindOfBadConnectionIsOneThatTheServerKeepsForAWhile)$", time.Hour)},
	{"fuzz", "every fuzz target for ten minutes (-time), and some of what it learnt kept beside the tests", fuzz},
	{"forks", "400 rounds of two histories that race for a witness's signature: it signs one history", tests("consentledger/server/witness", "^(TestRacingForksGetOneHistorySigned|TestAWitnessWithoutCompareAndSetIsCaught)$", time.Hour)},
	{"forkkill", "50 rounds of SIGKILL while a witness is told a new history in every request: it signs one", tests("consentledger/cmd/consentledger", "^TestAWitnessThatIsKilledSignsOneHistory$", time.Hour)},
	{"tiles", "Tessera's fsck, merkle, tlog, note and formats verify a running server at 0, 1, 255, 256, 257, 65535, 65536, 65537 and 70000 entries, and each finds one changed bit", tests("consentledger/server", "^TestVerifiersFromElsewhereVerifyTheRunningServerAndFindAFlippedBitAtEverySizeThatBreaksPeople$", time.Hour)},
	{"proofs", "every proof of every entry and older head at sizes 0 to 1025: ours, merkle's and tlog's are the same, each takes the others', and none takes one with a bit changed", tests("consentledger/ledger/chain", "^TestProofsAtEverySizeAreThoseOfTwoOtherImplementationsAndOneFlippedBitIsFound$", time.Hour)},
	{"privacy", "1,000 members, and no member id or body in any file or log", tests("consentledger/cmd/consentledger", "^TestNoMemberIDOrBodyStandsInTheClear$", time.Hour)},
}

// tests is a check that is a test of a package. Where the test finds LongVar in
// its environment it does all that it can, not only what fits into a short run.
func tests(pkg, pattern string, within time.Duration) func(context.Context, io.Writer, []string) error {
	return func(ctx context.Context, out io.Writer, args []string) error {
		if len(args) > 0 {
			return fmt.Errorf("this check has no options, and %q was given", args[0])
		}
		return runTests(ctx, out, pkg, pattern, within)
	}
}

// LongVar is set to 1 for tests that run as a long check.
const LongVar = "CONSENTLEDGER_LONG"

// nothingRan is what go test says when a pattern fits no test. That is no check that holds.
var nothingRan = []byte("no tests to run")

func runTests(ctx context.Context, out io.Writer, pkg, pattern string, within time.Duration) error {
	cmd := exec.CommandContext(ctx, "go", "test", "-v", "-run", pattern, "-count=1", "-timeout", within.String(), pkg)
	cmd.Env = append(os.Environ(), LongVar+"=1")
	var seen bytes.Buffer
	cmd.Stdout = io.MultiWriter(out, &seen)
	cmd.Stderr = cmd.Stdout
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case bytes.Contains(seen.Bytes(), nothingRan):
		return fmt.Errorf("no test of %s has a name that fits %s: nothing was checked", pkg, pattern)
	case errors.As(err, &exit):
		return errMiss
	case err != nil:
		return fmt.Errorf("run the tests of %s: %w", pkg, err)
	case !bytes.Contains(seen.Bytes(), []byte("--- PASS: ")):
		return fmt.Errorf("every test of %s that fits %s was skipped: nothing was checked", pkg, pattern)
	}
	return nil
}
