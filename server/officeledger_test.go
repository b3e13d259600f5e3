package server

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"consentledger/ledger"
	"consentledger/ledger/consent"
	"consentledger/server/api"
)

// refused makes a call that must be refused, by a rule unless its form is wrong.
func (s *shop) refused(status int, code string, role ledger.Role, method, path, body string) api.Problem {
	s.t.Helper()
	p := must[api.Problem](s, status, role, method, path, body)
	if p.Code != code || p.Rule == "" && status != 400 {
		s.t.Fatalf("%s %s: %+v; want %s", method, path, p, code)
	}
	return p
}

func TestTheOfficersWorkOverHTTP(t *testing.T) {
	s := newShop(t)
	w, r, d := ledger.RoleWriter, ledger.RoleReader, ledger.RoleDPO
	const at = `"occurred_at":"2025-03-01T12:00:00Z"`
	kim := must[api.ConsentAnswer](s, 201, w, "POST", "/v1/consents", enrolment("kim")).Member

	// A request has a deadline, shows in what is due, and suspends while it asks for that.
	asked := must[api.RequestAnswer](s, 201, d, "POST", "/v1/requests", `{"member_id":"kim","type":"suspension","channel":"phone","received_at":"2025-03-01T12:00:00Z"}`)
	if a := must[api.Decided](s, 200, r, "POST", "/v1/decisions", `{"member_id":"kim","purpose":"marketing"}`); a.Reason != "processing_suspended" {
		t.Fatalf("%+v", a)
	}
	due := must[api.DueList](s, 200, d, "GET", "/v1/due?within=2mo", "")
	if len(due.Due) != 1 || due.Due[0].ID != asked.Request || due.Due[0].Member != kim || !due.Due[0].At.Equal(asked.Due) || due.More {
		t.Fatalf("%+v, and the request is due at %v", due, asked.Due)
	}
	s.refused(404, "unknown_request", d, "POST", "/v1/requests/rqt_none/outcome", `{"outcome":"granted"}`)
	s.refused(422, "reason_required", d, "POST", "/v1/requests/"+asked.Request+"/outcome", `{"outcome":"refused"}`)
	must[api.Recorded](s, 201, d, "POST", "/v1/requests/"+asked.Request+"/outcome", `{"outcome":"refused","reason":"not the member"}`)
	s.refused(409, "request_finished", d, "POST", "/v1/requests/"+asked.Request+"/outcome", `{"outcome":"granted"}`)

	// Notices, with a member and without.
	const sent = `"channel":"email","sent_at":"2025-03-01T12:00:00Z"`
	told := must[api.NoticeAnswer](s, 201, d, "POST", "/v1/notices", `{"kind":"policy_change","member_id":"kim","outcome":"sent",`+sent+`}`)
	all := must[api.NoticeAnswer](s, 201, d, "POST", "/v1/notices", `{"kind":"policy_change","outcome":"sent",`+sent+`}`)
	if !strings.HasPrefix(told.Notice, "ntc_") || told.Notice == all.Notice || len(told.Entries) != 1 || len(all.Entries) != 1 {
		t.Fatalf("%+v %+v", told, all)
	}
	own := must[api.History](s, 200, d, "GET", "/v1/notices?limit=10", "")
	if len(own.Entries) != 1 || own.Entries[0].Index != all.Entries[0].Index || own.Next != "" {
		t.Fatalf("%+v", own)
	}
	s.refused(400, "invalid_parameter", d, "GET", "/v1/notices?limit=501", "")
	s.refused(422, "invalid_notice_kind", d, "POST", "/v1/notices", `{"kind":"greeting","outcome":"sent",`+sent+`}`)

	// Cookies, a browser's signal, a visit.
	must[api.ConsentAnswer](s, 201, w, "POST", "/v1/consents", `{"member_id":"kim","policy":"haim","policy_version":"2025-01-01",`+
		`"decisions":[{"purpose":"cookies_analytics","decision":"ask"}],"method":"button","locale":"en",`+at+`}`)
	if a := must[api.Decided](s, 200, r, "POST", "/v1/decisions", `{"member_id":"kim","purpose":"cookies_analytics"}`); a.Allowed || a.Reason != "ask_each_time" {
		t.Fatalf("%+v", a)
	}
	s.refused(422, "not_cookies", w, "POST", "/v1/consents", `{"member_id":"kim","policy":"haim","policy_version":"2025-01-01",`+
		`"decisions":[{"purpose":"marketing","decision":"ask"}],"method":"button","locale":"en",`+at+`}`)
	must[api.Recorded](s, 201, w, "POST", "/v1/signals", `{"member_id":"kim","signal":"gpc","value":true,`+at+`}`)
	must[api.Recorded](s, 201, w, "POST", "/v1/activity", `{"member_id":"kim",`+at+`}`)
	s.refused(409, "not_dormant", w, "POST", "/v1/reactivations", `{"member_id":"kim","method":"button"}`)
	view := must[consent.MemberView](s, 200, r, "GET", "/v1/members/"+kim, "")
	if len(view.Signals) != 1 || !view.Signals[0].Value || len(view.Requests) != 1 || view.Requests[0].Outcome != "refused" {
		t.Fatalf("%+v", view)
	}

	// A hold, and its release.
	held := must[api.HoldAnswer](s, 201, d, "POST", "/v1/members/"+kim+"/holds", `{"classes":["newsletter"],"ground":"claim 12","until":"2026-03-01T00:00:00Z"}`)
	gone := must[api.WithdrawalAnswer](s, 201, w, "POST", "/v1/withdrawals", `{"member_id":"kim","purposes":["marketing"]}`)
	if gone.Destroyed.Keys != 0 || len(gone.Kept) != 1 || gone.Kept[0].Class != "newsletter" {
		t.Fatalf("%+v", gone)
	}
	s.refused(404, "unknown_hold", d, "DELETE", "/v1/members/"+kim+"/holds/hld_none", "")
	if released := must[api.ReleaseAnswer](s, 200, d, "DELETE", "/v1/members/"+kim+"/holds/"+held.Hold, ""); released.Destroyed.Keys != 1 {
		t.Fatalf("%+v", released)
	}

	// Everything of the member, for people and for machines.
	status, b := s.call(r, "GET", "/v1/members/"+kim+"/export", "")
	var export consent.Export
	if err := json.Unmarshal(b, &export); err != nil || status != 200 || export.Member != kim || len(export.Requests) != 1 || len(export.Notices) != 1 {
		t.Fatalf("%d %v %s", status, err, b)
	}
	status, b = s.call(r, "GET", "/v1/members/"+kim+"/export", "", "Accept", "application/ld+json")
	var ld map[string]any
	if err := json.Unmarshal(b, &ld); err != nil || status != 200 || ld["@context"] == nil {
		t.Fatalf("%d %v", status, err)
	}

	// A leak: the looks above show that the member's data was seen.
	status, b = s.call(d, "POST", "/v1/breaches/query", `{"from":"2025-02-01T00:00:00Z","to":"2025-04-01T00:00:00Z","items":["email"]}`)
	var hit api.Affected
	if err := json.Unmarshal(b, &hit); err != nil || status != 200 || bytes.Count(b, []byte("\n")) != 1 || hit.Member != kim || len(hit.Entries) == 0 {
		t.Fatalf("%d %v %s", status, err, b)
	}

	// An order, and its end.
	must[api.ConsentAnswer](s, 201, w, "POST", "/v1/consents", `{"member_id":"kim","member_kind":"purchasing_member","policy":"haim","policy_version":"2025-01-01",`+
		`"decisions":[{"purpose":"order","decision":"granted"},{"purpose":"delivery","decision":"granted"}],"method":"button","locale":"ko","reference":"order-1",`+at+`}`)
	if e := must[api.EventAnswer](s, 201, w, "POST", "/v1/events", `{"type":"delivered","member_id":"kim","reference":"order-1",`+at+`}`); e.Destroyed.Keys != 1 || e.Kept == nil {
		t.Fatalf("%+v", e)
	}
	s.refused(409, "reference_unknown", w, "POST", "/v1/events", `{"type":"delivered","member_id":"kim","reference":"order-1",`+at+`}`)
	s.refused(422, "invalid_event_type", w, "POST", "/v1/events", `{"type":"lost","member_id":"kim","reference":"order-1",`+at+`}`)
	must[api.Recorded](s, 202, w, "POST", "/v1/events", `{"type":"event_ended","reference":"raffle-1",`+at+`}`)
	s.refused(409, "reference_ended", w, "POST", "/v1/events", `{"type":"event_ended","reference":"raffle-1",`+at+`}`)

	// What identifies nobody is of no member.
	anonymised := `{"recipient":"it-vendor","purpose":"membership","items":["email"],"basis":"statistics","form":"anonymised",` + at + `}`
	if a := must[api.DisclosureAnswer](s, 201, w, "POST", "/v1/disclosures", anonymised); len(a.Entries) != 1 {
		t.Fatalf("%+v", a)
	}
	if _, b := s.call(w, "POST", "/v1/batch", strings.Replace(anonymised, "{", `{"type":"disclosure",`, 1), "Content-Type", mediaNDJSON); !bytes.Contains(b, []byte(`"status":201`)) {
		t.Fatalf("%s", b)
	}

	// What the law keeps is apart once the member has left.
	kept := func(status int, ground string) []byte {
		t.Helper()
		got, b := s.call(d, "GET", "/v1/members/"+kim+"/kept", "", "Access-Ground", ground)
		if got != status {
			t.Fatalf("kept on the ground of %s: %d %s", ground, got, b)
		}
		return b
	}
	kept(409, "contract")
	must[api.WithdrawalAnswer](s, 201, w, "POST", "/v1/withdrawals", `{"member_id":"kim","scope":"membership"}`)
	if p := must[api.Problem](s, 409, r, "GET", "/v1/members/"+kim, ""); p.Code != "member_withdrawn" || p.Rule != "C3" {
		t.Fatalf("%+v", p)
	}
	var apart api.KeptApart
	if err := json.Unmarshal(kept(200, "contract"), &apart); err != nil || apart.State != "withdrawn" || apart.Class != "contract" || apart.Basis == "" || apart.Until == nil || len(apart.Entries) == 0 {
		t.Fatalf("%v %+v", err, apart)
	}
	for _, e := range apart.Entries {
		if e.Class != "contract" {
			t.Fatalf("an entry of class %s is shown on the ground of contract", e.Class)
		}
	}
	kept(404, "newsletter")
}

