package server

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	"consentledger/crypto/rootkey"
	"consentledger/crypto/seal"
	"consentledger/ledger"
	"consentledger/ledger/chain"
	"consentledger/ledger/store"
	"consentledger/ledger/store/bolt"
	"consentledger/server/api"
	"consentledger/testdata/policies"
)

// shop is a server on a ledger of real files with the policy of Haim, and a key of each role.
type shop struct {
	t      testing.TB
	ledger *ledger.Ledger
	server *Server
	url    string
	keys   map[ledger.Role]string
	client *http.Client
}

var testNow = time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)

func newShop(t testing.TB) *shop {
	t.Helper()
	return newShopWith(t, 0)
}

// newShopWith has so much memory for members; 0 means as much as a ledger takes by itself.
func newShopWith(t testing.TB, cacheBytes int64) *shop {
	t.Helper()
	return newShopOn(t, cacheBytes, func(s store.Store) store.Store { return s })
}

// newShopOn stands on a store that a test has its hand in.
func newShopOn(t testing.TB, cacheBytes int64, wrap func(store.Store) store.Store) *shop {
	t.Helper()
	s := newEmptyShop(t, cacheBytes, wrap)
	for _, r := range roles[1:] {
		s.addKey(r)
	}
	ts := httptest.NewServer(s.server.Handler())
	t.Cleanup(ts.Close)
	s.url, s.client = ts.URL, ts.Client()
	s.postPolicy()
	return s
}

