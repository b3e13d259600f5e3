package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"consentledger/ledger"
	"consentledger/ledger/chain"
	"consentledger/server/api"
	"consentledger/testdata/policies"
)

// A goodCall is a request that a real ledger answers with 2xx, in pieces, so
// that each piece can be changed.
type goodCall struct {
	route   string // as the matrix names it
	method  string
	path    string
	headers [][2]string
	body    string
}

// raw is the request as it goes over the wire.
func (c goodCall) raw() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n", c.method, c.path)
	for _, h := range c.headers {
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	b.WriteString("\r\n" + c.body)
	return []byte(b.String())
}

// set gives a header another value, or adds it.
func (c *goodCall) set(name, value string) {
	for i := range c.headers {
		if c.headers[i][0] == name {
			c.headers[i][1] = value
			return
		}
	}
	c.headers = append(c.headers, [2]string{name, value})
}

var persons atomic.Int64

// person enrols a member of whom everything is there that a call can be about:
// an order that is open, and what the law keeps of it.
func (s *shop) person() (id, ref string) {
	s.t.Helper()
	id = fmt.Sprintf("person-%d@example.org", persons.Add(1))
	ref = textOf(s.t, s.made(ledger.RoleWriter, "/v1/consents", enrolment(id)), "member")
	s.made(ledger.RoleWriter, "/v1/consents", `{"member_id":"`+id+`","member_kind":"purchasing_member","policy":"haim","policy_version":"2025-01-01",`+
		`"decisions":[{"purpose":"order","decision":"granted"},{"purpose":"delivery","decision":"granted"}],"method":"button","locale":"ko","reference":"order of `+id+`","occurred_at":"2025-03-01T12:00:00Z"}`)
	return id, ref
}

// made makes a call that must record something.
func (s *shop) made(role ledger.Role, path, body string) []byte {
	s.t.Helper()
	status, b := s.call(role, "POST", path, body)
	if status != 201 {
		s.t.Fatalf("%s: %d %s", path, status, b)
	}
	return b
}

// textOf is one text of a JSON object.
func textOf(t testing.TB, b []byte, name string) string {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	text, ok := v[name].(string)
	if !ok {
		t.Fatalf("there is no %s in %s", name, b)
	}
	return text
}

// newKeyBody is that of a key whose name no other has.
func newKeyBody() string {
	return fmt.Sprintf(`{"role":"writer","name":"shop-%d"}`, persons.Add(1))
}

// roleFor is one that may make a route's call: the most ordinary.
func roleFor(route string) ledger.Role {
	who := matrix[route]
	for _, r := range roles[1:] {
		if strings.Contains(who, letters[r]) && who != "everybody" {
			return r
		}
	}
	return ""
}

// newWitness is the body of a witness that no other is, for whom there is room.
func (s *shop) newWitness() string {
	s.t.Helper()
	if all := s.ledger.Witnesses().All; len(all) >= 8 {
		for _, w := range all {
			if _, err := s.ledger.RemoveWitness(s.t.Context(), ledger.Caller{KeyID: "local", Role: ledger.RoleAdmin, From: "test"}, w.ID); err != nil && !errors.Is(err, ledger.ErrUnknownWitness) {
				s.t.Fatal(err)
			}
		}
	}
	n := persons.Add(1)
	var seed [32]byte
	seed[0], seed[1], seed[2], seed[3] = 1, byte(n), byte(n>>8), byte(n>>16)
	_, vkey, err := chain.NewCosigner(fmt.Sprintf("witness.example/w%d", n), seed, time.Now)
	if err != nil {
		s.t.Fatal(err)
	}
	return fmt.Sprintf(`{"url":"https://witness.example/%d","key":"%s"}`, n, vkey)
}

