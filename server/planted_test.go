package server

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"consentledger/ledger"
	"consentledger/testdata/policies"
)

// plant is a value that stands nowhere but where this test puts it.
const plant = "plant7q"

// plants are values with it that are wrong in one way or another, or right.
var plants = []any{
	plant, plant + "\u202e", "\u0301" + plant, plant + ` "quoted" <b>`, strings.Repeat(plant, 400), plant + "\x00", plant + "/" + plant, "2025-01-01" + plant,
	[]any{plant},
	map[string]any{plant: plant},
}

// everywhere calls f with each body that has one value of b replaced, and with
// ones that have a field or an element too many.
func everywhere(b []byte, f func(changed string)) {
	var v any
	if json.Unmarshal(b, &v) != nil {
		panic("not JSON: " + string(b))
	}
	emit := func() {
		out, _ := json.Marshal(v)
		f(string(out))
	}
	var walk func(v any, set func(any))
	walk = func(v any, set func(any)) {
		switch v := v.(type) {
		case map[string]any:
			v[plant] = plant
			emit()
			delete(v, plant)
			for k, old := range v {
				walk(old, func(n any) { v[k] = n })
				upper := strings.ToUpper(k)
				v[upper] = plant
				emit()
				delete(v, upper)
			}
		case []any:
			set(append(v[:len(v):len(v)], plant))
			emit()
			set(v)
			for i, old := range v {
				walk(old, func(n any) { v[i] = n })
			}
		}
		for _, p := range plants {
			set(p)
			emit()
		}
		set(v)
	}
	walk(v, func(n any) { v = n })
	f(string(b) + plant)
	f(plant + string(b))
	f(strings.Replace(string(b), "{", `{"`+plant, 1))
}

