package server

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"consentledger/ledger"
)

// This file tries every route with what is not its caller's: names of people who
// are somebody else, gone, or nobody, and ids of things that are another's
// (OWASP API1:2023). A key speaks for the shop, so it may name every member of
// the shop; but no call may mix two, and who is gone is gone everywhere.

// reach says what in a route's call names somebody or something.
type reach struct {
	ref    bool   // its path has a member's ref
	member bool   // its body has a member_id, or may have one
	id     string // the kind of thing whose id its path has
	body   string // the field of its body that holds an id or ref of somebody or something else
	none   string // why there is nothing of anybody's to name
}

const (
	ofNobody  = "nobody's data is named"
	register  = "a register of the shop, of no member"
	gettingIn = "it names an operator, and tells nobody who is there"
)

// reaches has a row for every route. A route without one fails TestEveryRouteSaysWhomItReaches.
var reaches = map[string]reach{
	"POST /v1/consents":                  {member: true},
	"POST /v1/withdrawals":               {member: true},
	"POST /v1/corrections":               {member: true},
	"POST /v1/corrections/:id/outcome":   {member: true, id: "correction"},
	"POST /v1/disclosures":               {member: true},
	"POST /v1/events":                    {member: true, body: "reference"},
	"POST /v1/activity":                  {member: true},
	"POST /v1/reactivations":             {member: true},
	"POST /v1/signals":                   {member: true},
	"POST /v1/batch":                     {member: true},
	"POST /v1/decisions":                 {member: true},
	"POST /v1/lookups":                   {member: true},
	"GET /v1/members/:ref":               {ref: true},
	"GET /v1/members/:ref/history":       {ref: true},
	"GET /v1/members/:ref/export":        {ref: true},
	"GET /v1/members/:ref/kept":          {ref: true},
	"POST /v1/members/:ref/holds":        {ref: true},
	"DELETE /v1/members/:ref/holds/:id":  {ref: true, id: "hold"},
	"GET /v1/notices":                    {none: "only notices to everybody are shown"},
	"GET /v1/disclosures":                {none: "only disclosures that identify nobody are shown"},
	"POST /v1/notices":                   {member: true, body: "correction"},
	"POST /v1/requests":                  {member: true},
	"POST /v1/requests/:id/outcome":      {id: "request"},
	"GET /v1/due":                        {none: "everybody is shown, and each look is recorded"},
	"POST /v1/breaches/query":            {body: "members"},
	"GET /v1/entries/:index":             {none: "an entry is opaque"},
	"GET /v1/destructions/:index":        {none: "it says that keys died, and never whose"},
	"GET /v1/policies":                   {none: register},
	"POST /v1/policies":                  {none: register},
	"GET /v1/recipients":                 {none: register},
	"POST /v1/recipients":                {none: register},
	"GET /v1/processing-register":        {none: register},
	"GET /v1/keys":                       {none: register},
	"POST /v1/keys":                      {none: register},
	"DELETE /v1/keys/:id":                {id: "key"},
	"GET /v1/witnesses":                  {none: register},
	"POST /v1/witnesses":                 {none: register},
	"DELETE /v1/witnesses/:id":           {id: "witness"},
	"GET /v1/operators":                  {none: register},
	"POST /v1/operators":                 {none: register},
	"POST /v1/operators/:id/handover":    {id: "operator", body: "to"},
	"DELETE /v1/operators/:id":           {id: "operator"},
	"POST /v1/operators/:id/invitations": {id: "operator"},
	"POST /v1/enrolments":                {none: gettingIn},
	"POST /v1/enrolments/confirm":        {none: gettingIn},
	"POST /v1/sessions":                  {none: gettingIn},
	"DELETE /v1/sessions":                {none: "it ends the session that asks, and no other"},
	"GET /checkpoint":                    {none: ofNobody},
	"GET /tile/*path":                    {none: "hashes, and entries that are opaque"},
	"GET /metrics":                       {none: "only counts are shown, with labels of ours"},
	"GET /openapi.yaml":                  {none: ofNobody},
	"GET /livez":                         {none: ofNobody},
	"GET /readyz":                        {none: ofNobody},

	"GET /v1/members/:ref/entries/:index/receipt": {ref: true},
	"GET /v1/destructions":                        {none: "it says which certificates wait, and never for whom"},
	"GET /v1/destructions/:index/certificate":     {none: "whoever fetches one may fetch all: the officer is everybody's"},
}