// good makes what the route's call needs, and the call.
func (s *shop) good(rt route) goodCall {
	s.t.Helper()
	route := rt.method + " " + rt.label
	c := goodCall{route: route, method: rt.method, path: rt.label, body: bodies[rt.label]}
	if rt.media == "" {
		c.body = ""
	}
	id, ref := "", ""
	if strings.Contains(c.body, memberInTests) || strings.Contains(rt.label, ":ref") {
		id, ref = s.person()
	}
	const at = `"occurred_at":"2025-03-01T12:00:00Z"`
	switch route {
	case "POST /v1/corrections/:id/outcome":
		c.path = "/v1/corrections/" + textOf(s.t, s.made(ledger.RoleWriter, "/v1/corrections", strings.ReplaceAll(bodies["/v1/corrections"], memberInTests, id)), "correction") + "/outcome"
	case "POST /v1/requests/:id/outcome":
		id, ref = s.person()
		c.path = "/v1/requests/" + textOf(s.t, s.made(ledger.RoleDPO, "/v1/requests", strings.ReplaceAll(bodies["/v1/requests"], memberInTests, id)), "request") + "/outcome"
	case "DELETE /v1/members/:ref/holds/:id":
		c.path = "/v1/members/" + ref + "/holds/" + textOf(s.t, s.made(ledger.RoleDPO, "/v1/members/"+ref+"/holds", bodies["/v1/members/:ref/holds"]), "hold")
	case "DELETE /v1/keys/:id":
		c.path = "/v1/keys/" + textOf(s.t, s.made(ledger.RoleAdmin, "/v1/keys", newKeyBody()), "id")
	case "POST /v1/keys":
		c.body = newKeyBody()
	case "GET /v1/destructions/:index":
		id, _ = s.person()
		s.made(ledger.RoleWriter, "/v1/withdrawals", `{"member_id":"`+id+`","scope":"membership"}`)
		index := s.ledger.Size() - 1 // the newest may be somebody else's, of those that are called meanwhile
		for ; ; index-- {
			if _, err := s.ledger.Destruction(index); err == nil {
				break
			}
		}
		c.path = fmt.Sprintf("/v1/destructions/%d", index)
	case "GET /tile/*path":
		if status, b := s.call(ledger.RoleAuditor, "GET", "/v1/entries/0", ""); status != 200 { // publishes a head
			s.t.Fatalf("%s", b)
		}
		c.path = "/tile/entries/000.p/1"
	case "DELETE /v1/witnesses/:id":
		c.path = "/v1/witnesses/" + textOf(s.t, s.made(ledger.RoleAdmin, "/v1/witnesses", s.newWitness()), "id")
	case "POST /v1/witnesses":
		c.body = s.newWitness()
	case "GET /v1/members/:ref/entries/:index/receipt":
		c.path = fmt.Sprintf("/v1/members/%s/entries/%d/receipt", ref, s.entryOf(ref))
	case "GET /v1/destructions/:index/certificate":
		c.path = fmt.Sprintf("/v1/destructions/%d/certificate", s.unasked())
	case "GET /v1/members/:ref/kept":
		s.made(ledger.RoleWriter, "/v1/withdrawals", `{"member_id":"`+id+`","scope":"membership"}`)
	case "POST /v1/events":
		c.body = `{"type":"delivered","member_id":"` + id + `","reference":"order of ` + id + `",` + at + `}`
	case "POST /v1/disclosures":
		c.body = `{"member_id":"` + id + `","recipient":"it-vendor","purpose":"membership","items":["email"],` + at + `}`
	case "POST /v1/policies":
		day := fmt.Sprintf("%04d-01-01", 2031+persons.Add(1))
		c.body = strings.NewReplacer(`version: "2025-01-01"`, `version: "`+day+`"`, `announced: "2024-12-01"`, `announced: "2025-03-01"`).Replace(string(policies.Haim()))
	case "POST /v1/recipients":
		c.body = fmt.Sprintf(`{"policy":"haim","id":"new-%d","recipient":{"name":"A Company","business":"delivery","kind":"processor","country":"KR","purposes":["delivery"],"items":["name"],"from":"2025-06-01"},"announced":"2025-03-01","reason":"another company"}`, persons.Add(1))
	case "POST /v1/breaches/query": // of one who was looked at
		_, ref := s.person()
		if status, b := s.call(ledger.RoleReader, "GET", "/v1/members/"+ref, ""); status != 200 {
			s.t.Fatalf("%d %s", status, b)
		}
		c.body = `{"from":"2025-02-01T00:00:00Z","to":"2026-04-01T00:00:00Z","items":["email"],"members":["` + ref + `"]}`
	case "POST /v1/operators":
		c.body = operatorBody
	case "DELETE /v1/operators/:id":
		c.path = "/v1/operators/" + textOf(s.t, s.made(ledger.RoleAdmin, "/v1/operators", operatorBody), "id")
	case "POST /v1/operators/:id/handover":
		c.path = "/v1/operators/" + s.responsible() + "/handover"
		c.body = `{"to":"` + textOf(s.t, s.made(ledger.RoleAdmin, "/v1/operators", operatorBody), "id") + `","at":"2025-03-01T12:00:00Z"}`
	case "POST /v1/operators/:id/invitations":
		c.path = "/v1/operators/" + textOf(s.t, s.made(ledger.RoleAdmin, "/v1/operators", operatorBody), "id") + "/invitations"
	case "POST /v1/enrolments":
		operator, invitation := s.invited()
		c.body = `{"operator":"` + operator + `","invitation":"` + invitation + `"}`
	case "POST /v1/enrolments/confirm":
		operator, invitation := s.invited()
		c.body = confirmation(operator, invitation, s.secret(operator, invitation), time.Now())
	case "POST /v1/sessions":
		operator, recovery := s.enrolled(operatorBody)
		c.body = `{"operator":"` + operator + `","password":"` + passwordInTests + `","recovery_code":"` + recovery[0] + `"}`
	case "POST /v1/requests":
		c.body = strings.ReplaceAll(c.body, "2025-01-02", "2025-03-01")
	}
	c.body = strings.ReplaceAll(c.body, memberInTests, id)
	c.path = strings.NewReplacer(":ref", ref, ":index", "3", ":id", "cor_1").Replace(c.path)
	c.headers = append(c.headers, [2]string{"Host", "ledger.example"})
	if role := roleFor(route); role != "" {
		c.set("Authorization", "Bearer "+s.keys[role])
	}
	if rt.look {
		c.set("Access-Reason", "the member asked")
	}
	if rt.ground {
		c.set("Access-Ground", "contract")
	}
	if rt.media != "" {
		c.set("Content-Type", rt.media)
		c.set("Content-Length", itoa(len(c.body)))
	}
	return c
}