// newEmptyShop has a ledger without an entry, nobody's key, and does not serve yet.
func newEmptyShop(t testing.TB, cacheBytes int64, wrap func(store.Store) store.Store) *shop {
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
	for _, m := range ledger.Increasing() {
		maps[m] = bolt.MapOptions{FillPercent: 0.9}
	}
	opened, err := bolt.Open(db, bolt.Options{Maps: maps})
	if err != nil {
		t.Fatal(err)
	}
	var tick atomic.Int64
	clock := func() time.Time { return testNow.Add(time.Duration(tick.Add(1)) * time.Millisecond) }
	l, err := ledger.Create(ledger.Options{Dir: dir, Store: wrap(opened), Clock: clock, SweepEvery: -1, CacheBytes: cacheBytes, Log: slog.New(leakHandler{slog.DiscardHandler, &leaked, nil})}, ledger.Genesis{
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
	return &shop{t: t, ledger: l, server: New(l, Options{}), keys: map[ledger.Role]string{}}
}

// addKey makes the key of a role, as somebody at the server's terminal does.
func (s *shop) addKey(r ledger.Role) {
	s.t.Helper()
	local := ledger.Caller{KeyID: "local", Role: ledger.RoleAdmin, From: "control.sock"}
	_, token, _, err := s.ledger.CreateAPIKey(s.t.Context(), local, ledger.NewAPIKey{Role: r, Name: string(r)})
	if err != nil {
		s.t.Fatal(err)
	}
	s.keys[r] = token
}

func (s *shop) postPolicy() {
	s.t.Helper()
	if status, b := s.call(ledger.RoleAdmin, "POST", "/v1/policies", string(policies.Haim()), "Content-Type", "application/yaml"); status != 201 {
		s.t.Fatalf("posting the policy: %d %s", status, b)
	}
}

func (s *shop) call(role ledger.Role, method, path, body string, headers ...string) (int, []byte) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.keys[role])
	r.Header.Set("Content-Type", "application/json")
	if strings.Contains(path, "/members/") || strings.HasPrefix(path, "/v1/due") || path == "/v1/breaches/query" {
		r.Header.Set("Access-Reason", "the member asked")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := s.client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return res.StatusCode, b
}

// must makes a call, asserts its status, and reads the answer strictly: what
// the API's types do not name must not be there.
func must[T any](s *shop, status int, role ledger.Role, method, path, body string) (out T) {
	s.t.Helper()
	got, b := s.call(role, method, path, body)
	if got != status {
		s.t.Fatalf("%s %s: %d %s; want %d", method, path, got, b, status)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&out); err != nil {
		s.t.Fatalf("%s %s: %v: %s", method, path, err, b)
	}
	return out
}

func enrolment(member string) string {
	return `{"member_id":"` + member + `","enrol":true,"member_kind":"member","policy":"haim","policy_version":"2025-01-01",` +
		`"decisions":[{"purpose":"membership","decision":"granted","items":["user_id","email","name"]},{"purpose":"marketing","decision":"granted"}],` +
		`"method":"checkbox","locale":"en","occurred_at":"2025-03-01T21:00:00+09:00","minimum_age_confirmed":true}`
}

func TestAMembersLifeOverHTTP(t *testing.T) {
	s := newShop(t)
	w, r := ledger.RoleWriter, ledger.RoleReader

	enrolled := must[api.ConsentAnswer](s, 201, w, "POST", "/v1/consents", enrolment("kim"))
	if len(enrolled.Entries) != 2 || !enrolled.RecordedAt.After(testNow) {
		t.Fatalf("%+v", enrolled)
	}
	found := must[api.LookupAnswer](s, 200, r, "POST", "/v1/lookups", `{"member_id":"kim"}`)
	if found.Member != enrolled.Member || found.State != "active" {
		t.Fatalf("%+v", found)
	}
	yes := must[api.Decided](s, 200, r, "POST", "/v1/decisions", `{"member_id":"kim","purpose":"marketing","items":["email"]}`)
	if !yes.Allowed || yes.Reason != "consent_in_force" || yes.Index == nil || yes.PolicyVersion != "2025-01-01" {
		t.Fatalf("%+v", yes)
	}
	if no := must[api.Decided](s, 200, r, "POST", "/v1/decisions", `{"member_id":"nobody","purpose":"marketing"}`); no.Allowed || no.Reason != "unknown_member" {
		t.Fatalf("%+v", no)
	}

	correction := must[api.CorrectionAnswer](s, 201, w, "POST", "/v1/corrections", `{"member_id":"kim","changes":[{"item":"email","old":"a@example.com","new":"b@example.com"}]}`)
	if p := must[api.Problem](s, 403, w, "POST", "/v1/disclosures", `{"member_id":"kim","recipient":"parcel-co","purpose":"nothing","items":["email"],"occurred_at":"2025-03-01T12:00:00Z"}`); p.Code != "purpose_not_stated" {
		t.Fatalf("%+v", p)
	}
	if p := must[api.Problem](s, 404, w, "POST", "/v1/corrections/cor_none/outcome", `{"member_id":"kim","outcome":"corrected"}`); p.Code != "unknown_correction" {
		t.Fatalf("%+v", p)
	}
	must[api.OutcomeAnswer](s, 201, w, "POST", "/v1/corrections/"+correction.Correction+"/outcome", `{"member_id":"kim","outcome":"corrected"}`)
	if p := must[api.Problem](s, 409, w, "POST", "/v1/corrections/"+correction.Correction+"/outcome", `{"member_id":"kim","outcome":"corrected"}`); p.Code != "correction_finished" {
		t.Fatalf("%+v", p)
	}

	must[any](s, 200, r, "GET", "/v1/members/"+enrolled.Member, "")
	before := s.ledger.Size()
	page := must[api.History](s, 200, r, "GET", "/v1/members/"+enrolled.Member+"/history?limit=2", "")
	if s.ledger.Size() != before+1 {
		t.Fatalf("the look at the history is not in the log")
	}
	seen := map[uint64]bool{}
	for last := uint64(1 << 62); ; {
		for _, e := range page.Entries {
			if e.Index >= last || seen[e.Index] {
				t.Fatalf("the history is not newest first: %d after %d", e.Index, last)
			}
			last, seen[e.Index] = e.Index, true
		}
		if page.Next == "" {
			break
		}
		page = must[api.History](s, 200, r, "GET", "/v1/members/"+enrolled.Member+"/history?limit=2&cursor="+page.Next, "")
	}
	for _, e := range enrolled.Entries {
		if !seen[e.Index] {
			t.Fatalf("entry %d is not in the history", e.Index)
		}
	}

	gone := must[api.WithdrawalAnswer](s, 201, w, "POST", "/v1/withdrawals", `{"member_id":"kim","scope":"membership"}`)
	if gone.Destroyed.Keys == 0 || gone.Destroyed.Entries == 0 || gone.Kept == nil || gone.Notify == nil {
		t.Fatalf("%+v", gone)
	}
	for _, role := range []ledger.Role{w} {
		if p := must[api.Problem](s, 409, role, "POST", "/v1/withdrawals", `{"member_id":"kim","scope":"membership"}`); p.Code != "nothing_to_withdraw" {
			t.Fatalf("%+v", p)
		}
	}
	if p := must[api.Problem](s, 404, w, "POST", "/v1/consents", strings.Replace(enrolment("kim"), `"enrol":true,`, "", 1)); p.Code != "unknown_member" {
		t.Fatalf("%+v", p)
	}
	if again := must[api.ConsentAnswer](s, 201, w, "POST", "/v1/consents", enrolment("kim")); again.Member == enrolled.Member {
		t.Fatal("who came back has the old ref")
	}
}

func TestAnEntrysProofConvincesAnIndependentVerifier(t *testing.T) {
	s := newShop(t)
	for i := range 20 {
		must[api.ConsentAnswer](s, 201, ledger.RoleWriter, "POST", "/v1/consents", enrolment(fmt.Sprint("m", i)))
	}
	v, err := note.NewVerifier(s.ledger.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	for _, index := range []uint64{0, 7, s.ledger.Size() - 1} {
		e := must[api.EntryProof](s, 200, ledger.RoleAuditor, "GET", fmt.Sprintf("/v1/entries/%d", index), "")
		cp, err := chain.OpenCheckpoint([]byte(e.Checkpoint), note.VerifierList(v), "ledger.example/shop")
		if err != nil {
			t.Fatal(err)
		}
		leaf := rfc6962.DefaultHasher.HashLeaf(e.Entry)
		if hex.EncodeToString(leaf) != e.LeafHash {
			t.Fatalf("the leaf hash of entry %d is not that of its bytes", index)
		}
		var path [][]byte
		for _, h := range e.Proof {
			b, err := hex.DecodeString(h)
			if err != nil {
				t.Fatal(err)
			}
			path = append(path, b)
		}
		if err := proof.VerifyInclusion(rfc6962.DefaultHasher, index, cp.Size, leaf, path, cp.Root[:]); err != nil {
			t.Fatal(err)
		}
		leaf[0] ^= 1
		if proof.VerifyInclusion(rfc6962.DefaultHasher, index, cp.Size, leaf, path, cp.Root[:]) == nil {
			t.Fatal("a flipped bit was not noticed")
		}
		// Random bytes hold a short id now and then, and a long word never.
		if bytes.Contains(e.Entry, []byte("marketing")) || bytes.Contains(e.Entry, []byte("checkbox")) || strings.Contains(base64.StdEncoding.EncodeToString(e.Entry), "marketing") {
			t.Fatal("the entry is not opaque")
		}
	}
	if p := must[api.Problem](s, 404, ledger.RoleAuditor, "GET", fmt.Sprintf("/v1/entries/%d", s.ledger.Size()), ""); p.Code != "unknown_entry" {
		t.Fatalf("%+v", p)
	}
	if status, b := s.call(ledger.RoleAuditor, "GET", "/checkpoint", ""); status != 200 || !strings.HasPrefix(string(b), "ledger.example/shop\n") {
		t.Fatalf("%d %s", status, b)
	}
}

func TestKeysAndPoliciesAreRegisters(t *testing.T) {
	s := newShop(t)
	made := must[api.CreatedKey](s, 201, ledger.RoleAdmin, "POST", "/v1/keys", `{"role":"writer","name":"till"}`)
	if len(made.Entries) != 1 || !strings.HasPrefix(made.Key, "cl_live_") {
		t.Fatalf("%+v", made)
	}
	s.keys["till"] = made.Key
	must[api.ConsentAnswer](s, 201, "till", "POST", "/v1/consents", enrolment("kim"))
	must[api.RevokedKey](s, 200, ledger.RoleAdmin, "DELETE", "/v1/keys/"+made.ID, "")
	must[api.Problem](s, 401, "till", "POST", "/v1/consents", enrolment("lee"))
	if p := must[api.Problem](s, 404, ledger.RoleAdmin, "DELETE", "/v1/keys/"+made.ID, ""); p.Code != "unknown_key" {
		t.Fatalf("%+v", p)
	}
	if p := must[api.Problem](s, 422, ledger.RoleAdmin, "POST", "/v1/keys", `{"role":"king","name":"x"}`); p.Code != "unknown_role" {
		t.Fatalf("%+v", p)
	}
	listed := must[api.Keys](s, 200, ledger.RoleAdmin, "GET", "/v1/keys", "")
	if last := listed.Keys[len(listed.Keys)-1]; last.ID != made.ID || last.RevokedAt == nil || last.Name != "till" {
		t.Fatalf("%+v", listed)
	}
	all := must[api.Policies](s, 200, "", "GET", "/v1/policies", "")
	if len(all.Policies) != 1 || all.Policies[0].Policy != "haim" || all.Policies[0].Source != string(policies.Haim()) || len(all.Policies[0].Texts) != 2 {
		t.Fatalf("%+v", all)
	}
	status, b := s.call(ledger.RoleAdmin, "POST", "/v1/policies", string(policies.Haim()), "Content-Type", "application/yaml")
	if status != 409 || !strings.Contains(string(b), `"policy_version_exists"`) {
		t.Fatalf("%d %s", status, b)
	}
	status, b = s.call(ledger.RoleAdmin, "POST", "/v1/policies", "policy: haim\nsurprise: 1\n", "Content-Type", "application/yaml")
	if status != 422 || !strings.Contains(string(b), "line ") {
		t.Fatalf("%d %s", status, b)
	}
}

func TestABatchAndSingleCallsAreTheSameLedger(t *testing.T) {
	s := newShop(t)
	const members = 300
	var body strings.Builder
	for i := range members {
		line := strings.Replace(enrolment(fmt.Sprint("m", i)), "{", `{"type":"consent",`, 1)
		body.WriteString(line + "\n" + strings.Replace(line, `"enrol":true,`, "", 1) + "\n")
		fmt.Fprintf(&body, `{"type":"withdrawal","member_id":"m%d","purposes":["marketing"]}`+"\n", i)
	}
	status, b := s.call(ledger.RoleWriter, "POST", "/v1/batch", body.String(), "Content-Type", mediaNDJSON)
	got := readLines(t, bytes.NewReader(b))
	if status != 200 || len(got) != 3*members {
		t.Fatalf("%d, %d lines", status, len(got))
	}
	for i, l := range got {
		if l.Status != 201 || l.Line != i+1 {
			t.Fatalf("line %d: %+v", i+1, l)
		}
	}
	for i := range members {
		q := fmt.Sprintf(`{"member_id":"m%d","purpose":"marketing"}`, i)
		if a := must[api.Decided](s, 200, ledger.RoleReader, "POST", "/v1/decisions", q); a.Allowed || a.Reason != "withdrawn" {
			t.Fatalf("member %d: %+v", i, a)
		}
	}
	report, err := s.ledger.VerifyDeep(t.Context(), ledger.Caller{KeyID: "local", Role: ledger.RoleAdmin}, nil)
	if err != nil || !report.Intact {
		t.Fatalf("%+v %v", report, err)
	}
}
