package server

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"consentledger/ledger"
	"consentledger/ledger/consent"
	"consentledger/ledger/store"
)

// looks are the routes that show what is recorded of members, with what their record says was
// looked at.
var looks = map[string]string{
	"GET /v1/members/:ref":         "state",
	"GET /v1/members/:ref/history": "history",
	"GET /v1/members/:ref/export":  "export",
	"GET /v1/members/:ref/kept":    "kept:contract",
	"GET /v1/due":                  "due",
	"POST /v1/breaches/query":      "breach",

	"GET /v1/members/:ref/entries/:index/receipt": "receipt:",
	"GET /v1/destructions/:index/certificate":     "certificate:",
}

// showNothing are the routes that read and show nothing of any member, with why they may.
var showNothing = map[string]string{
	"POST /v1/decisions":          "yes or no, to what the caller knows of the member",
	"POST /v1/lookups":            "the ref of an id that the caller has",
	"GET /v1/notices":             "of no member",
	"GET /v1/disclosures":         "of data that identifies nobody",
	"GET /v1/entries/:index":      "sealed bytes",
	"GET /v1/destructions/:index": "public: that keys died, and never whose",
	"GET /v1/destructions":        "which certificates wait, and never for whom",
	"GET /v1/policies":            "public",
	"GET /v1/recipients":          "public",
	"GET /v1/processing-register": "of the policies",
	"GET /v1/keys":                "of machines",
	"GET /v1/witnesses":           "public",
	"GET /v1/operators":           "of those who look, and not of members",
	"POST /v1/enrolments":         "of who gets in",
	"POST /v1/enrolments/confirm": "of who gets in",
	"POST /v1/sessions":           "of who gets in",
	"DELETE /v1/sessions":         "of who goes",
	"GET /checkpoint":             "public",
	"GET /tile/*path":             "public, and opaque",
	"GET /livez":                  "public",
	"GET /metrics":                "counts, without a label of anybody",
	"GET /openapi.yaml":           "public, and the same for everybody",
	"GET /readyz":                 "public",
}

// A heldStore takes no write until it is told how writes end.
type heldStore struct {
	store.Store
	mu   sync.Mutex
	held chan error // nil: writes are taken
}

func (s *heldStore) hold() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = make(chan error)
}

func (s *heldStore) Update(f func(store.Writer) error) error {
	s.mu.Lock()
	held := s.held
	s.mu.Unlock()
	if held != nil {
		if err := <-held; err != nil {
			return err
		}
	}
	return s.Store.Update(f)
}

// letGo ends the writes with err, until the function that it returns is called; then writes are taken as ever.
func (s *heldStore) letGo(err error) (stop func()) {
	s.mu.Lock()
	held := s.held
	s.mu.Unlock()
	done := make(chan struct{})
	go func() {
		for {
			select {
			case held <- err:
			case <-done:
				close(held) // whoever waits now
				return
			}
		}
	}()
	return func() {
		s.mu.Lock()
		s.held = nil
		s.mu.Unlock()
		close(done)
	}
}

// sent is a call that was sent over a connection of its own.
type sent struct {
	conn net.Conn
	r    *bufio.Reader
}

func send(t *testing.T, s *shop, c goodCall) sent {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c.set("Connection", "close")
	if _, err := conn.Write(c.raw()); err != nil {
		t.Fatal(err)
	}
	return sent{conn, bufio.NewReader(conn)}
}

// silent says whether not one byte of an answer comes for a while.
func (s sent) silent(t *testing.T) bool {
	t.Helper()
	_ = s.conn.SetReadDeadline(time.Now().Add(60 * time.Millisecond))
	_, err := s.r.Peek(1)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	return err != nil
}