func TestRecipientsAndPoliciesShowTheirHistory(t *testing.T) {
	s := newShop(t)
	m := ledger.RoleAdmin
	change := func(from, announced string) string {
		return `{"policy":"haim","id":"parcel-co","recipient":{"ended":true,"from":"` + from + `"},"announced":"` + announced + `","reason":"the contract ends"}`
	}
	before := must[api.Recipients](s, 200, "", "GET", "/v1/recipients", "").Recipients
	if len(before) != 4 || before[1].ID != "parcel-co" || before[1].Until != nil {
		t.Fatalf("%+v", before)
	}
	s.refused(422, "notice_too_short", m, "POST", "/v1/recipients", change("2025-02-01", "2025-01-20"))
	made := must[api.RecipientAnswer](s, 201, m, "POST", "/v1/recipients", change("2025-06-01", "2025-03-01"))
	if len(made.Entries) != 1 || made.ID != "parcel-co" {
		t.Fatalf("%+v", made)
	}
	after := must[api.Recipients](s, 200, "", "GET", "/v1/recipients", "").Recipients
	if len(after) != 5 || after[1].Until == nil || !after[2].Ended || after[2].Reason != "the contract ends" {
		t.Fatalf("%+v", after)
	}

	for accept, media := range map[string]string{"": "application/json", "text/csv": "text/csv; charset=utf-8"} {
		r, _ := http.NewRequestWithContext(t.Context(), "GET", s.url+"/v1/processing-register", nil)
		r.Header.Set("Authorization", "Bearer "+s.keys[ledger.RoleAuditor])
		r.Header.Set("Accept", accept)
		res, err := s.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(res.Body)
		if err != nil || res.Body.Close() != nil || res.StatusCode != 200 || res.Header.Get("Content-Type") != media || !bytes.Contains(b, []byte("partner_offers")) {
			t.Fatalf("%q: %d %v %v", accept, res.StatusCode, err, res.Header)
		}
		if accept == "" {
			var all api.ProcessingRegister
			if err := json.Unmarshal(b, &all); err != nil || len(all.Processing) != 14 {
				t.Fatalf("%v: %d rows", err, len(all.Processing))
			}
		}
	}
	if status, b := s.call(ledger.RoleAuditor, "GET", "/v1/processing-register", "", "Accept", "text/html"); status != 406 {
		t.Fatalf("%d %s", status, b)
	}

	_, listed := s.call("", "GET", "/v1/policies", "")
	var first api.Policies
	if err := json.Unmarshal(listed, &first); err != nil || len(first.Policies[0].Changes) != 0 || !bytes.Contains(listed, []byte(`"reconsent_required":[]`)) {
		t.Fatalf("%v", err)
	}
	next := strings.NewReplacer(`version: "2025-01-01"`, `version: "2025-07-01"`, `announced: "2024-12-01"`, `announced: "2025-03-01"`,
		"reason: first version", "reason: a telephone number is needed", "optional: [name, telephone]", "optional: [name]").Replace(first.Policies[0].Source)
	if status, b := s.call(m, "POST", "/v1/policies", next, "Content-Type", mediaYAML); status != 201 {
		t.Fatalf("%d %s", status, b)
	}
	all := must[api.Policies](s, 200, "", "GET", "/v1/policies", "").Policies
	if got := all[1]; len(got.Reconsent) != 1 || got.Reconsent[0] != "marketing" || len(got.Changes) == 0 {
		t.Fatalf("%+v", got)
	}
}