func TestEveryRouteSaysWhomItReaches(t *testing.T) {
	s := newDouble(t, &double{})
	seen := map[string]bool{}
	for _, rt := range s.routes() {
		name := rt.method + " " + rt.label
		seen[name] = true
		r, there := reaches[name]
		switch {
		case !there:
			t.Errorf("%s has no row: say whom its call can name", name)
		case r.none == "" && !r.ref && !r.member && r.id == "" && r.body == "":
			t.Errorf("%s: the row says nothing", name)
		case strings.Contains(rt.label, ":ref") != r.ref || strings.Contains(rt.label, ":id") != (r.id != ""):
			t.Errorf("%s: the row does not fit the path", name)
		case strings.Contains(bodies[rt.label], `"member_id"`) && rt.media != "" && !r.member:
			t.Errorf("%s: its body names a member, and the row does not say so", name)
		}
	}
	for name := range reaches {
		if !seen[name] {
			t.Errorf("there is a row for %s, which is no route", name)
		}
	}
}

// answerTo makes a call and gives its status, its code, and its body without what differs from answer to answer.
func (s *shop) answerTo(c goodCall) (status int, code, body string) {
	s.t.Helper()
	c.set("Content-Length", itoa(len(c.body)))
	if c.body == "" {
		c.headers = slices.DeleteFunc(c.headers, func(h [2]string) bool { return h[0] == "Content-Length" })
	}
	got := raws(s.t, strings.TrimPrefix(s.url, "http://"), string(c.raw()))
	if len(got) != 1 {
		s.t.Fatalf("%s: %d answers", c.route, len(got))
	}
	body = regexp.MustCompile(`req_[a-z2-7]+`).ReplaceAllString(string(got[0].body), "req")
	return got[0].status, got[0].code, body
}

// gone withdraws a member of whom nothing is kept.
func (s *shop) gone() (id, ref string) {
	s.t.Helper()
	id = fmt.Sprintf("gone-%d@example.org", persons.Add(1))
	ref = textOf(s.t, s.made(ledger.RoleWriter, "/v1/consents", enrolment(id)), "member")
	s.made(ledger.RoleWriter, "/v1/withdrawals", `{"member_id":"`+id+`","scope":"membership"}`)
	return id, ref
}

func TestARefThatIsNobodysOrGoneIsTheSameEverywhere(t *testing.T) {
	s, other := newShop(t), newShop(t)
	_, living := s.person()
	_, destroyed := s.gone()
	_, elsewhere := other.person()
	operator := textOf(t, s.made(ledger.RoleAdmin, "/v1/operators", operatorBody), "id")
	flipped := []byte(living)
	if flipped[10]++; flipped[10] > 'z' || flipped[10] == '8' {
		flipped[10] = 'a'
	}
	nobody := map[string]string{
		"of a destroyed member": destroyed, "of another ledger": elsewhere, "that is made up": ledger.Ref{7, 7, 7}.String(), "of zeros": ledger.Ref{}.String(),
		"of an operator": operator, "of an operator as a member's": "mbr_" + strings.TrimPrefix(operator, "opr_"), "with a letter changed": string(flipped),
		"in upper case": strings.ToUpper(living), "without its prefix": strings.TrimPrefix(living, "mbr_"), "of a member as an operator's": "opr_" + strings.TrimPrefix(living, "mbr_"),
		"that is cut": living[:len(living)-1], "that is longer": living + "a", "that is an id": "person@example.org", "that is a number": "1", "that is null": "null", "that is a dot": ".",
	}
	tried := 0
	for _, rt := range s.server.routes() {
		if !reaches[rt.method+" "+rt.label].ref {
			continue
		}
		good := s.good(rt)
		if status, _, b := s.answerTo(good); status/100 != 2 { // the control
			t.Fatalf("%s: %d %s", good.route, status, b)
		}
		want := ""
		for name, ref := range nobody {
			c := s.good(rt)
			c.path = regexp.MustCompile(`/members/[^/]+`).ReplaceAllLiteralString(c.path, "/members/"+ref)
			size := s.ledger.Size()
			status, code, body := s.answerTo(c)
			if status != 404 || code != "unknown_member" {
				t.Errorf("%s with a ref %s: %d %s", c.route, name, status, body)
			}
			if want == "" {
				want = body
			}
			if body != want {
				t.Errorf("%s: the answer to a ref %s can be told from the others:\n%s\n%s", c.route, name, body, want)
			}
			if s.ledger.Size() != size {
				t.Errorf("%s with a ref %s recorded something", c.route, name)
			}
			tried++
		}
	}
	if tried < 6*len(nobody) {
		t.Fatalf("only %d were tried", tried)
	}
}

