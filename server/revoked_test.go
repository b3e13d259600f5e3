package server

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"consentledger/ledger"
)

// TestAKeyThatIsRevokedWritesNothingMoreThroughAnOpenBatch goes through a real ledger.
func TestAKeyThatIsRevokedWritesNothingMoreThroughAnOpenBatch(t *testing.T) {
	s := newShop(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintf(conn, "POST /v1/batch HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n", s.keys[ledger.RoleWriter], mediaNDJSON)
	line := func(member string) string {
		return strings.Replace(enrolment(member), "{", `{"type":"consent",`, 1) + "\n"
	}
	_ = chunk(conn, line("before"))
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewReader(res.Body)
	next := func() (l batchLine) {
		b, err := answers.ReadBytes('\n')
		if err != nil || json.Unmarshal(b, &l) != nil {
			t.Fatalf("%s %v", b, err)
		}
		return l
	}
	if l := next(); l.Status != 201 { // the control
		t.Fatalf("%+v", l)
	}
	admin := ledger.Caller{KeyID: "local", Role: ledger.RoleAdmin}
	keys, err := s.ledger.APIKeys(admin)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		if k.Role == ledger.RoleWriter {
			if _, err := s.ledger.RevokeAPIKey(t.Context(), admin, k.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	size := s.ledger.Size()
	_ = chunk(conn, line("after"))
	if l := next(); l.Status != 401 || l.Code != "unauthorized" || l.Line != 2 {
		t.Fatalf("%+v", l)
	}
	if s.ledger.Size() != size {
		t.Fatal("the revoked key wrote an entry")
	}
	fmt.Fprint(conn, "0\r\n\r\n")
	if rest, err := io.ReadAll(answers); err != nil || len(rest) != 0 {
		t.Fatalf("%q %v", rest, err)
	}
}

func TestAKeyThatIsRevokedWhileItsBodyArrivesWritesNothing(t *testing.T) {
	d := &double{}
	s := newDouble(t, d)
	r := request(route{method: "POST", label: "/v1/withdrawals", media: mediaJSON}, ledger.RoleWriter)
	r.Body = io.NopCloser(readerFunc(func(b []byte) (int, error) {
		d.revoked.Store(true)
		return copy(b, bodies["/v1/withdrawals"]), io.EOF
	}))
	r.ContentLength = -1
	w := do(s.Handler(), r)
	wantProblem(t, w, 401, "unauthorized")
	if len(d.calls) != 0 || w.Header().Get("WWW-Authenticate") == "" {
		t.Fatalf("%d calls were made; headers %v", len(d.calls), w.Header())
	}
}

type readerFunc func(b []byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }
