package client_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"consentledger/ledger"
	"consentledger/server/api"
	"consentledger/server/client"
)

// seen records which calls were made and answered with success, before the client has the answer.
type seen struct {
	mu  sync.Mutex
	all map[string]bool
}

func (s *seen) add(call string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[call] = true
}

func (s *seen) watch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(&watched{w, s, r.Method + " " + r.URL.Path, false}, r)
	})
}

type watched struct {
	http.ResponseWriter
	seen *seen
	call string
	said bool
}

func (w *watched) WriteHeader(code int) {
	if !w.said && code/100 == 2 {
		w.seen.add(w.call)
	}
	w.said = true
	w.ResponseWriter.WriteHeader(code)
}

func (w *watched) Write(b []byte) (int, error) {
	if !w.said {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(b)
}

func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// notOfAClient are the calls that a shop's program does not make: they are for people who sign in, for
// what watches over the server, and for whoever verifies the log, with tools of their own.
var notOfAClient = []string{
	"GET /tile/{path}",
	"GET /livez", "GET /metrics", "GET /openapi.yaml",
	"POST /v1/operators/{id}/invitations", "POST /v1/enrolments", "POST /v1/enrolments/confirm", "POST /v1/sessions", "DELETE /v1/sessions",
}

func TestEveryCallOfTheContractHasAMethodThatWorks(t *testing.T) {
	s := newShop(t)
	did := &seen{all: map[string]bool{}}
	url := s.behind(did.watch)
	as := func(r ledger.Role) *client.Client { return s.to(url, client.Options{Key: s.keys[r], Attempts: 1}) }
	w, r, d, a := as(ledger.RoleWriter), as(ledger.RoleReader), as(ledger.RoleDPO), as(ledger.RoleAdmin)
	ctx := t.Context()
	ok := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}

	enrolled, err := w.Consent(ctx, enrolment("kim"))
	must("a consent", err)
	if len(enrolled.Entries) != 1 || enrolled.Entries[0].Class != "membership" || !enrolled.RecordedAt.After(testNow) {
		t.Errorf("%+v", enrolled)
	}
	ref := enrolled.Member
	found, err := w.Lookup(ctx, client.Lookup{MemberID: "kim"})
	if err != nil || found.Member != ref || found.State != client.LookupAnswerStateActive {
		t.Errorf("a lookup: %+v %v", found, err)
	}
	decided, err := r.Decide(ctx, client.Question{MemberID: "kim", Purpose: "membership", Items: []string{"email"}})
	if err != nil || !decided.Allowed || decided.Reason != client.DecidedReasonConsentInForce || decided.Index != enrolled.Entries[0].Index {
		t.Errorf("a decision: %+v %v", decided, err)
	}
	_, err = w.Activity(ctx, client.Activity{MemberID: "kim", OccurredAt: testNow})
	ok("an activity", err)
	_, err = w.Signal(ctx, client.Signal{MemberID: "kim", Signal: client.SignalSignalGpc, Value: false, OccurredAt: testNow})
	ok("a signal that is false", err)
	_, err = w.Disclose(ctx, client.Disclosure{MemberID: "kim", Recipient: "it-vendor", Purpose: "membership", Items: []string{"email"}, OccurredAt: testNow})
	ok("a disclosure", err)
	correction, err := w.Correct(ctx, client.Correction{MemberID: "kim", Changes: []client.Change{{Item: "email", Old: "a@example.com", New: "b@example.com"}}})
	must("a correction", err)
	outcome, err := w.DecideCorrection(ctx, correction.Correction, client.CorrectionOutcome{MemberID: "kim", Outcome: client.CorrectionOutcomeOutcomeCorrected})
	if err != nil || len(outcome.Notify) != 1 || outcome.Notify[0].Recipient != "it-vendor" {
		t.Errorf("its outcome: %+v %v", outcome, err)
	}
	_, err = w.EndEvent(ctx, client.EventEnd{Type: client.EventEndTypeEventEnded, Reference: "raffle", OccurredAt: testNow})
	ok("the end of an event for everybody", err)
	if _, err = w.Reactivate(ctx, client.Reactivation{MemberID: "kim", Method: "button"}); !client.HasCode(err, "not_dormant") {
		t.Errorf("a reactivation of who is not dormant: %v", err)
	}
	did.add("POST /v1/reactivations")

	view, err := r.Member(ctx, ref, "회원이 전화로 물었다")
	if err != nil || view.State != "active" || len(view.Purposes) == 0 || len(view.Signals) != 1 {
		t.Errorf("a member: %+v %v", view, err)
	}
	var pages int
	var indexes []int64
	for page := (client.Page{Limit: 2}); ; pages++ {
		h, err := r.History(ctx, ref, "the member asked", page)
		must("a history", err)
		for _, e := range h.Entries {
			indexes = append(indexes, e.Index)
		}
		if page.Cursor = h.Next; h.Next == "" {
			break
		}
	}
	if pages < 2 || !slices.IsSortedFunc(indexes, func(a, b int64) int { return int(b - a) }) || !slices.Contains(indexes, enrolled.Entries[0].Index) {
		t.Errorf("%d pages, %v", pages, indexes)
	}
	export, err := r.Export(ctx, ref, "the member asked")
	if err != nil || export.Member != ref || len(export.Texts) == 0 {
		t.Errorf("an export: %+v %v", export, err)
	}
	complete, err := r.CompleteExport(ctx, ref, "the member asked")
	if err != nil || len(complete.Completeness.Keys) == 0 || complete.Completeness.Keys[0].Entries == 0 {
		t.Errorf("a complete export: %+v %v", complete, err)
	}
	ld, err := r.ExportJSONLD(ctx, ref, "the member asked")
	if err != nil || !strings.Contains(string(ld), "@context") {
		t.Errorf("an export as JSON-LD: %s %v", ld, err)
	}

	if file, err := r.Receipt(ctx, ref, enrolled.Entries[0].Index, "the member asked"); err != nil || !strings.HasPrefix(string(file), "consentledger/receipt/v1\n") {
		t.Errorf("a receipt: %s %v", file, err)
	}

	request, err := d.Request(ctx, client.Request{MemberID: "kim", Type: client.RequestTypeAccess, Channel: "phone", ReceivedAt: testNow})
	must("a request", err)
	due, err := d.Due(ctx, "60d", "the day's work")
	if err != nil || !slices.ContainsFunc(due.Due, func(x client.Due) bool { return x.ID == request.Request && x.At.Equal(request.Due) }) {
		t.Errorf("what is due: %+v %v", due, err)
	}
	_, err = d.AnswerRequest(ctx, request.Request, client.RequestOutcome{Outcome: client.RequestOutcomeOutcomeGranted})
	ok("its outcome", err)
	_, err = d.Notice(ctx, client.Notice{Kind: "policy_change", Outcome: "sent", Channel: "email", SentAt: testNow})
	ok("a notice", err)
	notices, err := d.Notices(ctx, client.Page{Limit: 5})
	if err != nil || len(notices.Entries) != 1 || notices.Entries[0].Event.NoticeKind != "policy_change" {
		t.Errorf("the notices: %+v %v", notices, err)
	}
	_, err = d.AnonymisedDisclosures(ctx, client.Page{})
	ok("anonymised disclosures", err)
	hold, err := d.PlaceHold(ctx, ref, client.Hold{Classes: []string{"membership"}, Ground: "claim 12", Until: testNow.AddDate(1, 0, 0)})
	must("a hold", err)
	leaked := map[string]bool{}
	for row, err := range d.Breach(ctx, client.BreachQuery{From: testNow.Add(-time.Hour), To: testNow.Add(time.Hour)}, "breach 3") {
		must("a breach", err)
		leaked[row.Member] = true
	}
	if !leaked[ref] || len(leaked) != 1 {
		t.Errorf("a breach: %v", leaked)
	}
	left, err := w.Withdraw(ctx, client.Withdrawal{MemberID: "kim", Scope: client.WithdrawalScopeMembership})
	if err != nil || len(left.Kept) == 0 {
		t.Errorf("a withdrawal: %+v %v", left, err)
	}
	last := left.Entries[len(left.Entries)-1].Index
	if gone, err := w.Destruction(ctx, last); err != nil || gone.Status != client.DestructionStatusFinal || gone.Index != last {
		t.Errorf("a destruction: %+v %v", gone, err)
	}
	kept, err := d.Kept(ctx, ref, "claim 12", "membership")
	if err != nil || kept.State != client.KeptApartStateWithdrawn || len(kept.Entries) == 0 {
		t.Errorf("what is kept: %+v %v", kept, err)
	}
	if file, err := d.KeptReceipt(ctx, ref, kept.Entries[len(kept.Entries)-1].Index, "claim 12", "membership"); err != nil || len(file) < 1000 {
		t.Errorf("a receipt of what is kept: %s %v", file, err)
	}
	released, err := d.ReleaseHold(ctx, ref, hold.Hold)
	if err != nil || released.Destroyed.Keys == 0 {
		t.Errorf("a release: %+v %v", released, err)
	}
	if !strings.HasPrefix(left.Certificate, "consentledger/certificate/v1\n") || left.CertificateLater {
		t.Errorf("the withdrawal's certificate: %q", left.Certificate)
	}
	waiting, err := d.AwaitingCertificates(ctx, client.Page{})
	if err != nil || len(waiting.Destructions) == 0 || waiting.Next != "" {
		t.Fatalf("the certificates that wait: %+v %v", waiting, err)
	}
	if c, err := d.WaitingCertificate(ctx, waiting.Destructions[0].Index, "the notice"); err != nil || c.Member != ref || !strings.HasPrefix(c.Certificate, "consentledger/certificate/v1\n") {
		t.Errorf("a certificate that waits: %+v %v", c, err)
	}
	n := 0
	for answer, err := range w.Batch(ctx, slices.Values([]client.Line{{Call: enrolment("lee")}})) {
		if err != nil || answer.Status != 201 {
			t.Errorf("a batch: %+v %v", answer, err)
		}
		n++
	}
	if n != 1 {
		t.Errorf("%d answers to a batch of one line", n)
	}

	list, err := w.Policies(ctx)
	if err != nil || len(list.Policies) != 1 || list.Policies[0].Version != "2025-01-01" {
		t.Errorf("policies: %v", err)
	}
	if _, err = a.PostPolicy(ctx, []byte(list.Policies[0].Source)); err == nil {
		t.Error("the same version was posted twice")
	}
	did.add("POST /v1/policies") // newShop did
	recipients, err := w.Recipients(ctx)
	if err != nil || len(recipients.Recipients) == 0 || !recipients.Recipients[0].Until.IsZero() {
		t.Errorf("recipients: %v", err)
	}
	_, err = a.ChangeRecipient(ctx, client.RecipientChange{
		Policy: "haim", ID: "new-vendor", Announced: "2025-03-02", Reason: "a new vendor",
		Recipient: client.Recipient{Name: "New", Business: "IT", Kind: "processor", Country: "KR", Purposes: []string{"membership"}, Items: []string{"email"}, From: "2025-06-01"},
	})
	ok("a change of a recipient", err)
	register, err := w.ProcessingRegister(ctx)
	if err != nil || len(register.Processing) == 0 {
		t.Errorf("the register of processing: %v", err)
	}
	key, err := a.CreateKey(ctx, client.NewKey{Role: client.NewKeyRoleReader, Name: "till"})
	must("a key", err)
	if _, err := s.to(url, client.Options{Key: key.Key}).Lookup(ctx, client.Lookup{MemberID: "lee"}); err != nil {
		t.Errorf("the new key: %v", err)
	}
	_, err = a.RevokeKey(ctx, key.ID)
	ok("its end", err)
	if _, err := s.to(url, client.Options{Key: key.Key}).Lookup(ctx, client.Lookup{MemberID: "lee"}); !client.HasCode(err, "unauthorized") {
		t.Errorf("the revoked key: %v", err)
	}
	keys, err := a.Keys(ctx)
	if err != nil || !slices.ContainsFunc(keys.Keys, func(k client.Key) bool { return k.ID == key.ID && !k.RevokedAt.IsZero() }) {
		t.Errorf("the keys: %v", err)
	}
	witnessKey := "witness.example/w1+df1c0a35+BIE5dw6ofRdfVqNUZsNMfszLjYqRtO43ol32D1uPybOU"
	witness, err := a.ChangeWitnesses(ctx, client.NewWitness{URL: "https://witness.example", Key: witnessKey})
	must("a witness", err)
	witnesses, err := w.Witnesses(ctx)
	if err != nil || len(witnesses.Witnesses) != 1 || witnesses.Witnesses[0].Key != witnessKey || witnesses.Witnesses[0].ID != witness.ID {
		t.Errorf("the witnesses: %+v %v", witnesses, err)
	}
	_, err = a.RemoveWitness(ctx, witness.ID)
	ok("a witness's end", err)
	first, err := a.AddOperator(ctx, client.NewOperator{Name: "Kim", Role: client.NewOperatorRoleDPO, Responsible: true})
	must("an operator", err)
	second, err := a.AddOperator(ctx, client.NewOperator{Name: "Lee", Role: client.NewOperatorRoleDPO})
	must("another", err)
	_, err = a.HandOver(ctx, first.ID, client.HandoverOf{To: second.ID, At: testNow})
	ok("a handover", err)
	_, err = a.EndOperator(ctx, first.ID)
	ok("an operator's end", err)
	people, err := d.Operators(ctx)
	if err != nil || len(people.Operators) != 2 || len(people.Handovers) != 1 {
		t.Errorf("operators: %+v %v", people, err)
	}
	proof, err := w.Entry(ctx, enrolled.Entries[0].Index)
	if err != nil || proof.LeafHash != enrolled.Entries[0].LeafHash || len(proof.Entry) == 0 {
		t.Errorf("an entry: %+v %v", proof, err)
	}
	head, err := w.Checkpoint(ctx)
	if err != nil || !strings.HasPrefix(head, "ledger.example/shop\n") {
		t.Errorf("the checkpoint: %q %v", head, err)
	}
	ok("readiness", w.Ready(ctx))

	var document struct{ Paths map[string]map[string]any }
	if err := yaml.Unmarshal(api.Document, &document); err != nil {
		t.Fatal(err)
	}
	if len(document.Paths) < 20 {
		t.Fatalf("the document has %d paths", len(document.Paths))
	}
	did.mu.Lock()
	defer did.mu.Unlock()
	for path, methods := range document.Paths {
		pattern := regexp.MustCompile("^" + regexp.MustCompile(`\\\{\w+\\\}`).ReplaceAllString(regexp.QuoteMeta(path), `[^/]+`) + "$")
		for method := range methods {
			method = strings.ToUpper(method)
			if slices.Contains(notOfAClient, method+" "+path) {
				continue
			}
			made := false
			for name := range did.all {
				m, p, _ := strings.Cut(name, " ")
				made = made || m == method && pattern.MatchString(p)
			}
			if !made {
				t.Errorf("%s %s: the client has no method that this test calls with success; add one, or say in notOfAClient why not", method, path)
			}
		}
	}
}

