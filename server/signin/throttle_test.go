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

// Who has a recovery code and comes back when they were told to is let in, also where a guesser has made the address
// wait for a quarter of an hour.
func TestWhoHasARecoveryCodeWaitsHalfAMinuteAndNoLonger(t *testing.T) {
	var th Throttle
	const office = "192.0.2.1"
	now := time.Unix(0, 0)
	for range 24 * 3600 {
		now = now.Add(time.Second)
		th.Try("lee", office, false, now)
	}
	for th.Try("lee", office, false, now) != 0 {
		now = now.Add(time.Second)
	}
	if wait := th.Try("kim", office, false, now); wait < 14*time.Minute {
		t.Fatalf("control: who comes with a code of the app waits for %s", wait)
	}
	wait := th.Try("kim", office, true, now)
	if wait == 0 || wait > 30*time.Second {
		t.Errorf("who has a recovery code is told to wait for %s", wait)
	}
	if again := th.Try("kim", office, true, now.Add(wait)); again != 0 {
		t.Errorf("and when they come back, for %s more", again)
	}
}

// Behind a proxy on this machine everybody comes from one address: they are slowed down one by one.
func TestBehindAProxyNobodyWaitsForTheFailuresOfOthers(t *testing.T) {
	for _, proxy := range []string{"127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "@", ""} {
		var th Throttle
		now := time.Unix(0, 0)
		for i := range 1000 {
			th.Try(fmt.Sprint("nobody", i), proxy, false, now)
			th.Try("lee", proxy, false, now)
		}
		for _, sure := range []bool{false, true} {
			if wait := th.Try("kim", proxy, sure, now); wait != 0 {
				t.Errorf("from %q one waits for the failures of others: %s", proxy, wait)
			}
		}
		guesses := 0
		for range 24 * 3600 {
			now = now.Add(time.Second)
			if th.Try("lee", proxy, false, now) == 0 {
				guesses++
			}
		}
		if guesses > 24*3600/30+20 {
			t.Errorf("from %q there are %d guesses a day", proxy, guesses)
		}
		th.Succeeded("lee", proxy, true, now)
		for guesses = range 20 {
			if th.Try("lee", proxy, false, now) != 0 {
				break
			}
		}
		if guesses > accountFree+1 {
			t.Errorf("from %q, where the holder has signed in, there are %d guesses at once", proxy, guesses)
		}
	}
	// The control: any other address waits as a whole.
	var th Throttle
	now := time.Unix(0, 0)
	for i := range 10 {
		th.Try(fmt.Sprint("nobody", i), "10.0.0.1", false, now)
	}
	if th.Try("kim", "10.0.0.1", false, now) == 0 {
		t.Error("control: an address that fails does not wait")
	}
}

// Names cost nothing: who sends as many as they like through the proxy guesses no faster at an account that is known there.
func TestAFloodOfNamesThroughAProxyBuysNoGuesses(t *testing.T) {
	for _, proxy := range []string{"127.0.0.1", "192.0.2.1"} {
		var th Throttle
		now := time.Unix(0, 0)
		th.Succeeded("kim", proxy, false, now)
		guesses := 0
		for i := range 3 * maxThrottled {
			if i%maxThrottled < 20 && th.Try("kim", proxy, false, now) == 0 {
				guesses++
			}
			th.Try(fmt.Sprint("nobody", i), proxy, false, now)
			if proxy != "127.0.0.1" { // from there it takes as many addresses
				th.Try(fmt.Sprint("nobody", i), fmt.Sprintf("2001:db8:%x:%x::1", i>>16, i&0xffff), false, now)
			}
		}
		if guesses != accountFree+1 {
			t.Errorf("from %s there are %d guesses at once", proxy, guesses)
		}
		if len(th.failing) > maxThrottled {
			t.Errorf("it remembers %d", len(th.failing))
		}
	}
}
