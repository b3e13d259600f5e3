package server

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"consentledger/ledger"
	"consentledger/ledger/consent"
	"consentledger/ledger/receipt"
	"consentledger/server/api"
)

// double is a book that records what reaches it. It says what it is told to
// say; what a ledger would say is tested with a ledger.
type double struct {
	mu      sync.Mutex
	calls   []ledger.Call
	looks   []ledger.Look
	callers []ledger.Caller
	reached int // how often anything but Authenticate was asked

	busy      int // how many submits are still refused with ErrBusy
	submitErr error
	waitErr   error
	err       error         // of everything else
	durable   chan struct{} // if set, writes are durable once it is closed
	panics    bool
	forgets   bool // calls are not kept: for benchmarks
	size      uint64
	within    time.Duration // what was asked to be due
	affected  int           // members in the answer to a breach query
	breachErr error         // after them
	revoked   atomic.Bool   // every key, after it was authenticated
}

func (d *double) Lives(who ledger.Caller) bool { return who.KeyID == "local" || !d.revoked.Load() }

type doublePending struct {
	d     *double
	index uint64
}

func (p doublePending) Wait(ctx context.Context) (*ledger.Answer, error) {
	if p.d.durable != nil {
		select {
		case <-p.d.durable:
		case <-ctx.Done():
			return nil, ledger.ErrUncertain
		}
	}
	if p.d.waitErr != nil {
		return nil, p.d.waitErr
	}
	return &ledger.Answer{
		Member: ledger.Ref{1, 2, 3}, RecordedAt: time.UnixMilli(1_735_689_600_123),
		Entries: []ledger.EntryRef{{Index: p.index, LeafHash: [32]byte{0xab}, Class: "membership"}},
	}, nil
}

func (d *double) reach(who ledger.Caller) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reached++
	if d.forgets {
		return nil
	}
	d.callers = append(d.callers, who)
	if d.panics {
		panic("what a member sent: " + memberInTests)
	}
	return d.err
}

func (d *double) Submit(_ context.Context, who ledger.Caller, call ledger.Call) (pending, error) {
	if err := d.reach(who); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.busy > 0 {
		d.busy--
		return nil, ledger.ErrBusy
	}
	if d.submitErr != nil {
		return nil, d.submitErr
	}
	if d.forgets {
		return doublePending{d, 1}, nil
	}
	d.calls = append(d.calls, call)
	return doublePending{d, uint64(len(d.calls) - 1)}, nil
}

func (d *double) Decide(_ context.Context, who ledger.Caller, _ *consent.Question) (consent.Answer, error) {
	index := uint64(7)
	return consent.Answer{Allowed: true, Reason: "consent_in_force", Index: &index, PolicyVersion: "2025-01-01"}, d.reach(who)
}

func (d *double) Lookup(_ context.Context, who ledger.Caller, _ consent.MemberID) (ledger.Ref, ledger.State, error) {
	return ledger.Ref{1}, ledger.StateActive, d.reach(who)
}

func (d *double) look(who ledger.Caller, look ledger.Look) error {
	err := d.reach(who)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.looks = append(d.looks, look)
	return err
}

func (d *double) Member(_ context.Context, who ledger.Caller, _ ledger.Ref, look ledger.Look) (consent.MemberView, error) {
	v := consent.NewFold().View(consent.NewRegister(), time.Unix(0, 0))
	v.State = "active"
	return v, d.look(who, look)
}

func (d *double) History(_ context.Context, who ledger.Caller, _ ledger.Ref, look ledger.Look, before uint64, limit int) ([]ledger.HistoryRow, uint64, error) {
	rows := make([]ledger.HistoryRow, 0, limit)
	if before == 0 {
		before = 250
	}
	for i := before; i > 0 && len(rows) < limit; i-- {
		rows = append(rows, ledger.HistoryRow{Index: i - 1, Class: "membership", Event: consent.Event{Kind: consent.KindAccess}})
	}
	next := uint64(0)
	if n := before - uint64(len(rows)); n > 0 {
		next = n
	}
	return rows, next, d.look(who, look)
}

func (d *double) Notices(who ledger.Caller, before uint64, limit int) ([]ledger.HistoryRow, uint64, error) {
	return []ledger.HistoryRow{{Index: before + uint64(limit), Class: "notices", Event: consent.Event{Kind: consent.KindNotice}}}, 7, d.reach(who)
}

func (d *double) Anonymised(who ledger.Caller, before uint64, limit int) ([]ledger.HistoryRow, uint64, error) {
	return []ledger.HistoryRow{{Index: before + uint64(limit), Class: "statistics", Event: consent.Event{Kind: consent.KindDisclosure}}}, 0, d.reach(who)
}