// TestNoAnswerRepeatsWhatACallerSent plants values in every field of every
// call, in its path, its query and its headers, and searches what comes back,
// of a real ledger, in both languages.
func TestNoAnswerRepeatsWhatACallerSent(t *testing.T) {
	s := newShop(t)
	members := 0
	member := func() (id, ref string) {
		members++
		id = fmt.Sprint("kim-", members)
		var a struct{ Member string }
		_, b := s.call(ledger.RoleWriter, "POST", "/v1/consents", enrolment(id))
		if json.Unmarshal(b, &a) != nil || a.Member == "" {
			t.Fatalf("%s", b)
		}
		return id, a.Member
	}
	calls, refused, codes := 0, 0, map[string]bool{}
	check := func(role ledger.Role, method, path, body string, headers ...string) {
		t.Helper()
		headers = append([]string{"Accept-Language", []string{english, korean}[calls%2]}, headers...)
		calls++
		status, b := s.call(role, method, path, body, headers...)
		if status >= 500 {
			t.Fatalf("%s %s %s: %d %s", method, path, body, status, b)
		}
		if status < 400 && (path == "/v1/keys" || path == "/v1/operators" || path == "/v1/recipients" || path == "/v1/policies") {
			return // the registers show what stands in them
		}
		for _, m := range regexp.MustCompile(`"code":"([a-z_]+)"`).FindAllSubmatch(b, -1) {
			codes[string(m[1])] = true
		}
		if status >= 400 {
			refused++
		}
		if strings.Contains(strings.ToLower(string(b)), plant) {
			t.Errorf("%s %.100s, sent %.200s: the answer repeats it: %s", method, path, body, b)
		}
	}
	roleOf := map[string]ledger.Role{"d": ledger.RoleDPO, "m": ledger.RoleAdmin, "r": ledger.RoleReader}
	for _, rt := range s.server.routes() {
		role := ledger.RoleWriter
		if who := matrix[rt.method+" "+rt.label]; !strings.Contains(who, "w") && who != "everybody" {
			role = roleOf[who[len(who)-1:]]
		}
		media := []string{"Content-Type", rt.media}
		if rt.media == "" {
			media = nil
		}
		if rt.ground {
			media = append(media, "Access-Ground", "contract")
		}
		body := bodies[rt.label]
		if rt.label == "/v1/breaches/query" {
			body = `{"from":"2025-01-02T03:04:05Z","to":"2025-02-02T03:04:05Z","members":["` + ledger.Ref{1}.String() + `"],"items":["email"],"recipient":"parcel-co"}`
		}
		send := func(body string) {
			id, ref := "", ledger.Ref{1}.String()
			if strings.Contains(body, memberInTests) || strings.Contains(rt.label, ":") {
				id, ref = member()
			}
			path := strings.Replace(rt.label, ":ref", ref, 1)
			if of, found := strings.CutSuffix(path, "/:id/outcome"); found { // of a correction or a request that is open
				_, b := s.call(ledger.RoleDPO, "POST", of, strings.ReplaceAll(bodies[of], memberInTests, id))
				path = of + "/" + regexp.MustCompile(`(cor|rqt)_[a-z2-7]+`).FindString(string(b)) + "/outcome"
			}
			check(role, rt.method, path, strings.ReplaceAll(body, memberInTests, id), media...)
		}
		if rt.media == mediaJSON {
			everywhere([]byte(body), send)
		}
		path := pathOf(rt.label)
		check(role, rt.method, path+plant, body, media...)
		check(role, rt.method, path+"?"+plant+"="+plant, body, media...)
		check(role, rt.method, path+"?within="+plant+"&cursor="+plant+"&limit="+plant, body, media...)
		for _, q := range rt.query {
			check(role, rt.method, path+"?"+q+"="+plant, body, media...)
		}
		if strings.Contains(rt.label, ":") {
			check(role, rt.method, regexp.MustCompile(`:[a-z]+`).ReplaceAllString(rt.label, plant), body, media...)
		}
		check(role, plant, path, body, media...)
		for _, h := range []string{"Access-Reason", "Access-Ground", "Accept", "Content-Type", "Content-Encoding", "Idempotency-Key", "Authorization", "Accept-Language"} {
			check(role, rt.method, path, body, append(media, h, plant+"\u202e\t"+plant)...)
		}
	}
	for kind, label := range map[string]string{
		"consent": "/v1/consents", "withdrawal": "/v1/withdrawals", "correction": "/v1/corrections", "disclosure": "/v1/disclosures",
		"activity": "/v1/activity", "signal": "/v1/signals", "delivered": "/v1/events", plant: "/v1/activity",
	} {
		var lines strings.Builder
		everywhere([]byte(bodies[label]), func(changed string) {
			id, _ := member()
			if kind != "delivered" {
				changed = strings.Replace(changed, "{", `{"type":"`+kind+`",`, 1)
			}
			lines.WriteString(strings.ReplaceAll(changed, memberInTests, id) + "\n")
		})
		check(ledger.RoleWriter, "POST", "/v1/batch", lines.String(), "Content-Type", mediaNDJSON)
	}
	yaml := string(policies.Haim())
	for _, m := range regexp.MustCompile(`(?m)(: +|\[|, )([^\s\[\]{},]+)`).FindAllStringSubmatchIndex(yaml, -1) {
		check(ledger.RoleAdmin, "POST", "/v1/policies", yaml[:m[4]]+plant+yaml[m[5]:], "Content-Type", mediaYAML)
	}
	if calls < 1500 || refused < calls/2 || len(codes) < 55 {
		t.Fatalf("only %d calls were made, of which %d were refused, for %d reasons: the test sees little", calls, refused, len(codes))
	}
	// The control: an answer that holds what was sent is found to.
	if _, b := s.call(ledger.RoleAdmin, "POST", "/v1/keys", `{"role":"writer","name":"`+plant+`"}`); !strings.Contains(string(b), plant) {
		t.Fatalf("the name of a key is not in the answer: %s", b)
	}
}