// The generator is pinned in .ci/tools, apart from the project.
func TestTheModelsAreThoseOfTheDocument(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds the generator")
	}
	out := filepath.Join(t.TempDir(), "models.go")
	generate := func(document string) []byte {
		t.Helper()
		config, err := os.ReadFile("oapi-codegen.yaml")
		if err != nil {
			t.Fatal(err)
		}
		changed := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(changed, []byte(strings.Replace(string(config), "output: models.go", "output: "+out, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("go", "tool", "-modfile=../../.ci/tools/go.mod", "oapi-codegen", "-config", changed, document)
		if b, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, b)
		}
		b, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	committed, err := os.ReadFile("models.go")
	if err != nil {
		t.Fatal(err)
	}
	if string(generate("../api/openapi.yaml")) != string(committed) {
		t.Error("models.go is not what server/api/openapi.yaml makes: run go generate ./server/client")
	}
	// The control: another document makes other models.
	other := filepath.Join(t.TempDir(), "other.yaml")
	if err := os.WriteFile(other, []byte(strings.ReplaceAll(string(api.Document), "policy_version", "policy_edition")), 0o600); err != nil {
		t.Fatal(err)
	}
	if string(generate(other)) == string(committed) {
		t.Error("control: another document makes the same models")
	}
}

func TestAProblemSaysWhatIsWrongAndNothingOfTheMember(t *testing.T) {
	s := newShop(t)
	n := &naps{}
	c := s.to(s.url, client.Options{Sleep: n.sleep, Language: "ko"})
	wrong := enrolment("kim@example.com")
	wrong.Decisions[0].Purpose = "nothing-of-the-kind"
	_, err := c.Consent(t.Context(), wrong)
	var p *client.Problem
	if !errors.As(err, &p) || p.Status != 422 || p.Code == "" || p.Field != "decisions[0].purpose" || p.RequestID == "" || p.Detail == "" || len(n.all) != 0 {
		t.Fatalf("%#v after %v", err, n.all)
	}
	if !strings.ContainsFunc(p.Title, func(r rune) bool { return r >= 0xac00 && r <= 0xd7a3 }) {
		t.Errorf("not Korean: %q", p.Title)
	}
	for _, part := range []string{p.Code, p.Field, p.RequestID, "422"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
	// Errors of connections do not, either. They name the address, so the member's id may not be in it.
	_, lost := s.to(s.cutter(-1), client.Options{Attempts: 1}).Consent(t.Context(), wrong)
	for _, err := range []error{err, lost} {
		if err == nil || strings.Contains(err.Error(), "kim") || strings.Contains(err.Error(), "cl_live") {
			t.Errorf("%v", err)
		}
	}
	_, err = c.Disclose(t.Context(), client.Disclosure{MemberID: "nobody", Recipient: "it-vendor", Purpose: "membership", Items: []string{"email"}, OccurredAt: testNow})
	if !errors.As(err, &p) || p.Status/100 != 4 {
		t.Errorf("%v", err)
	}
}

func TestAnArgumentThatCannotBeRightIsNotSent(t *testing.T) {
	s := newShop(t)
	sent := 0
	url := s.behind(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { sent++; next.ServeHTTP(w, r) })
	})
	c := s.to(url, client.Options{Key: s.keys[ledger.RoleDPO]})
	ctx := t.Context()
	ref := "mbr_aaaaaaaaaaaaaaaaaaaaaaaaaa"
	for name, call := range map[string]func() error{
		"a member's id for a ref":       func() error { _, err := c.Member(ctx, "kim@example.com", "asked"); return err },
		"a ref that leads elsewhere":    func() error { _, err := c.Member(ctx, "../keys", "asked"); return err },
		"no ref":                        func() error { _, err := c.Export(ctx, "", "asked"); return err },
		"no reason":                     func() error { _, err := c.Member(ctx, ref, ""); return err },
		"a reason of two lines":         func() error { _, err := c.Member(ctx, ref, "asked\r\nAccess-Ground: x"); return err },
		"a reason that is too long":     func() error { _, err := c.Member(ctx, ref, strings.Repeat("x", 1001)); return err },
		"a ground of two lines":         func() error { _, err := c.Kept(ctx, ref, "asked", "x\ny"); return err },
		"an empty idempotency key":      func() error { _, err := c.Consent(ctx, enrolment("kim"), client.IdempotencyKey("")); return err },
		"an idempotency key of a space": func() error { _, err := c.Consent(ctx, enrolment("kim"), client.IdempotencyKey("a b")); return err },
		"an idempotency key too long": func() error {
			_, err := c.Consent(ctx, enrolment("kim"), client.IdempotencyKey(strings.Repeat("k", 256)))
			return err
		},
		"one of a read": func() error {
			_, err := c.Lookup(ctx, client.Lookup{MemberID: "kim"}, client.IdempotencyKey("k"))
			return err
		},
		"one of a DELETE": func() error { _, err := c.RevokeKey(ctx, "key_x", client.IdempotencyKey("k")); return err },
	} {
		if err := call(); err == nil || errors.As(err, new(*client.Problem)) || strings.Contains(err.Error(), "kim") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if sent != 0 {
		t.Errorf("%d were sent", sent)
	}
	if _, err := c.Member(ctx, ref, "asked"); !client.HasCode(err, "unknown_member") || sent != 1 {
		t.Errorf("control: %v, %d sent", err, sent)
	}
}

func TestAModelLeavesOutWhatIsNotSaid(t *testing.T) {
	b, err := json.Marshal(client.Consent{MemberID: "m", OccurredAt: testNow})
	want := `{"decisions":null,"locale":"","member_id":"m","method":"","occurred_at":"2025-03-01T12:00:00Z","policy":"","policy_version":""}`
	if err != nil || string(b) != want {
		t.Errorf("%s %v", b, err)
	}
}
