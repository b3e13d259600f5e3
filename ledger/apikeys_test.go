package ledger

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"consentledger/ledger/consent"
)

func newKey(t testing.TB, l *Ledger, n NewAPIKey) (APIKey, string) {
	t.Helper()
	k, token, _, err := l.CreateAPIKey(t.Context(), admin, n)
	if err != nil {
		t.Fatal(err)
	}
	return k, token
}

func refusedKey(t testing.TB, l *Ledger, n NewAPIKey, code string) {
	t.Helper()
	size := l.Size()
	_, _, _, err := l.CreateAPIKey(t.Context(), admin, n)
	var r *consent.Refusal
	if !errors.As(err, &r) || r.Code != code {
		t.Errorf("%+v: %v, want %s", n, err, code)
	}
	if l.Size() != size {
		t.Errorf("%+v was recorded", n)
	}
}

func TestTwoKeysOfANameAreLiveWhileOneTakesTheOthersPlace(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	old, oldToken := newKey(t, l, NewAPIKey{Role: RoleWriter, Name: "backend"})
	_, newToken := newKey(t, l, NewAPIKey{Role: RoleWriter, Name: "backend"})
	refusedKey(t, l, NewAPIKey{Role: RoleWriter, Name: "backend"}, "too_many_keys")
	refusedKey(t, l, NewAPIKey{Role: RoleReader, Name: "backend"}, "key_name_taken")
	refusedKey(t, l, NewAPIKey{Role: RoleWriter, Name: "backend", Policies: []string{"shop"}}, "key_name_taken")
	for _, token := range []string{oldToken, newToken} {
		if who, err := l.Authenticate(token, "test"); err != nil || who.Role != RoleWriter {
			t.Errorf("while both are live: %+v, %v", who, err)
		}
	}
	who, err := l.Authenticate(oldToken, "test")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.RevokeAPIKey(t.Context(), admin, old.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Authenticate(oldToken, "test"); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("the old key after its end: %v", err)
	}
	if l.Lives(who) {
		t.Error("who was let in with the old key still passes as living")
	}
	newKey(t, l, NewAPIKey{Role: RoleWriter, Name: "backend"})
	l = w.reopen(t, l)
	if _, err := l.Authenticate(newToken, "test"); err != nil {
		t.Errorf("the new key after a restart: %v", err)
	}
	if _, err := l.Authenticate(oldToken, "test"); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("the old key after a restart: %v", err)
	}
	verifyAll(t, l)
}

func TestAKeyWhoseFormIsWrongIsNotMade(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	refusedKey(t, l, NewAPIKey{Role: "owner", Name: "a"}, "unknown_role")
	refusedKey(t, l, NewAPIKey{Role: RoleWriter}, "invalid_name")
	refusedKey(t, l, NewAPIKey{Role: RoleWriter, Name: "a", Policies: []string{}}, "invalid_policies")
	refusedKey(t, l, NewAPIKey{Role: RoleWriter, Name: "a", Policies: []string{"nobodys"}}, "invalid_policies")
	refusedKey(t, l, NewAPIKey{Role: RoleWriter, Name: "a", Policies: []string{"Shop"}}, "invalid_policies")
	refusedKey(t, l, NewAPIKey{Role: RoleWriter, Name: "a", Certificate: "a b"}, "invalid_certificate")
	newKey(t, l, NewAPIKey{Role: RoleWriter, Name: "a", Certificate: "shop.internal"})
	refusedKey(t, l, NewAPIKey{Role: RoleWriter, Name: "b", Certificate: "shop.internal"}, "certificate_taken")
}

