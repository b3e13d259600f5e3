package client_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"consentledger/crypto/rootkey"
	"consentledger/crypto/seal"
	"consentledger/ledger"
	"consentledger/ledger/store"
	"consentledger/ledger/store/bolt"
	"consentledger/server"
	"consentledger/server/client"
	"consentledger/testdata/policies"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var testNow = time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)

// shop is a real server on a ledger of real files, with the policy of Haim and a key of each role.
type shop struct {
	t       testing.TB
	ledger  *ledger.Ledger
	handler http.Handler
	url     string
	keys    map[ledger.Role]client.Secret
}

func newShop(t testing.TB) *shop {
	t.Helper()
	base := t.TempDir()
	dir := filepath.Join(base, "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	db := filepath.Join(dir, "ledger.db")
	if err := bolt.Create(db, ledger.Maps()); err != nil {
		t.Fatal(err)
	}
	maps := map[store.Map]bolt.MapOptions{}
	for _, m := range ledger.Maps() {
		maps[m] = bolt.MapOptions{}
	}
	opened, err := bolt.Open(db, bolt.Options{Maps: maps})
	if err != nil {
		t.Fatal(err)
	}
	var tick atomic.Int64
	clock := func() time.Time { return testNow.Add(time.Duration(tick.Add(1)) * time.Millisecond) }
	l, err := ledger.Create(ledger.Options{Dir: dir, Store: opened, Clock: clock, SweepEvery: -1}, ledger.Genesis{
		Origin: "ledger.example/shop",
		RootKey: func(id rootkey.LedgerID, g uint64, k seal.Key) (ledger.RootKeeper, error) {
			return rootkey.Create(filepath.Join(base, "root", "root.key"), id, g, k, rootkey.Options{AcceptWeak: true})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	s := &shop{t: t, ledger: l, handler: server.New(l, server.Options{}).Handler(), keys: map[ledger.Role]client.Secret{}}
	admin := ledger.Caller{KeyID: "local", Role: ledger.RoleAdmin, From: "control.sock"}
	for _, r := range []ledger.Role{ledger.RoleWriter, ledger.RoleReader, ledger.RoleDPO, ledger.RoleAuditor, ledger.RoleAdmin} {
		_, token, _, err := l.CreateAPIKey(t.Context(), admin, ledger.NewAPIKey{Role: r, Name: string(r)})
		if err != nil {
			t.Fatal(err)
		}
		s.keys[r] = client.NewSecret(token)
	}
	ts := httptest.NewServer(s.handler)
	t.Cleanup(ts.Close)
	s.url = ts.URL
	if _, err := s.as(ledger.RoleAdmin).PostPolicy(t.Context(), policies.Haim()); err != nil {
		t.Fatal(err)
	}
	return s
}

// as is a client with a role's key.
func (s *shop) as(role ledger.Role) *client.Client {
	return s.to(s.url, client.Options{Key: s.keys[role]})
}

// to is a writer's client of an address, if the options say nothing else. It does not really sleep.
func (s *shop) to(url string, o client.Options) *client.Client {
	s.t.Helper()
	if o.Key.IsZero() {
		o.Key = s.keys[ledger.RoleWriter]
	}
	transport := &http.Transport{}
	s.t.Cleanup(transport.CloseIdleConnections)
	o.HTTP = &http.Client{Transport: transport}
	if o.Sleep == nil {
		o.Sleep = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	}
	c, err := client.New(url, o)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// behind puts something between client and server.
func (s *shop) behind(h func(next http.Handler) http.Handler) string {
	ts := httptest.NewServer(h(s.handler))
	s.t.Cleanup(ts.Close)
	return ts.URL
}

// naps are the sleeps that a client wanted.
type naps struct {
	mu  sync.Mutex
	all []time.Duration
}

func (n *naps) sleep(ctx context.Context, d time.Duration) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, d)
	return ctx.Err()
}

func enrolment(id string) client.Consent {
	return client.Consent{
		MemberID: id, Enrol: true, MemberKind: "member", Policy: "haim", PolicyVersion: "2025-01-01",
		Decisions: []client.Decision{{Purpose: "membership", Decision: client.DecisionDecisionGranted, Items: []string{"user_id", "email", "name"}}},
		Method:    "checkbox", Locale: "en", OccurredAt: testNow, MinimumAgeConfirmed: true,
	}
}
