package server

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"consentledger/ledger"
	"consentledger/testdata/policies"
)

// scopeReach is how far a key for some policies gets with a call.
type scopeReach int

const (
	toNone   scopeReach = iota // the call is about the whole member, or about no policy
	toItsOwn                   // the call names a policy or a purpose, and it must be one of the key's
	toAll                      // the call tells of no policy, or what everybody may know
)

// scopes has a row for each route that needs a key.
var scopes = map[string]scopeReach{
	"POST /v1/consents":                  toItsOwn,
	"POST /v1/withdrawals":               toItsOwn,
	"POST /v1/corrections":               toNone,
	"POST /v1/corrections/:id/outcome":   toNone,
	"POST /v1/disclosures":               toItsOwn,
	"POST /v1/events":                    toNone,
	"POST /v1/activity":                  toAll,
	"POST /v1/reactivations":             toNone,
	"POST /v1/signals":                   toNone,
	"POST /v1/batch":                     toItsOwn, // line by line
	"POST /v1/decisions":                 toItsOwn,
	"POST /v1/lookups":                   toAll,
	"GET /v1/members/:ref":               toNone,
	"GET /v1/members/:ref/history":       toNone,
	"GET /v1/members/:ref/export":        toNone,
	"GET /v1/members/:ref/kept":          toNone,
	"POST /v1/members/:ref/holds":        toNone,
	"DELETE /v1/members/:ref/holds/:id":  toNone,
	"GET /v1/notices":                    toNone,
	"GET /v1/disclosures":                toNone,
	"POST /v1/notices":                   toNone,
	"POST /v1/requests":                  toNone,
	"POST /v1/requests/:id/outcome":      toNone,
	"GET /v1/due":                        toNone,
	"POST /v1/breaches/query":            toNone,
	"GET /v1/entries/:index":             toAll,
	"POST /v1/policies":                  toItsOwn,
	"POST /v1/recipients":                toItsOwn,
	"GET /v1/processing-register":        toAll,
	"GET /metrics":                       toAll,
	"GET /v1/keys":                       toNone,
	"POST /v1/keys":                      toNone,
	"DELETE /v1/keys/:id":                toNone,
	"POST /v1/witnesses":                 toNone,
	"DELETE /v1/witnesses/:id":           toNone,
	"GET /v1/operators":                  toNone,
	"POST /v1/operators":                 toNone,
	"POST /v1/operators/:id/handover":    toNone,
	"DELETE /v1/operators/:id":           toNone,
	"POST /v1/operators/:id/invitations": toNone,
	"DELETE /v1/sessions":                toAll,

	"GET /v1/members/:ref/entries/:index/receipt": toNone,
	"GET /v1/destructions":                        toNone,
	"GET /v1/destructions/:index/certificate":     toNone,
}

// scopedKey makes a key of a role for one policy.
func (s *shop) scopedKey(role ledger.Role, policy string) string {
	s.t.Helper()
	b := s.made(ledger.RoleAdmin, "/v1/keys", `{"role":"`+string(role)+`","name":"`+string(role)+` for `+policy+`","policies":["`+policy+`"]}`)
	return textOf(s.t, b, "key")
}

// Every call that is good with a key for all policies is made with one for the policy that it is about, and with
// one for another, in every role that may make it. A new route without a row fails.
func TestAKeyForSomePoliciesGetsNoFurther(t *testing.T) {
	s := newShop(t)
	if status, b := s.call(ledger.RoleAdmin, "POST", "/v1/policies", otherPolicy(), "Content-Type", mediaYAML); status != 201 {
		t.Fatalf("%d %s", status, b)
	}
	rows := 0
	for _, role := range roles[1:] {
		own, other := s.scopedKey(role, "haim"), s.scopedKey(role, "club")
		for _, rt := range s.server.routes() {
			route := rt.method + " " + rt.label
			if rt.public || !strings.Contains(matrix[route], letters[role]) {
				continue
			}
			far, ok := scopes[route]
			if !ok {
				t.Errorf("%s has no row in scopes: say how far a key for some policies gets with it", route)
				continue
			}
			rows++
			for _, try := range []struct {
				name, key string
				admitted  bool
			}{
				{"its own policy's", own, far != toNone},
				{"another policy's", other, far == toAll},
			} {
				c := s.good(rt)
				inFull(&c)
				c.set("Authorization", "Bearer "+try.key)
				before := s.ledger.Size()
				status, b := s.send(c)
				refused := strings.Contains(string(b), `"code":"policy_not_allowed"`)
				batch := rt.media == mediaNDJSON
				switch {
				case try.admitted && (refused || !twoHundreds.MatchString(itoa(status)) && conflicts[route] == ""):
					t.Errorf("%s, %s, with %s key: %d %s", route, role, try.name, status, b)
				case !try.admitted && (!refused || status != http.StatusForbidden && !batch):
					t.Errorf("%s, %s, with %s key: %d %s", route, role, try.name, status, b)
				case !try.admitted && s.ledger.Size() != before:
					t.Errorf("%s, %s, with %s key: it was refused and %d entries were recorded", route, role, try.name, s.ledger.Size()-before)
				}
			}
		}
	}
	if rows < len(scopes) {
		t.Errorf("%d rows were tried, and there are %d routes", rows, len(scopes))
	}
}