func (d *double) Entry(_ context.Context, who ledger.Caller, index uint64) (ledger.EntryProof, error) {
	if index >= 10 {
		return ledger.EntryProof{}, ledger.ErrUnknownEntry
	}
	return ledger.EntryProof{Index: index, Entry: []byte("opaque"), Proof: [][32]byte{{1}}, Checkpoint: []byte("note\n")}, d.reach(who)
}

func (d *double) Rules() *consent.Register { return consent.NewRegister() }

func (d *double) Processing(who ledger.Caller) ([]consent.ProcessingRow, error) {
	return []consent.ProcessingRow{{
		Policy: "haim", Purpose: "=order", Jurisdictions: []string{}, Title: consent.Text{}, MemberKinds: []string{}, Items: []consent.ProcessingItem{}, Retention: []consent.ProcessingRetention{},
		Recipients: []consent.ProcessingRecipient{}, Exemptions: []consent.ProcessingDisclosure{},
	}}, d.reach(who)
}

func (d *double) written() *ledger.Answer {
	return &ledger.Answer{
		Hold: "hld_1", Request: "rqt_1", RecordedAt: time.UnixMilli(1_735_689_600_123), Entries: []ledger.EntryRef{{Class: "membership"}},
		DestroyedKeys: 1, DestroyedEntries: 2,
	}
}

func (d *double) call(who ledger.Caller, call any) (*ledger.Answer, error) {
	err := d.reach(who)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls = append(d.calls, call)
	return d.written(), err
}

func (d *double) EndEvent(_ context.Context, who ledger.Caller, e *consent.EventEnd) (*ledger.Answer, error) {
	return d.call(who, e)
}

func (d *double) RequestOutcome(_ context.Context, who ledger.Caller, o *consent.RequestOutcome) (*ledger.Answer, error) {
	return d.call(who, o)
}

func (d *double) PlaceHold(_ context.Context, who ledger.Caller, _ ledger.Ref, h *consent.Hold) (*ledger.Answer, error) {
	return d.call(who, h)
}

func (d *double) ReleaseHold(_ context.Context, who ledger.Caller, _ ledger.Ref, id string) (*ledger.Answer, error) {
	return d.call(who, id)
}

func (d *double) WithdrawRef(_ context.Context, who ledger.Caller, _ ledger.Ref, w *consent.Withdrawal) (*ledger.Answer, error) {
	return d.call(who, w)
}

func (d *double) Kept(_ context.Context, who ledger.Caller, _ ledger.Ref, look ledger.Look, ground string) (ledger.KeptData, error) {
	return ledger.KeptData{State: ledger.StateWithdrawn, Class: ground, Basis: "a law", Entries: make([]ledger.HistoryRow, 1)}, d.look(who, look)
}

func (d *double) Export(_ context.Context, who ledger.Caller, ref ledger.Ref, look ledger.Look) (*consent.Export, error) {
	return consent.NewRegister().NewExport("ledger.example/test", ref.String(), nil, consent.NewFold(), time.Unix(1, 0)), d.look(who, look)
}

func (d *double) CompleteExport(ctx context.Context, who ledger.Caller, ref ledger.Ref, look ledger.Look) (*consent.Export, error) {
	x, err := d.Export(ctx, who, ref, look)
	x.Completeness = &consent.ExportCompleteness{Keys: []consent.ExportKey{}}
	return x, err
}

func (d *double) Receipt(_ context.Context, who ledger.Caller, ref ledger.Ref, look ledger.Look, _ string, index uint64) (*receipt.Receipt, []byte, error) {
	look.What = consent.LookReceipt
	if index > 9 {
		return nil, nil, ledger.ErrUnknownEntry
	}
	return &receipt.Receipt{Member: ref.String()}, []byte("consentledger/receipt/v1\n"), d.look(who, look)
}

func (d *double) Due(_ context.Context, who ledger.Caller, look ledger.Look, within time.Duration) ([]ledger.DueRow, bool, error) {
	d.within = within
	return []ledger.DueRow{
		{DueItem: consent.DueItem{Kind: consent.DueRequest, ID: "rqt_1", At: time.Unix(1, 0)}, Member: ledger.Ref{1}},
		{DueItem: consent.DueItem{Kind: consent.DueDestructionRequest, ID: "ntc_1", At: time.Unix(2, 0)}},
	}, true, d.look(who, look)
}