// TestWhoHasLeftIsShownByNoOrdinaryRoute: of a member who has withdrawn, and of
// whom the law keeps something, only the officer's route on the ground that keeps it shows anything.
func TestWhoHasLeftIsShownByNoOrdinaryRoute(t *testing.T) {
	s := newShop(t)
	for _, rt := range s.server.routes() {
		route := rt.method + " " + rt.label
		if !reaches[route].ref {
			continue
		}
		id, ref := s.person()
		s.made(ledger.RoleWriter, "/v1/withdrawals", `{"member_id":"`+id+`","scope":"membership"}`)
		c := s.good(rt)
		c.path = regexp.MustCompile(`/members/[^/]+`).ReplaceAllLiteralString(c.path, "/members/"+ref)
		status, _, body := s.answerTo(c)
		allowed := route == "GET /v1/members/:ref/kept" || route == "POST /v1/members/:ref/holds" // a hold keeps longer, and shows nothing
		if allowed != (status/100 == 2) {
			t.Errorf("%s: %d %s", route, status, body)
		}
	}
}

// TestWhoIsNotOnRecordIsUnknownToEveryCall: never there, and destroyed, cannot be told from each other.
func TestWhoIsNotOnRecordIsUnknownToEveryCall(t *testing.T) {
	s := newShop(t)
	gone, _ := s.gone()
	never := "never-there@example.org"
	answers := map[string]string{ // what is not 404 unknown_member, and why it is nothing of anybody's
		"POST /v1/consents":  "201",            // enrols: the good call says so
		"POST /v1/decisions": "200",            // unknown_member, and not allowed
		"POST /v1/batch":     "200",            // a line says 404
		"POST /v1/events":    "unknown_member", // the control that the others are held to
	}
	for _, rt := range s.server.routes() {
		route := rt.method + " " + rt.label
		if !reaches[route].member || route == "POST /v1/consents" {
			continue
		}
		var told []string
		for _, id := range []string{never, gone} {
			c := s.good(rt)
			c.body = regexp.MustCompile(`"member_id":"[^"]*"`).ReplaceAllLiteralString(c.body, `"member_id":"`+id+`"`)
			size := s.ledger.Size()
			status, code, body := s.answerTo(c)
			switch answers[route] {
			case "200":
				if status != 200 || !strings.Contains(body, "unknown_member") {
					t.Errorf("%s: %d %s", route, status, body)
				}
			default:
				if status != 404 || code != "unknown_member" {
					t.Errorf("%s: %d %s", route, status, body)
				}
			}
			if s.ledger.Size() != size {
				t.Errorf("%s recorded something of %s", route, map[bool]string{true: "nobody", false: "somebody gone"}[id == never])
			}
			told = append(told, body)
		}
		if told[0] != told[1] {
			t.Errorf("%s: who is gone can be told from who never was:\n%s\n%s", route, told[0], told[1])
		}
	}
	c := s.good(route{method: "POST", label: "/v1/consents", media: mediaJSON})
	c.body = strings.Replace(strings.ReplaceAll(c.body, textOf(t, []byte(c.body), "member_id"), gone), `"enrol":true,`, "", 1)
	if status, code, b := s.answerTo(c); status != 404 || code != "unknown_member" {
		t.Errorf("a consent that does not enrol: %d %s", status, b)
	}
}