func (s sent) answer(t *testing.T) (status int, body string) {
	t.Helper()
	_ = s.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	res, err := http.ReadResponse(s.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func TestEveryRouteThatReadsIsALookOrShowsNothingOfAMember(t *testing.T) {
	s := newDouble(t, &double{})
	there := map[string]bool{}
	for _, rt := range s.routes() {
		name := rt.method + " " + rt.label
		there[name] = true
		switch _, isLook := looks[name]; {
		case isLook != rt.look:
			t.Errorf("%s: Access-Reason is needed: %t, and in the list of looks: %t", name, rt.look, isLook)
		case !rt.writes && !isLook && showNothing[name] == "":
			t.Errorf("%s reads: it belongs to the looks, or it must be said why it shows nothing of a member", name)
		}
	}
	for name := range looks {
		if !there[name] {
			t.Errorf("%s is no route", name)
		}
	}
}

// No record, no answer, over the wire and of every route: while the record of the look is not on
// disk, not one byte of the answer leaves; and if the disk fails, none of what was asked for does.
func TestNoAnswerWithPersonalDataLeavesBeforeTheRecordOfTheLookIsOnDisk(t *testing.T) {
	labels := newDouble(t, &double{}).routes()
	for _, rt := range labels {
		name := rt.method + " " + rt.label
		if !rt.look {
			continue
		}
		for _, failure := range []error{nil, errors.New("the disk has gone")} {
			held := &heldStore{}
			s := newShopOn(t, 0, func(opened store.Store) store.Store { held.Store = opened; return held })
			c := s.good(rt)
			if rt.label == "/v1/due" {
				s.person()
				id, _ := s.person()
				s.made(ledger.RoleDPO, "/v1/requests", `{"member_id":"`+id+`","type":"access","channel":"phone","received_at":"2025-03-01T12:00:00Z"}`)
				c.path += "?within=60d"
			}
			c.set("Access-Reason", "asked in test "+rt.label)
			size := s.ledger.Size()
			held.hold()

			looked := send(t, s, c)
			if !looked.silent(t) {
				t.Errorf("%s: something of the answer leaves before the look is on disk", name)
			}
			// The control: what shows nothing of a member is answered meanwhile.
			public := goodCall{method: "GET", path: "/v1/policies", headers: [][2]string{{"Host", "ledger.example"}}}
			if other := send(t, s, public); other.silent(t) {
				t.Error("control: what needs no record is not answered either, so that silence proves nothing")
			}
			if !looked.silent(t) || s.ledger.Size() != size {
				t.Errorf("%s: something leaves, or was recorded, before the disk took it", name)
			}

			stop := held.letGo(failure)
			status, body := looked.answer(t)
			if failure != nil {
				if status < 500 || strings.Contains(body, "mbr_") || strings.Contains(body, "purpose") || strings.Contains(body, "email") {
					t.Errorf("%s: the record failed, and the answer is %d %s", name, status, body)
				}
				stop()
				continue
			}
			if status != 200 || len(body) < 20 {
				t.Errorf("%s: %d %s", name, status, body)
			}
			refs := refsIn(body)
			if len(refs) == 0 {
				refs = refsIn(c.path) // kept says whose by the path
			}
			if len(refs) == 0 {
				t.Errorf("%s: the answer is about nobody: %s", name, body)
			}
			role := roleFor(name)
			for _, ref := range refs {
				s.wantLook(ref, keyIDOf(s.keys[role]), looks[name], "asked in test "+rt.label, rt.ground)
			}
			stop()
		}
	}
}

func keyIDOf(token string) string {
	return "key_" + strings.Split(token, "_")[2]
}

// refsIn are the member refs in a text, each once.
func refsIn(text string) (refs []string) {
	for rest := text; ; {
		_, after, ok := strings.Cut(rest, "mbr_")
		if !ok || len(after) < 26 {
			return refs
		}
		if ref := "mbr_" + after[:26]; !slices.Contains(refs, ref) {
			refs = append(refs, ref)
		}
		rest = after
	}
}

// wantLook wants the newest look but our own in a member's record to say who, from where, what and why.
func (s *shop) wantLook(ref, who, what, why string, apart bool) {
	s.t.Helper()
	r, err := ledger.ParseRef(ref)
	if err != nil {
		s.t.Fatal(err)
	}
	me := ledger.Caller{KeyID: "key_test", Role: ledger.RoleDPO, From: "test"}
	var rows []ledger.HistoryRow
	if apart {
		k, err2 := s.ledger.Kept(s.t.Context(), me, r, ledger.Look{Reason: "test"}, "access")
		rows, err = k.Entries, err2
	} else {
		rows, _, err = s.ledger.History(s.t.Context(), me, r, ledger.Look{Reason: "test", What: "history"}, 0, 100)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	for _, row := range rows {
		if e := row.Event; e.Kind == consent.KindAccess && e.Who != me.KeyID {
			if e.Who != who || e.From != "127.0.0.1" || strings.TrimRight(e.What, "0123456789") != what || e.Reason != why || row.Class != "access" || row.RecordedAt.Before(testNow) {
				s.t.Errorf("the look says that %s looked from %s at %s, because %q, in class %s at %v; want %s, %s, %q", e.Who, e.From, e.What, e.Reason, row.Class, row.RecordedAt, who, what, why)
			}
			return
		}
	}
	s.t.Errorf("no look at %s is in the member's record", what)
}