func (d *double) Breach(ctx context.Context, who ledger.Caller, look ledger.Look, _ *ledger.BreachAsk, emit func(ledger.BreachRow) error) error {
	if err := d.look(who, look); err != nil {
		return err
	}
	for i := range d.affected {
		if err := emit(ledger.BreachRow{Member: ledger.Ref{byte(i), byte(i >> 8)}, Items: []string{"email"}, Entries: []uint64{uint64(i)}}); err != nil {
			return err
		}
	}
	if d.durable != nil {
		<-ctx.Done()
		return ctx.Err()
	}
	return d.breachErr
}

func (d *double) AddRecipient(_ context.Context, who ledger.Caller, c *consent.RecipientChange) (ledger.Written, error) {
	_, err := d.call(who, c)
	return ledger.Written{}, err
}

func (d *double) AddPolicy(_ context.Context, who ledger.Caller, _ []byte) (*consent.Policy, ledger.Written, error) {
	return &consent.Policy{}, ledger.Written{}, d.reach(who)
}

func (d *double) Witnesses() *ledger.Witnesses {
	return &ledger.Witnesses{All: []ledger.Witness{{ID: "wit_1", Name: "witness.example/w1", URL: "https://witness.example", Key: "k", AddedAt: time.Unix(1, 0)}}}
}

func (d *double) WitnessState(string) ledger.WitnessState {
	return ledger.WitnessState{Size: 7, SignedAt: time.Unix(2, 0), AwaySince: time.Unix(3, 0)}
}

func (d *double) ChangeWitnesses(_ context.Context, who ledger.Caller, _ ledger.WitnessChange) (string, ledger.Written, error) {
	return "wit_1", ledger.Written{}, d.reach(who)
}

func (d *double) RemoveWitness(_ context.Context, who ledger.Caller, _ string) (ledger.Written, error) {
	return ledger.Written{}, d.reach(who)
}

func (d *double) APIKeys(who ledger.Caller) ([]ledger.APIKey, error) {
	return []ledger.APIKey{{ID: "key_1", Role: ledger.RoleAdmin, RevokedAt: time.Unix(1, 0)}}, d.reach(who)
}

func (d *double) CreateAPIKey(_ context.Context, who ledger.Caller, n ledger.NewAPIKey) (ledger.APIKey, string, ledger.Written, error) {
	return ledger.APIKey{ID: "key_2", Role: n.Role, Name: n.Name}, "cl_live_shown_once", ledger.Written{}, d.reach(who)
}

func (d *double) RevokeAPIKey(_ context.Context, who ledger.Caller, _ string) (ledger.Written, error) {
	return ledger.Written{}, d.reach(who)
}

func (d *double) Operators(_ context.Context, who ledger.Caller) ([]ledger.OperatorRow, []consent.Handover, error) {
	row := ledger.OperatorRow{Operator: consent.Operator{ID: "opr_1", Role: "dpo", EndedAt: time.Unix(1, 0)}, Name: "Kim Min-ji"}
	return []ledger.OperatorRow{row}, []consent.Handover{{From: "opr_1", To: "opr_2"}}, d.reach(who)
}

func (d *double) AddOperator(_ context.Context, who ledger.Caller, _ *consent.NewOperator) (string, ledger.Written, error) {
	return "opr_1", ledger.Written{}, d.reach(who)
}

func (d *double) HandOver(_ context.Context, who ledger.Caller, _, _ string, _ time.Time) (ledger.Written, error) {
	return ledger.Written{}, d.reach(who)
}

func (d *double) EndOperator(_ context.Context, who ledger.Caller, _ string) (ledger.Written, error) {
	return ledger.Written{}, d.reach(who)
}

// Authenticate takes a role's name for its key.
func (d *double) Authenticate(token, from string) (ledger.Caller, error) {
	switch r := ledger.Role(token); r {
	case ledger.RoleWriter, ledger.RoleReader, ledger.RoleDPO, ledger.RoleAuditor, ledger.RoleAdmin:
		return ledger.Caller{KeyID: "key_" + token, Role: r, From: from}, nil
	}
	return ledger.Caller{}, ledger.ErrUnauthorized
}

func (d *double) AuthenticateCertificate([]string, string) (ledger.Caller, error) {
	return ledger.Caller{}, ledger.ErrUnauthorized
}

func (d *double) Checkpoint() []byte { return []byte("a note\n") }
func (d *double) Health() error      { return d.err }
func (d *double) Origin() string     { return "ledger.example/test" }
func (d *double) PublicKey() string  { return "ledger.example/test+1+AA==" }
func (d *double) Size() uint64       { return d.size }

