package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

func TestWithoutANameAllChecksAreListed(t *testing.T) {
	var out bytes.Buffer
	if err := run(context.Background(), &out, checks, nil); err != nil {
		t.Fatal(err)
	}
	for _, c := range checks {
		if !strings.Contains(out.String(), c.name) || !strings.Contains(out.String(), c.about) {
			t.Errorf("%s is not listed", c.name)
		}
	}
}

func TestANameThatNoCheckHasIsAnError(t *testing.T) {
	if err := run(context.Background(), io.Discard, checks, []string{"sped"}); err == nil || errors.Is(err, errMiss) {
		t.Errorf("error %v", err)
	}
}

const self = "consentledger/bench/long"

// fixture says to the fixtures below that a test has started them.
const fixture = "CONSENTLEDGER_LONG_FIXTURE"

func TestACheckThatRunsNoTestDoesNotHold(t *testing.T) {
	for _, pattern := range []string{"^TestThatNobodyWrote$", "^TestFixtureSkips$"} {
		err := tests(self, pattern, time.Minute)(context.Background(), io.Discard, nil)
		if err == nil || errors.Is(err, errMiss) {
			t.Errorf("%s: error %v", pattern, err)
		}
	}
}

func TestACheckHoldsIfItsTestPassesAndNotIfItFails(t *testing.T) {
	t.Setenv(fixture, "1")
	if err := tests(self, "^TestFixturePasses$", time.Minute)(context.Background(), io.Discard, nil); err != nil {
		t.Errorf("a test that passes: %v", err)
	}
	if err := tests(self, "^TestFixtureFails$", time.Minute)(context.Background(), io.Discard, nil); !errors.Is(err, errMiss) {
		t.Errorf("a test that fails: %v", err)
	}
}

func TestFixturePasses(t *testing.T) {
	if os.Getenv(fixture) == "" {
		t.Skip("is started by another test")
	}
	if os.Getenv(LongVar) != "1" {
		t.Errorf("%s is not set for a long check", LongVar)
	}
}

func TestFixtureFails(t *testing.T) {
	if os.Getenv(fixture) == "" {
		t.Skip("is started by another test")
	}
	t.Error("as it should")
}

func TestFixtureSkips(t *testing.T) { t.Skip("is started by another test") }