// TestAThingOfOneMemberIsNotReachedThroughAnother goes through every id that a call can name.
func TestAThingOfOneMemberIsNotReachedThroughAnother(t *testing.T) {
	s := newShop(t)
	w, d, m := ledger.RoleWriter, ledger.RoleDPO, ledger.RoleAdmin
	kim, kimRef := s.person()
	lee, leeRef := s.person()
	about := func(label, id string) string { return strings.ReplaceAll(bodies[label], memberInTests, id) }
	correction := textOf(t, s.made(w, "/v1/corrections", about("/v1/corrections", kim)), "correction")
	hold := textOf(t, s.made(d, "/v1/members/"+kimRef+"/holds", bodies["/v1/members/:ref/holds"]), "hold")
	request := textOf(t, s.made(d, "/v1/requests", strings.ReplaceAll(about("/v1/requests", kim), "2025-01-02", "2025-03-01")), "request")
	operator := textOf(t, s.made(m, "/v1/operators", operatorBody), "id")
	key := textOf(t, s.made(m, "/v1/keys", bodies["/v1/keys"]), "id")
	witness := textOf(t, s.made(m, "/v1/witnesses", bodies["/v1/witnesses"]), "id")
	const at = `"occurred_at":"2025-03-01T12:00:00Z"`
	order := func(id, of string) string {
		return `{"type":"delivered","member_id":"` + id + `","reference":"order of ` + of + `",` + at + `}`
	}
	told := func(id string) string {
		return `{"kind":"correction","member_id":"` + id + `","recipient":"it-vendor","correction":"` + correction + `","channel":"email","sent_at":"2025-03-01T12:00:00Z","outcome":"sent"}`
	}
	for _, c := range []struct {
		what               string
		role               ledger.Role
		method, path, body string
		status             int
		code               string
	}{
		{"correction", w, "POST", "/v1/corrections/" + correction + "/outcome", about("/v1/corrections/:id/outcome", lee), 404, "unknown_correction"},
		{"correction", w, "POST", "/v1/corrections/" + request + "/outcome", about("/v1/corrections/:id/outcome", kim), 404, "unknown_correction"},
		{"correction in a notice", d, "POST", "/v1/notices", told(lee), 404, "unknown_correction"},
		{"hold", d, "DELETE", "/v1/members/" + leeRef + "/holds/" + hold, "", 404, "unknown_hold"},
		{"hold", d, "DELETE", "/v1/members/" + kimRef + "/holds/" + correction, "", 404, "unknown_hold"},
		{"reference", w, "POST", "/v1/events", order(lee, kim), 409, "reference_unknown"},
		{"request", d, "POST", "/v1/requests/" + correction + "/outcome", bodies["/v1/requests/:id/outcome"], 404, "unknown_request"},
		{"request", d, "POST", "/v1/requests/" + kimRef + "/outcome", bodies["/v1/requests/:id/outcome"], 404, "unknown_request"},
		{"key", m, "DELETE", "/v1/keys/" + operator, "", 404, "unknown_key"},
		{"witness", m, "DELETE", "/v1/witnesses/" + key, "", 404, "unknown_witness"},
		{"operator", m, "DELETE", "/v1/operators/" + key, "", 404, "unknown_operator"},
		{"operator", m, "DELETE", "/v1/operators/" + kimRef, "", 404, "unknown_operator"},
		{"operator", m, "DELETE", "/v1/operators/opr_" + strings.TrimPrefix(kimRef, "mbr_"), "", 404, "unknown_operator"},
		{"operator in a handover", m, "POST", "/v1/operators/" + s.responsible() + "/handover", `{"to":"opr_` + strings.TrimPrefix(kimRef, "mbr_") + `",` + `"at":"2025-03-01T12:00:00Z"}`, 422, "unknown_operator_to"},
	} {
		size := s.ledger.Size()
		status, b := s.call(c.role, c.method, c.path, c.body)
		var p struct{ Code string }
		if json.Unmarshal(b, &p); status != c.status || p.Code != c.code {
			t.Errorf("%s of another, %s %s: %d %s; want %d %s", c.what, c.method, strings.NewReplacer(kimRef, "KIM", leeRef, "LEE").Replace(c.path), status, b, c.status, c.code)
		}
		if s.ledger.Size() != size {
			t.Errorf("%s of another: something was recorded", c.what)
		}
	}
	// A breach query about one shows one.
	if status, _ := s.call(d, "GET", "/v1/members/"+kimRef, ""); status != 200 {
		t.Fatal(status)
	}
	if status, b := s.call(d, "POST", "/v1/breaches/query", `{"from":"2025-02-01T00:00:00Z","to":"2026-04-01T00:00:00Z","members":["`+leeRef+`"]}`); status != 200 || strings.Contains(string(b), kimRef) {
		t.Errorf("%d %s", status, b)
	}
	// The controls: each through its own member.
	for what, c := range map[string]struct {
		role               ledger.Role
		method, path, body string
	}{
		"correction": {w, "POST", "/v1/corrections/" + correction + "/outcome", about("/v1/corrections/:id/outcome", kim)},
		"hold":       {d, "DELETE", "/v1/members/" + kimRef + "/holds/" + hold, ""},
		"reference":  {w, "POST", "/v1/events", order(kim, kim)},
		"request":    {d, "POST", "/v1/requests/" + request + "/outcome", bodies["/v1/requests/:id/outcome"]},
		"key":        {m, "DELETE", "/v1/keys/" + key, ""},
		"witness":    {m, "DELETE", "/v1/witnesses/" + witness, ""},
		"operator":   {m, "DELETE", "/v1/operators/" + operator, ""},
		"breach":     {d, "POST", "/v1/breaches/query", `{"from":"2025-02-01T00:00:00Z","to":"2026-04-01T00:00:00Z","members":["` + kimRef + `"]}`},
	} {
		status, b := s.call(c.role, c.method, c.path, c.body)
		if status/100 != 2 || what == "breach" && !strings.Contains(string(b), kimRef) {
			t.Errorf("%s: %d %s", what, status, b)
		}
	}
}