func (d *double) LogEntries(from uint64, limit int) ([][]byte, error) {
	var out [][]byte
	for i := from; i < d.size && len(out) < limit; i++ {
		out = append(out, []byte("entry"))
	}
	return out, d.err
}

func (d *double) LogTile(level int, n uint64) ([]byte, error) {
	if level != 0 || n != 0 {
		return nil, ledger.ErrUnknownEntry
	}
	return make([]byte, 8192), d.err
}

func (d *double) Destruction(index uint64) (ledger.Destruction, error) {
	if index != 3 {
		return ledger.Destruction{}, ledger.ErrUnknownDestruction
	}
	return ledger.Destruction{Index: 3, Keys: 1, Entries: 2, From: 4, To: 5, Final: true, Grade: "g"}, d.err
}

func (d *double) CertificateOf(context.Context, *ledger.Answer) ([]byte, error) {
	return nil, ledger.ErrNoCertificate
}

func (d *double) WaitingCertificate(_ context.Context, who ledger.Caller, look ledger.Look, index uint64) (ledger.Ref, []byte, error) {
	look.What = consent.LookCertificate
	if index > 9 {
		return ledger.Ref{}, nil, ledger.ErrNoCertificate
	}
	return ledger.Ref{1}, []byte("consentledger/certificate/v1\n"), d.look(who, look)
}

func (d *double) Awaiting(who ledger.Caller, from uint64, _ int) ([]ledger.Awaiting, uint64, error) {
	return []ledger.Awaiting{{Destruction: ledger.Destruction{Index: from + 3, Keys: 1, Entries: 2}, Cause: "expiry", Until: time.Unix(1, 0)}}, from + 9, d.reach(who)
}

func (d *double) PublishedTile(dst []byte, level int, n uint64, width int) ([]byte, error) {
	if level != 0 || n != 0 {
		return nil, ledger.ErrUnknownTile
	}
	return append(dst, make([]byte, 32*width)...), d.err
}

func (d *double) PublishedEntries(dst []byte, n uint64, width int) ([]byte, error) {
	return append(dst, 0, 1, 0), d.err
}

func (d *double) VerifyDeep(_ context.Context, _ ledger.Caller, progress func(done, total uint64)) (ledger.DeepReport, error) {
	progress(1, 2)
	progress(2, 2)
	return ledger.DeepReport{}, d.err
}

const memberInTests = "kim-the-member"

// bodies of the calls that take one, as API.md shows them.
var bodies = map[string]string{
	"/v1/consents": `{"member_id":"` + memberInTests + `","enrol":true,"member_kind":"member","policy":"haim","policy_version":"2025-01-01",` +
		`"decisions":[{"purpose":"membership","decision":"granted","items":["user_id","email","name"]},{"purpose":"marketing","decision":"refused"}],` +
		`"method":"checkbox","locale":"en","occurred_at":"2025-01-02T03:04:05+09:00"}`,
	"/v1/withdrawals":                   `{"member_id":"` + memberInTests + `","scope":"membership"}`,
	"/v1/corrections":                   `{"member_id":"` + memberInTests + `","changes":[{"item":"email","old":"a@example.com","new":"b@example.com"}]}`,
	"/v1/corrections/:id/outcome":       `{"member_id":"` + memberInTests + `","outcome":"corrected"}`,
	"/v1/disclosures":                   `{"member_id":"` + memberInTests + `","recipient":"parcel-co","purpose":"order","items":["name"],"occurred_at":"2025-01-02T03:04:05Z"}`,
	"/v1/events":                        `{"type":"delivered","member_id":"` + memberInTests + `","reference":"order-1","occurred_at":"2025-01-02T03:04:05Z"}`,
	"/v1/activity":                      `{"member_id":"` + memberInTests + `","occurred_at":"2025-01-02T03:04:05Z"}`,
	"/v1/reactivations":                 `{"member_id":"` + memberInTests + `","method":"button"}`,
	"/v1/signals":                       `{"member_id":"` + memberInTests + `","signal":"gpc","value":true,"occurred_at":"2025-01-02T03:04:05Z"}`,
	"/v1/notices":                       `{"kind":"dormancy","member_id":"` + memberInTests + `","channel":"email","sent_at":"2025-01-02T03:04:05Z","outcome":"sent"}`,
	"/v1/requests":                      `{"member_id":"` + memberInTests + `","type":"access","channel":"phone","received_at":"2025-01-02T03:04:05Z"}`,
	"/v1/requests/:id/outcome":          `{"outcome":"granted"}`,
	"/v1/members/:ref/holds":            `{"classes":["contract"],"ground":"a claim","until":"2030-01-02T03:04:05Z"}`,
	"/v1/breaches/query":                `{"from":"2025-01-02T03:04:05Z","to":"2025-02-02T03:04:05Z"}`,
	"/v1/recipients":                    `{"policy":"haim","id":"parcel-co","recipient":{"from":"2025-06-01","ended":true},"announced":"2025-04-01","reason":"another company"}`,
	"/control/members/:ref/withdrawals": `{"scope":"membership"}`,
	"/v1/decisions":                     `{"member_id":"` + memberInTests + `","purpose":"marketing"}`,
	"/v1/lookups":                       `{"member_id":"` + memberInTests + `"}`,
	"/v1/policies":                      "policy: haim\n",
	"/v1/keys":                          `{"role":"writer","name":"shop"}`,
	"/v1/witnesses":                     `{"url":"https://witness.example","key":"witness.example/w1+df1c0a35+BIE5dw6ofRdfVqNUZsNMfszLjYqRtO43ol32D1uPybOU","required":0}`,
	"/v1/operators":                     `{"name":"Kim Min-ji","role":"dpo","responsible":true}`,
	"/v1/operators/:id/handover":        `{"to":"` + "opr_" + `aaaaaaaaaaaaaaaaaaaaaaaaaa","at":"2025-01-02T03:04:05Z"}`,
	"/v1/enrolments":                    `{"operator":"` + operatorInTests + `","invitation":"cl_inv_x"}`,
	"/v1/enrolments/confirm":            `{"operator":"` + operatorInTests + `","invitation":"cl_inv_x","password":"` + passwordInTests + `","code":"123456"}`,
	"/v1/sessions":                      `{"operator":"` + operatorInTests + `","password":"` + passwordInTests + `","recovery_code":"aaaa-bbbb-cccc-dddd"}`,
	"/v1/batch":                         `{"type":"withdrawal","member_id":"` + memberInTests + `","scope":"membership"}` + "\n",
}

