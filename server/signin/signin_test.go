package signin

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

const pass = "correct horse battery"

// rfcCodes are the last six digits of RFC 6238, appendix B, for SHA-1.
var rfcCodes = map[int64]string{59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130"}

var rfcSecret = []byte("12345678901234567890")

func TestCodesAreThoseOfRFC6238(t *testing.T) {
	for at, code := range rfcCodes {
		if step := codeStep(rfcSecret, code, 0, time.Unix(at, 0)); step != at/30 {
			t.Errorf("at %d: step %d", at, step)
		}
		for _, late := range []int64{-2, 2} {
			if codeStep(rfcSecret, code, 0, time.Unix((at/30+late)*30, 0)) != 0 {
				t.Errorf("at %d: taken %d steps late", at, late)
			}
		}
		for _, wrong := range []string{"", code[1:], code + "0", " " + code, "00000" + code[:1] + "x"} {
			if codeStep(rfcSecret, wrong, 0, time.Unix(at, 0)) != 0 {
				t.Errorf("a wrong code is taken at %d", at)
			}
		}
	}
}

func enrolled(t *testing.T) (*Record, []string) {
	t.Helper()
	r, token, err := Invite(rand.Reader, time.Unix(0, 0))
	if err != nil || !r.Invited(token, time.Unix(0, 0)) {
		t.Fatal(err)
	}
	next, codes, err := r.Enrol(rand.Reader, pass, rfcSecret, rfcCodes[59], time.Unix(59, 0))
	if err != nil {
		t.Fatal(err)
	}
	return next, codes
}

func TestAnInvitationIsUsedOnceAndInTime(t *testing.T) {
	now := time.Unix(1000, 0)
	r, token, err := Invite(rand.Reader, now)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Invited(token, now.Add(InvitationFor-time.Millisecond)) {
		t.Error("control: it is refused in time")
	}
	if r.Invited(token, now.Add(InvitationFor)) || r.Invited(token+"a", now) || r.Invited("", now) || (&Record{}).Invited("", now) {
		t.Error("it is taken late, or for another")
	}
	next, _ := enrolled(t)
	if next.Invited(token, now) || len(next.Invitation) != 0 {
		t.Error("it can be used again")
	}
}

func TestACodeIsTakenOnceAndNoOlderOneAfterIt(t *testing.T) {
	r, _ := enrolled(t) // with the code of 59
	if r.Use(rfcCodes[59], time.Unix(59, 0)) != nil {
		t.Error("the code of the enrolment is taken again")
	}
	at := time.Unix(1111111109, 0)
	used := r.Use(rfcCodes[1111111109], at)
	if used == nil {
		t.Fatal("control: a new code is refused")
	}
	if used.Use(rfcCodes[1111111109], at) != nil {
		t.Error("a code is taken twice")
	}
	newer := used.Use(rfcCodes[1111111111], time.Unix(1111111111, 0))
	if newer == nil || newer.Use(rfcCodes[1111111109], time.Unix(1111111111, 0)) != nil {
		t.Error("an older code is taken after a newer one")
	}
}

func TestARecoveryCodeIsTakenOnceHoweverItIsWritten(t *testing.T) {
	r, codes := enrolled(t)
	if len(codes) != recoveryCodes {
		t.Fatalf("%d codes", len(codes))
	}
	for i, c := range codes {
		if i%2 == 1 {
			c = strings.ToUpper(strings.ReplaceAll(c, "-", ""))
		}
		next := r.Recover(c)
		if next == nil || next.Recover(c) != nil || len(next.Recovery) != len(r.Recovery)-1 {
			t.Fatalf("code %d", i)
		}
		r = next
	}
	if r.Recover("") != nil || r.Recover("aaaa-aaaa-aaaa-aaaa") != nil {
		t.Error("a code is taken that was not given out")
	}
}

func TestAPasswordIsLongAndKnownByItsCharacters(t *testing.T) {
	r, _ := enrolled(t)
	if !r.Knows(pass) || r.Knows(pass+" ") || r.Knows("") || r.Knows(strings.Repeat("x", 1<<20)) {
		t.Error("another password is taken, or the right one is not")
	}
	if (&Record{}).Knows("") || (*Record)(nil).Knows(pass) {
		t.Error("nobody has a password")
	}
	for p, ok := range map[string]bool{
		strings.Repeat("a", 11): false, strings.Repeat("a", 12): true, strings.Repeat("비", 12): true,
		strings.Repeat("a", 257): false, strings.Repeat("a", 256): true, strings.Repeat("a", 12) + "\xff": false,
	} {
		if err := CheckPassword(p); (err == nil) != ok || err != nil && !errors.Is(err, ErrPassword) {
			t.Errorf("%d bytes: %v", len(p), err)
		}
	}
	var composed, apart Record
	composed.Password, composed.Salt, _ = hashPassword(rand.Reader, "\u00e9 and twelve more")
	apart = composed
	if !apart.Knows("e\u0301 and twelve more") {
		t.Error("the same characters, written otherwise, are another password")
	}
}

func TestARecordIsReadAsItWasWrittenAndPrintsNothing(t *testing.T) {
	r, _ := enrolled(t)
	b, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Decode(b)
	if err != nil || !again.Knows(pass) || len(again.Recovery) != recoveryCodes || again.Step != r.Step {
		t.Error("it is another one")
	}
	for _, bad := range [][]byte{nil, append(b, 0), b[1:], []byte("x")} {
		if _, err := Decode(bad); !errors.Is(err, ErrRecord) {
			t.Errorf("%x is read", bad)
		}
	}
	if s := fmt.Sprintf("%v %+v %s", *r, r, r); s != "[key] [key] [key]" {
		t.Errorf("it prints %s", s)
	}
}

// Whoever guesses waits longer and longer; whoever owns the account is let in meanwhile.
func TestGuessingIsSlowAndKeepsNobodyOut(t *testing.T) {
	var th Throttle
	now := time.Unix(0, 0)
	if th.Try("kim", "192.0.2.1", false, now) != 0 {
		t.Fatal("a first try waits")
	}
	th.Succeeded("kim", "192.0.2.1", false, now) // the holder signs in from here
	tries := 0
	for end := now.Add(24 * time.Hour); now.Before(end); now = now.Add(time.Second) {
		if th.Try("kim", "203.0.113.9", false, now) == 0 {
			tries++
		}
	}
	if tries > 5+10+24*4+3 || tries < 50 {
		t.Errorf("one address guesses %d times a day", tries)
	}
	// A whole botnet, a new address each time.
	tries = 0
	for i := range 24 * 3600 {
		now = now.Add(time.Second)
		if th.Try("kim", fmt.Sprintf("2001:db8:%x:%x::1", i>>16, i&0xffff), false, now) == 0 {
			tries++
		}
	}
	if tries > 24*3600/30+20 {
		t.Errorf("from everywhere there are %d guesses a day", tries)
	}
	if th.Try("kim", "192.0.2.1", false, now) != 0 {
		t.Error("the holder is kept out where they signed in before")
	}
	if th.Try("kim", "198.51.100.7", true, now) != 0 {
		t.Error("the holder is kept out with a recovery code")
	}
	if th.Try("lee", "198.51.100.8", false, now) != 0 {
		t.Error("somebody else is kept out")
	}
	if th.Try("kim", "198.51.100.9", false, now) == 0 {
		t.Error("control: a new address does not wait")
	}
	// Addresses of one IPv6 network are one source.
	var six Throttle
	n := 0
	for i := range 100 {
		if six.Try(fmt.Sprint("operator", i), fmt.Sprintf("2001:db8::%x", i+1), false, now) == 0 {
			n++
		}
	}
	if n > sourceFree+1 {
		t.Errorf("one network tries %d times at once", n)
	}
}

// Everybody behind one address is not one person: who signed in from there waits for their own failures alone.
func TestWhoSharesAnAddressWithAGuesserIsLetIn(t *testing.T) {
	var th Throttle
	now := time.Unix(0, 0)
	th.Succeeded("kim", "192.0.2.1", false, now)
	for range 1000 {
		now = now.Add(time.Second)
		th.Try("lee", "192.0.2.1", false, now)
	}
	if th.Try("park", "192.0.2.1", false, now) == 0 {
		t.Error("control: the address does not wait")
	}
	if wait := th.Try("kim", "192.0.2.1", false, now); wait != 0 {
		t.Errorf("the holder waits for %s", wait)
	}
	if wait := th.Try("park", "192.0.2.1", true, now); wait > accountMost {
		t.Errorf("who has a recovery code waits for %s", wait)
	}
	// And the holder's own account is no easier to guess from there.
	tries := 0
	for range 24 * 3600 {
		now = now.Add(time.Second)
		if th.Try("kim", "192.0.2.1", false, now) == 0 {
			tries++
		}
	}
	if tries > 24*3600/30+20 {
		t.Errorf("from a known address there are %d guesses a day", tries)
	}
	if !th.Known("kim", "192.0.2.1", now) || th.Known("kim", "192.0.2.2", now) || th.Known("lee", "192.0.2.1", now) || th.Known("kim", "192.0.2.1", now.Add(knownFor)) {
		t.Error("who is known, and where")
	}
}