const operatorBody = `{"name":"Kim Min-ji","role":"dpo","responsible":false}`

// responsible is the operator who is responsible for customer information; if there is none, one is added.
func (s *shop) responsible() string {
	s.t.Helper()
	var all api.Operators
	if status, b := s.call(ledger.RoleAdmin, "GET", "/v1/operators", ""); status != 200 || json.Unmarshal(b, &all) != nil {
		s.t.Fatalf("%d %s", status, b)
	}
	for _, o := range all.Operators {
		if o.Responsible {
			return o.ID
		}
	}
	return textOf(s.t, s.made(ledger.RoleAdmin, "/v1/operators", bodies["/v1/operators"]), "id")
}

var twoHundreds = regexp.MustCompile(`^2\d\d$`)

// conflicts are the routes whose good call cannot be good in a test's ledger: the state that it needs is a year away.
var conflicts = map[string]string{
	"POST /v1/reactivations": "not_dormant",
}

func TestEveryRecordedCallIsAGoodOne(t *testing.T) {
	s := newShop(t)
	for _, rt := range s.server.routes() {
		c := s.good(rt)
		got := raws(t, strings.TrimPrefix(s.url, "http://"), string(c.raw()))
		if len(got) != 1 || !twoHundreds.MatchString(itoa(got[0].status)) && (conflicts[c.route] == "" || got[0].code != conflicts[c.route]) {
			t.Errorf("%s: %d answers: %d %s", c.route, len(got), got[0].status, got[0].body)
		}
	}
}

// unasked is the index of a destruction that no call about its member asked for: what a hold had put
// off is destroyed by its release. The member stays.
func (s *shop) unasked() uint64 {
	s.t.Helper()
	id, ref := s.person()
	hold := textOf(s.t, s.made(ledger.RoleDPO, "/v1/members/"+ref+"/holds", `{"classes":["shipping"],"ground":"a claim","until":"2030-01-02T03:04:05Z"}`), "hold")
	s.made(ledger.RoleWriter, "/v1/events", `{"type":"delivered","member_id":"`+id+`","reference":"order of `+id+`","occurred_at":"2025-03-01T12:00:00Z"}`)
	var released api.ReleaseAnswer
	if status, b := s.call(ledger.RoleDPO, "DELETE", "/v1/members/"+ref+"/holds/"+hold, ""); status != 200 || json.Unmarshal(b, &released) != nil {
		s.t.Fatalf("%d %s", status, b)
	}
	for _, e := range released.Entries {
		if e.Class == "destructions" {
			return e.Index
		}
	}
	s.t.Fatalf("the release destroyed nothing: %+v", released)
	return 0
}

// entryOf is the index of the newest entry of a person.
func (s *shop) entryOf(ref string) uint64 {
	s.t.Helper()
	r, err := ledger.ParseRef(ref)
	if err != nil {
		s.t.Fatal(err)
	}
	rows, _, err := s.ledger.History(s.t.Context(), ledger.Caller{KeyID: "key_setup", Role: ledger.RoleDPO, From: "127.0.0.1"}, r, ledger.Look{Reason: "test", What: "history"}, 0, 1)
	if err != nil {
		s.t.Fatal(err)
	}
	return rows[0].Index
}