// otherPolicy has purposes of the same names as the shop's.
func otherPolicy() string {
	return strings.Replace(string(policies.Haim()), "policy: haim", "policy: club", 1)
}

// inFull names purposes in full: two policies have them.
func inFull(c *goodCall) {
	switch c.route {
	case "POST /v1/withdrawals", "POST /v1/batch":
		var of struct {
			Member string `json:"member_id"`
		}
		if err := json.Unmarshal([]byte(c.body), &of); err != nil {
			panic(err)
		}
		c.body = `"member_id":"` + of.Member + `","purposes":["haim/membership"]}`
		if c.route == "POST /v1/batch" {
			c.body = `"type":"withdrawal",` + c.body
		}
		c.body = "{" + c.body
	case "POST /v1/disclosures", "POST /v1/decisions":
		c.body = strings.Replace(c.body, `"purpose":"`, `"purpose":"haim/`, 1)
	}
	if c.body != "" {
		c.set("Content-Length", itoa(len(c.body)))
	}
}

func (s *shop) send(c goodCall) (int, []byte) {
	s.t.Helper()
	got := raws(s.t.(*testing.T), strings.TrimPrefix(s.url, "http://"), string(c.raw()))
	if len(got) != 1 {
		s.t.Fatalf("%s: %d answers", c.route, len(got))
	}
	return got[0].status, []byte(got[0].body)
}

// A name that two policies have speaks of both, so a key for one of them must say which it means.
func TestAKeyForSomePoliciesNamesAPurposeThatOthersHaveInFull(t *testing.T) {
	s := newShop(t)
	if status, b := s.call(ledger.RoleAdmin, "POST", "/v1/policies", otherPolicy(), "Content-Type", mediaYAML); status != 201 {
		t.Fatalf("%d %s", status, b)
	}
	id, _ := s.person()
	s.keys["haim"] = s.scopedKey(ledger.RoleWriter, "haim")
	for purpose, want := range map[string]int{"haim/marketing": 200, "marketing": 403, "club/marketing": 403, "/marketing": 403} {
		status, b := s.call("haim", "POST", "/v1/decisions", `{"member_id":"`+id+`","purpose":"`+purpose+`"}`)
		if status != want {
			t.Errorf("%s: %d %s", purpose, status, b)
		}
	}
}

// Lines of a batch are each held against the key's policies, and those that are refused do not hold up the others.
func TestABatchOfAKeyForSomePoliciesRecordsOnlyTheirLines(t *testing.T) {
	s := newShop(t)
	if status, b := s.call(ledger.RoleAdmin, "POST", "/v1/policies", otherPolicy(), "Content-Type", mediaYAML); status != 201 {
		t.Fatalf("%d %s", status, b)
	}
	s.keys["club"] = s.scopedKey(ledger.RoleWriter, "club")
	in := func(policy, member string) string {
		body := strings.Replace(enrolment(member), `"policy":"haim"`, `"policy":"`+policy+`"`, 1)
		return strings.Replace(body, "{", `{"type":"consent",`, 1) + "\n"
	}
	lines := in("club", "a") + in("haim", "b") + in("club", "c") +
		`{"type":"withdrawal","member_id":"a","scope":"membership"}` + "\n" +
		`{"type":"correction","member_id":"a","changes":[{"item":"email","new":"x@example.com"}]}` + "\n"
	status, b := s.call("club", "POST", "/v1/batch", lines, "Content-Type", mediaNDJSON)
	if status != 200 {
		t.Fatalf("%d %s", status, b)
	}
	var got []int
	for raw := range strings.Lines(string(b)) {
		var l batchLine
		if err := json.Unmarshal([]byte(raw), &l); err != nil {
			t.Fatal(err)
		}
		got = append(got, l.Status)
		if l.Status == 403 && l.Code != "policy_not_allowed" {
			t.Errorf("%s", raw)
		}
	}
	want := []int{201, 403, 201, 403, 403}
	if len(got) != len(want) {
		t.Fatalf("%v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("line %d: %d, want %d", i+1, got[i], want[i])
		}
	}
}