// TestAKeyThatIsNoneOpensNoRoute goes through what is no key, or no more, on every route that is not public.
func TestAKeyThatIsNoneOpensNoRoute(t *testing.T) {
	s := newShop(t)
	made := s.made(ledger.RoleAdmin, "/v1/keys", `{"role":"dpo","name":"till"}`)
	revoked := textOf(t, made, "key")
	if status, b := s.call(ledger.RoleAdmin, "DELETE", "/v1/keys/"+textOf(t, made, "id"), ""); status != 200 {
		t.Fatalf("%d %s", status, b)
	}
	live := s.keys[ledger.RoleDPO]
	id, secret, _ := strings.Cut(strings.TrimPrefix(live, "cl_live_"), "_")
	adminID, _, _ := strings.Cut(strings.TrimPrefix(s.keys[ledger.RoleAdmin], "cl_live_"), "_")
	last := secret[len(secret)-1]
	other := byte('a')
	if last == other {
		other = 'b'
	}
	tokens := map[string]string{
		"none": "", "a revoked one": revoked, "one of another ledger": newShop(t).keys[ledger.RoleDPO], "the id of one with the secret of another": "cl_live_" + adminID + "_" + secret,
		"one with its last letter changed": live[:len(live)-1] + string(other), "one that is cut": live[:len(live)-4], "one that is longer": live + "a", "one in upper case": strings.ToUpper(live),
		"one without its prefix": id + "_" + secret, "an id alone": "cl_live_" + id, "an id and nothing": "cl_live_" + id + "_", "a role": "dpo", "null": "null", "a JWT": "eyJhbGciOiJub25lIn0.eyJyb2xlIjoiYWRtaW4ifQ.",
		"the control socket's": "local",
	}
	for _, rt := range s.server.routes() {
		route := rt.method + " " + rt.label
		if rt.public {
			continue
		}
		for name, token := range tokens {
			c := goodCall{route: route, method: rt.method, path: pathOf(rt.label), headers: [][2]string{{"Host", "x"}}, body: ""}
			if token != "" {
				c.set("Authorization", "Bearer "+token)
			}
			if status, code, b := s.answerTo(c); status != 401 || code != "unauthorized" {
				t.Errorf("%s with %s: %d %s", route, name, status, b)
			}
		}
	}
	if status, _ := s.call(ledger.RoleDPO, "GET", "/v1/due", ""); status != 200 { // the control
		t.Fatal(status)
	}
}