func newDouble(t testing.TB, d *double) *Server {
	t.Helper()
	return newDoubleWith(t, d, Options{})
}

func newDoubleWith(t testing.TB, d *double, o Options) *Server {
	t.Helper()
	s := newServer(d, o)
	s.people.show(operatorInTests, aPerson().invitation, shownSecret, time.Now())
	return s
}

// pathOf fills in a route's parameters.
func pathOf(label string) string {
	return strings.NewReplacer(":ref", ledger.Ref{1, 2}.String(), ":index", "3", ":id", "cor_1", ":level", "0", ":n", "0", "*path", "0/000.p/1").Replace(label)
}

// request makes a request that is right in every way for a route.
func request(rt route, role ledger.Role) *http.Request {
	var body io.Reader
	if rt.media != "" {
		body = strings.NewReader(cmp.Or(signInBody(rt.label), bodies[rt.label]))
	}
	r := httptest.NewRequest(rt.method, pathOf(rt.label), body)
	if rt.media != "" {
		r.Header.Set("Content-Type", rt.media)
	}
	if rt.look {
		r.Header.Set("Access-Reason", "a member asked")
	}
	if rt.ground {
		r.Header.Set("Access-Ground", "contract")
	}
	if role != "" {
		r.Header.Set("Authorization", "Bearer "+string(role))
	}
	return r
}

func do(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// wantProblem asserts a problem of a status and a code, and returns it.
func wantProblem(t *testing.T, w *httptest.ResponseRecorder, status int, code string) api.Problem {
	t.Helper()
	var p api.Problem
	d := json.NewDecoder(bytes.NewReader(w.Body.Bytes()))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		t.Fatalf("status %d: the answer is no problem: %v", w.Code, err)
	}
	if w.Code != status || p.Status != status || p.Code != code {
		t.Fatalf("status %d, code %s (%s); want %d, %s", w.Code, p.Code, p.Detail, status, code)
	}
	if w.Header().Get("Content-Type") != "application/problem+json" || p.RequestID == "" || p.RequestID != w.Header().Get("X-Request-Id") {
		t.Fatalf("headers %v do not fit a problem with request id %q", w.Header(), p.RequestID)
	}
	if p.Title == "" || p.Detail == "" || p.Type != "urn:consentledger:problem:"+code {
		t.Fatalf("title, detail or type is missing: %+v", p)
	}
	return p
}

// logTo collects what a server logs, down to debug.
type logTo struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *logTo) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(b)
}

func (l *logTo) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.String()
}

func (l *logTo) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (d *double) Stats() (ledger.Stats, error) { return ledger.Stats{Entries: d.size}, nil }
func (d *double) Watch(func(ledger.Commit))    {}