// A key for one policy does what is of that policy, and nothing that is of another or of the whole member.
func TestAKeyForOnePolicyTouchesNoOther(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	club := strings.Replace(testPolicy, "policy: shop", "policy: club", 1)
	club = strings.Replace(club, "  newsletter:\n    title", "  club_news:\n    title", 1)
	if _, _, err := l.AddPolicy(t.Context(), admin, []byte(club)); err != nil {
		t.Fatal(err)
	}
	_, token := newKey(t, l, NewAPIKey{Role: RoleDPO, Name: "club-site", Policies: []string{"club"}})
	who, err := l.Authenticate(token, "test")
	if err != nil {
		t.Fatal(err)
	}
	id := "scoped@shop.example"
	mustDo(t, l, enrolment(t, id, w))
	inClub := enrolment(t, id, w)
	inClub.Policy, inClub.Enrol = "club", false
	inClub.Decisions[1].Purpose = "club_news"
	at := w.clock.Now()
	allowed := []struct {
		name string
		call Call
	}{
		{"consent", inClub},
		{"withdrawal", &consent.Withdrawal{Member: memberID(t, id), Purposes: []string{"club_news"}}},
		{"withdrawal by full name", &consent.Withdrawal{Member: memberID(t, id), Purposes: []string{"club/membership"}}},
		{"activity", &consent.Activity{Member: memberID(t, id), OccurredAt: at}},
	}
	for _, c := range allowed {
		if _, err := l.Do(t.Context(), who, c.call); err != nil {
			t.Errorf("control: %s: %v", c.name, err)
		}
	}
	value := "x"
	size := l.Size()
	for name, call := range map[string]Call{
		"consent to another policy":                    order(t, id, "o", w),
		"withdrawal of a purpose of another policy":    &consent.Withdrawal{Member: memberID(t, id), Purposes: []string{"newsletter"}},
		"withdrawal of a name that both policies have": &consent.Withdrawal{Member: memberID(t, id), Purposes: []string{"membership"}},
		"withdrawal by another policy's full name":     &consent.Withdrawal{Member: memberID(t, id), Purposes: []string{"shop/newsletter"}},
		"end of the membership":                        leave(t, id),
		"correction":                                   &consent.Correction{Member: memberID(t, id), Changes: []consent.Change{{Item: "name", New: &value}}},
		"correction's outcome":                         &consent.CorrectionOutcome{Member: memberID(t, id), Correction: "cor_x", Outcome: "corrected"},
		"disclosure":                                   &consent.Disclosure{Member: memberID(t, id), Recipient: "parcel-co", Purpose: "shop/order", Items: []string{"name"}, OccurredAt: at},
		"anonymised disclosure":                        &consent.Disclosure{Form: consent.FormAnonymised, Recipient: "parcel-co", Purpose: "club/order", Items: []string{"name"}, OccurredAt: at},
		"signal":                                       &consent.Signal{Member: memberID(t, id), Signal: "gpc", Value: true, OccurredAt: at},
		"reactivation":                                 &consent.Reactivation{Member: memberID(t, id), Method: "sign_in"},
		"end of an event":                              &consent.EventEnd{Member: memberID(t, id), Type: consent.EventDelivered, Reference: "o", OccurredAt: at},
		"request":                                      &consent.Request{Member: memberID(t, id), Type: "access", Channel: "email", ReceivedAt: at},
		"notice":                                       &consent.Notice{Member: memberID(t, id), Kind: "policy_change", Channel: "email", SentAt: at, Outcome: "sent"},
	} {
		if _, err := l.Do(t.Context(), who, call); !errors.Is(err, ErrPolicyNotAllowed) && !errors.Is(err, ErrForbidden) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ref, _, err := l.Lookup(t.Context(), who, memberID(t, id))
	if err != nil {
		t.Errorf("control: a lookup: %v", err)
	}
	for purpose, ok := range map[string]bool{"club_news": true, "club/membership": true, "newsletter": false, "membership": false, "shop/newsletter": false} {
		if _, err := l.Decide(t.Context(), who, &consent.Question{Member: memberID(t, id), Purpose: purpose}); (err == nil) != ok {
			t.Errorf("a decision on %s: %v", purpose, err)
		}
	}
	if _, err := l.Member(t.Context(), who, ref, Look{Reason: "because", What: "state"}); !errors.Is(err, ErrForbidden) {
		t.Errorf("a look at the whole member: %v", err)
	}
	boss := Caller{KeyID: "key_boss", Role: RoleAdmin, From: "test", Policies: []string{"club"}}
	if _, _, err := l.AddPolicy(t.Context(), boss, []byte(testPolicy)); !errors.Is(err, ErrPolicyNotAllowed) {
		t.Errorf("another policy's next version: %v", err)
	}
	if _, err := l.AddRecipient(t.Context(), boss, &consent.RecipientChange{Policy: "shop"}); !errors.Is(err, ErrPolicyNotAllowed) {
		t.Errorf("another policy's recipient: %v", err)
	}
	if _, _, _, err := l.CreateAPIKey(t.Context(), boss, NewAPIKey{Role: RoleAdmin, Name: "more"}); !errors.Is(err, ErrPolicyNotAllowed) {
		t.Errorf("a key that may do more: %v", err)
	}
	if _, err := l.RevokeAPIKey(t.Context(), boss, who.KeyID); !errors.Is(err, ErrPolicyNotAllowed) {
		t.Errorf("the end of a key: %v", err)
	}
	if _, err := l.APIKeys(boss); !errors.Is(err, ErrPolicyNotAllowed) {
		t.Errorf("the list of keys: %v", err)
	}
	if _, _, err := l.Operators(t.Context(), boss); !errors.Is(err, ErrForbidden) {
		t.Errorf("the list of people: %v", err)
	}
	if l.Size() != size {
		t.Errorf("%d entries were written", l.Size()-size)
	}
	l = w.reopen(t, l)
	if again, err := l.Authenticate(token, "test"); err != nil || !slices.Equal(again.Policies, []string{"club"}) {
		t.Errorf("after a restart: %+v, %v", again, err)
	}
	verifyAll(t, l)
}

func TestTheDayOnWhichAKeyWasLastUsedIsKnownAndNoMore(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	k, token := newKey(t, l, NewAPIKey{Role: RoleWriter, Name: "used"})
	newKey(t, l, NewAPIKey{Role: RoleWriter, Name: "idle"})
	lastUsed := func() map[string]string {
		t.Helper()
		all, err := l.APIKeys(admin)
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]string{}
		for _, k := range all {
			if !k.LastUsed.IsZero() {
				out[k.Name] = k.LastUsed.Format(time.DateOnly)
			}
		}
		return out
	}
	use := func() {
		t.Helper()
		if who, err := l.Authenticate(token, "test"); err != nil || who.KeyID != k.ID {
			t.Fatalf("%+v, %v", who, err)
		}
	}
	if got := lastUsed(); len(got) != 0 {
		t.Errorf("before any use: %v", got)
	}
	size := l.Size()
	for range 100 {
		use()
		w.clock.Advance(time.Minute)
	}
	if l.Size() != size {
		t.Error("using a key writes an entry at once")
	}
	sweep(t, l)
	sweep(t, l)
	use()
	if got := lastUsed(); got["used"] != "2025-03-01" || len(got) != 1 || l.Size() != size {
		t.Errorf("%v, %d entries", got, l.Size()-size)
	}
	w.clock.Advance(24 * time.Hour)
	sweep(t, l)
	sweep(t, l)
	if l.Size() != size+1 {
		t.Errorf("the day after, %d entries", l.Size()-size)
	}
	use()
	l = w.reopen(t, l)
	if got := lastUsed(); got["used"] != "2025-03-02" || l.Size() != size+2 {
		t.Errorf("the next day, after a restart: %v, %d entries", got, l.Size()-size)
	}
	verifyAll(t, l)
}

func TestTheOrderInWhichPoliciesAreNamedMakesNoOtherKey(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	club := strings.Replace(testPolicy, "policy: shop", "policy: club", 1)
	if _, _, err := l.AddPolicy(t.Context(), admin, []byte(club)); err != nil {
		t.Fatal(err)
	}
	newKey(t, l, NewAPIKey{Role: RoleWriter, Name: "both", Policies: []string{"shop", "club"}})
	named := []string{"club", "shop", "club"}
	k, _ := newKey(t, l, NewAPIKey{Role: RoleWriter, Name: "both", Policies: named})
	if !slices.Equal(k.Policies, []string{"club", "shop"}) || named[1] != "shop" {
		t.Errorf("%v", k.Policies)
	}
	refusedKey(t, l, NewAPIKey{Role: RoleWriter, Name: "both", Policies: []string{"club"}}, "key_name_taken")
}
