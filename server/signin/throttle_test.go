package signin

import (
	"fmt"
	"testing"
	"time"
)

// Whoever has a network of addresses does not make the throttle forget by filling it.
func TestAFloodOfNamesAndAddressesDoesNotMakeTheThrottleForget(t *testing.T) {
	var th Throttle
	now := time.Unix(0, 0)
	for i := range 100 {
		th.Try("kim", fmt.Sprintf("2001:db8:1:%x::1", i), false, now)
	}
	if th.Try("kim", "198.51.100.9", false, now) == 0 {
		t.Fatal("control: a guessed account does not wait")
	}
	for i := range 60_000 {
		for _, name := range []string{"nobody", "no one"} {
			th.Try(fmt.Sprint(name, i), fmt.Sprintf("2001:db8:2:%x::1", i), false, now)
		}
	}
	if th.Try("kim", "198.51.100.9", false, now) == 0 {
		t.Error("after a flood of other names the account may be guessed at again")
	}
}

// A recovery code that leaked goes before the failures of others, but it buys no guesses at the password.
func TestALeakedRecoveryCodeDoesNotBuyGuessesAtThePassword(t *testing.T) {
	var th Throttle
	now := time.Unix(0, 0)
	tries := 0
	for i := range 24 * 3600 {
		now = now.Add(time.Second)
		if th.Try("kim", fmt.Sprintf("2001:db8:%x:%x::1", i>>16, i&0xffff), true, now) == 0 {
			tries++
		}
	}
	if tries > 24*3600/30+20 || tries < 1000 {
		t.Errorf("with a recovery code there are %d guesses a day", tries)
	}
}

// A colleague sits behind the holder's address, and their own success buys no guesses at the holder's account.
func TestWhoSignsInThemselvesGuessesNoFasterAtAColleague(t *testing.T) {
	var th Throttle
	const office = "192.0.2.1"
	now := time.Unix(0, 0)
	for _, account := range []string{"kim", "lee"} {
		if th.Try(account, office, false, now) != 0 {
			t.Fatal("control: who signs in first waits")
		}
		th.Succeeded(account, office, false, now)
	}
	guesses := 0
	for end := now.Add(24 * time.Hour); now.Before(end); now = now.Add(10 * time.Second) {
		if th.Try("kim", office, false, now) == 0 {
			guesses++
		}
		if th.Try("lee", office, false, now) != 0 {
			t.Fatal("the colleague waits for the holder's failures")
		}
		th.Succeeded("lee", office, false, now)
	}
	if guesses > 24*3600/30+20 {
		t.Errorf("a colleague guesses %d times a day", guesses)
	}
}
