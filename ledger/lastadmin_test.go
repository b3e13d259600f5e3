package ledger

import (
	"errors"
	"strings"
	"testing"

	"consentledger/ledger/consent"
)

// The last one who can make keys does not lock everybody out by ending themselves; whoever is still there, or is
// beside the ledger, may end anybody.
func TestTheLastAdminDoesNotEndThemselves(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	key := func(name string, policies ...string) Caller {
		t.Helper()
		_, token := newKey(t, l, NewAPIKey{Role: RoleAdmin, Name: name, Policies: policies})
		who, err := l.Authenticate(token, "test")
		if err != nil {
			t.Fatal(err)
		}
		return who
	}
	person := func(name, role string) Caller {
		t.Helper()
		who, err := l.OperatorCaller(addOperator(t, l, name, role, false), "test")
		if err != nil {
			t.Fatal(err)
		}
		return who
	}
	invite := func(who Caller) {
		t.Helper()
		if _, _, err := l.InviteOperator(t.Context(), admin, who.KeyID, []byte{0}, "token"); err != nil {
			t.Fatal(err)
		}
	}
	enrol := func(who Caller) {
		t.Helper()
		if _, err := l.ChangeSignIn(t.Context(), who.KeyID, []byte{0}, []byte{1}, true); err != nil {
			t.Fatal(err)
		}
	}
	signIn := func(who Caller) {
		t.Helper()
		if _, err := l.ChangeSignIn(t.Context(), who.KeyID, []byte{1}, []byte{2}, false); err != nil {
			t.Fatal(err)
		}
	}
	comeIn := func(who Caller) {
		t.Helper()
		invite(who)
		enrol(who)
		signIn(who)
	}
	end := func(by, who Caller) (err error) {
		if strings.HasPrefix(who.KeyID, operatorPrefix) {
			_, err = l.EndOperator(t.Context(), by, who.KeyID)
		} else {
			_, err = l.RevokeAPIKey(t.Context(), by, who.KeyID)
		}
		return err
	}
	refused := func(why string, who Caller) {
		t.Helper()
		size := l.Size()
		var r *consent.Refusal
		if err := end(who, who); !errors.As(err, &r) || r.Code != "last_admin" || r.Kind != consent.Conflict {
			t.Errorf("%s: %v", why, err)
		}
		if !l.Lives(who) || l.Size() != size {
			t.Errorf("%s: it has ended, or %d entries were written", why, l.Size()-size)
		}
	}
	ends := func(why string, by, who Caller) {
		t.Helper()
		if err := end(by, who); err != nil || l.Lives(who) {
			t.Errorf("control: %s: %v", why, err)
		}
	}

	first := key("first")
	key("for one policy", "shop")
	newKey(t, l, NewAPIKey{Role: RoleDPO, Name: "officer"})
	refused("the only key that makes keys", first)
	second := key("second")
	ends("one of two", first, first)
	refused("the one that is left", second)
	third := key("third")
	ends("another one", third, second)
	refused("who ended the others", third)

	officer, boss := person("Lee Seo-jun", "dpo"), person("Kim Min-ji", "admin")
	comeIn(officer)
	refused("a key beside a person who was never invited, and one who is no admin", third)
	invite(boss)
	refused("a key beside a person who was invited", third)
	enrol(boss)
	refused("a key beside a person who has not signed in yet", third)
	signIn(boss)
	invite(boss)
	refused("a key beside a person who was invited anew", third)
	enrol(boss)
	signIn(boss)
	ends("a key beside a person who signs in", third, third)
	refused("a person who is the only admin", boss)
	deputy := person("Choi Ha-eun", "admin")
	comeIn(deputy)
	ends("a person beside another", boss, boss)
	refused("the person who is left", deputy)
	local := Caller{KeyID: localKeyID, Role: RoleAdmin}
	ends("the last one, by who is beside the ledger", local, deputy)
	fourth := key("fourth")
	ends("the last key, by who is beside the ledger", local, fourth)
	verifyAll(t, l)
}
