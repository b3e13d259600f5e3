package ledger

import (
	"testing"
	"time"
)

// dayOfUse is the day on which a key was last used, as the list of keys has it.
func dayOfUse(t testing.TB, l *Ledger, name string) string {
	t.Helper()
	all, err := l.APIKeys(admin)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range all {
		if k.Name == name {
			if k.LastUsed.IsZero() {
				return "never"
			}
			return k.LastUsed.Format(time.DateOnly)
		}
	}
	t.Fatalf("there is no key %s", name)
	return ""
}

// The sweep comes once an hour, so what it writes down is often of the day before.
func TestAUseShortlyBeforeMidnightIsOfItsDayAlsoAfterARestart(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	_, token := newKey(t, l, NewAPIKey{Role: RoleWriter, Name: "late"})
	_, other := newKey(t, l, NewAPIKey{Role: RoleWriter, Name: "early"})
	use := func(token string) {
		t.Helper()
		if _, err := l.Authenticate(token, "test"); err != nil {
			t.Fatal(err)
		}
	}
	midnight := w.clock.Now().UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
	used := midnight.Add(-time.Second)
	w.clock.Advance(used.Sub(w.clock.Now()))
	use(token)
	w.clock.Advance(2 * time.Second)
	use(other)
	size := l.Size()
	sweep(t, l)
	sweep(t, l)
	if got := l.Size() - size; got != 1 { // the day of the other is not over
		t.Errorf("%d entries", got)
	}
	for range 2 {
		late, early := dayOfUse(t, l, "late"), dayOfUse(t, l, "early")
		if late != used.Format(time.DateOnly) || early != midnight.Format(time.DateOnly) {
			t.Errorf("late on %s, early on %s; want %s and %s", late, early, used.Format(time.DateOnly), midnight.Format(time.DateOnly))
		}
		l = w.reopen(t, l)
	}
	verifyAll(t, l)
}

func TestAUseThatIsDaysOldByTheNextSweepIsNotForgotten(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	_, token := newKey(t, l, NewAPIKey{Role: RoleWriter, Name: "rare"})
	if _, err := l.Authenticate(token, "test"); err != nil {
		t.Fatal(err)
	}
	want := w.clock.Now().UTC().Format(time.DateOnly)
	w.clock.Advance(72 * time.Hour)
	l = w.reopen(t, l)
	if got := dayOfUse(t, l, "rare"); got != want {
		t.Errorf("last used %s, want %s", got, want)
	}
	verifyAll(t, l)
}

// A key that is used around the clock is in use at every sweep; a crash must not find it forgotten for as
// long as the server has run.
func TestOfAKeyThatIsNeverIdleEachDayIsWrittenOnceItIsOver(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	_, token := newKey(t, l, NewAPIKey{Role: RoleWriter, Name: "busy"})
	size := l.Size()
	const days = 5
	for range days * 24 {
		if _, err := l.Authenticate(token, "test"); err != nil {
			t.Fatal(err)
		}
		sweep(t, l)
		w.clock.Advance(time.Hour)
	}
	if got := l.Size() - size; got != days-1 && got != days {
		t.Errorf("%d entries in %d days", got, days)
	}
	l.keyUse.mu.RLock()
	defer l.keyUse.mu.RUnlock()
	yesterday := w.clock.Now().Add(-25*time.Hour).Unix() / secondsPerDay
	for _, day := range l.keyUse.stored {
		if day < yesterday {
			t.Errorf("on disk is day %d, want %d: a crash would lose more than a day", day, yesterday)
		}
	}
	if len(l.keyUse.stored) != 1 {
		t.Errorf("%d keys are on disk", len(l.keyUse.stored))
	}
}
