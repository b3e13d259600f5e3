package consent_test

import (
	"crypto/sha256"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"consentledger/ledger/consent"
	"consentledger/testdata/policies"
)

const (
	dpv = "https://w3id.org/dpv#"
	dct = "http://purl.org/dc/terms/"
	sdo = "https://schema.org/"
)

// A triples is a graph: objects by subject and predicate.
type triples map[string]map[string][]string

var quad = regexp.MustCompile(`^<([^>]*)> <([^>]*)> (.*) \.$`)

func graphOf(t fataler, x *consent.Export) triples {
	t.Helper()
	g := triples{}
	for line := range read(t, x) {
		m := quad.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("not a statement: %s", line)
		}
		if g[m[1]] == nil {
			g[m[1]] = map[string][]string{}
		}
		g[m[1]][m[2]] = append(g[m[1]][m[2]], strings.Trim(m[3], "<>"))
	}
	return g
}

// follow returns what is at the end of a path of properties.
func (g triples) follow(from string, path ...string) []string {
	at := []string{from}
	for _, p := range path {
		var next []string
		for _, s := range at {
			next = append(next, g[s][p]...)
		}
		at = next
	}
	slices.Sort(at)
	return slices.Compact(at)
}

func (g triples) isA(subject, class string) bool {
	return slices.Contains(g[subject]["http://www.w3.org/1999/02/22-rdf-syntax-ns#type"], class)
}

// all returns the subjects of a class.
func (g triples) all(class string) []string {
	var list []string
	for s := range g {
		if g.isA(s, class) {
			list = append(list, s)
		}
	}
	slices.Sort(list)
	return list
}

func TestEachConsentRecordHasTheFieldsOfTheStandard(t *testing.T) {
	for name, x := range stories(t) {
		g := graphOf(t, x)
		records := g.all(dpv + "ConsentRecord")
		asked := 0
		for _, c := range x.Consents {
			asked += len(c.Decisions)
		}
		if len(records) == 0 && asked > 0 {
			t.Errorf("%s: no record", name)
		}
		for _, r := range records {
			for field, path := range map[string][]string{
				"schema_version":                   {dct + "conformsTo"},
				"record_id":                        {dct + "identifier"},
				"record_id, as the guide also has": {dpv + "hasIdentifier"},
				"pii_principal_id":                 {dpv + "hasDataSubject", dct + "identifier"},
				"privacy_notice":                   {dpv + "hasNotice"},
				"language":                         {dct + "language"},
				"purpose":                          {dpv + "hasProcess", dpv + "hasPurpose", dct + "title"},
				"lawful_basis":                     {dpv + "hasProcess", dpv + "hasLegalBasis"},
				"pii_information":                  {dpv + "hasProcess", dpv + "hasPersonalData", dct + "identifier"},
				"pii_type":                         {dpv + "hasProcess", dpv + "hasPersonalData", "http://www.w3.org/2004/02/skos/core#broader"},
				"pii_optional":                     {dpv + "hasProcess", dpv + "hasPersonalData", dpv + "hasNecessity"},
				"pii_controllers":                  {dpv + "hasDataController", dpv + "hasName"},
				"storage_locations and retention":  {dpv + "hasProcess", dpv + "hasStorageCondition"},
				"retention_period":                 {dpv + "hasProcess", dpv + "hasStorageCondition", dpv + "hasDuration", "http://www.w3.org/1999/02/22-rdf-syntax-ns#value"},
				"jurisdiction":                     {dpv + "hasJurisdiction"},
				"recipient_third_parties":          {dpv + "hasProcess", dpv + "hasRecipient", dpv + "hasName"},
				"withdrawal_method":                {dpv + "hasConsentControl", dpv + "isExercisedAt"},
				"privacy_rights":                   {dpv + "hasRight", dpv + "isExercisedAt"},
				"party_id":                         {dpv + "hasDataController", dpv + "hasIdentifier"},
				"party_contact":                    {dpv + "hasDataController", sdo + "contactPoint", sdo + "email"},
				"party_contact of recipients":      {dpv + "hasProcess", dpv + "hasRecipient", sdo + "contactPoint", sdo + "email"},
				"event_state":                      {dpv + "hasConsentStatus"},
			} {
				if len(g.follow(r, path...)) == 0 {
					t.Errorf("%s: %s has no %s", name, r, field)
				}
			}
			for _, ev := range g.follow(r, dpv+"hasConsentStatus") {
				for field, path := range map[string][]string{
					"entity_id": {dpv + "isIndicatedBy"}, "validity_duration": {dpv + "hasDuration", "http://www.w3.org/1999/02/22-rdf-syntax-ns#value"},
				} {
					if len(g.follow(ev, path...)) == 0 {
						t.Errorf("%s: %s has no %s", name, ev, field)
					}
				}
				if len(g.follow(ev, dpv+"isIndicatedAtTime")) == 0 && !strings.HasSuffix(ev, "#ended") {
					t.Errorf("%s: %s has no event_time", name, ev)
				}
			}
			if !slices.ContainsFunc(g.follow(r, dpv+"hasNotice"), func(n string) bool { return g.isA(n, dpv+"ConsentNotice") }) {
				t.Errorf("%s: %s names no notice that consent was asked with", name, r)
			}
			if !slices.ContainsFunc(g.follow(r, dpv+"hasProcess", dpv+"hasStorageCondition"), func(n string) bool { return g.isA(n, dpv+"StorageLocation") }) {
				t.Errorf("%s: %s says nothing of where data is stored", name, r)
			}
		}
	}
}

// states returns the events of the records on a purpose, in order of records:
// "ConsentGiven, ConsentWithdrawn email".
func states(t fataler, x *consent.Export, purpose string) []string {
	t.Helper()
	g := graphOf(t, x)
	type record struct{ created, states string }
	var list []record
	for _, r := range g.all(dpv + "ConsentRecord") {
		if !slices.Contains(g.follow(r, dpv+"hasProcess", dpv+"hasPurpose", dct+"identifier"), `"`+purpose+`"`) {
			continue
		}
		var events []string
		for _, ev := range g.follow(r, dpv+"hasConsentStatus") {
			var text []string
			for _, class := range g[ev]["http://www.w3.org/1999/02/22-rdf-syntax-ns#type"] {
				if state := strings.TrimPrefix(class, dpv); !strings.HasSuffix(state, "ExpressedConsent") {
					text = append(text, state)
				}
			}
			for _, it := range g.follow(ev, dpv+"hasPersonalData", dct+"identifier") {
				text = append(text, strings.Trim(it, `"`))
			}
			when := "9" // without a time: last
			if at := g.follow(ev, dpv+"isIndicatedAtTime"); len(at) > 0 {
				when = at[0]
			}
			events = append(events, when+"|"+strings.Join(text, " "))
		}
		slices.Sort(events)
		for i := range events {
			_, events[i], _ = strings.Cut(events[i], "|")
		}
		list = append(list, record{g[r][dct+"created"][0], strings.Join(events, ", ")})
	}
	slices.SortFunc(list, func(a, b record) int { return strings.Compare(a.created, b.created) })
	var out []string
	for _, r := range list {
		out = append(out, r.states)
	}
	return out
}

func wantStates(t *testing.T, x *consent.Export, purpose string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, states(t, x, purpose)); diff != "" {
		t.Errorf("the records on %s (-want +got):\n%s", purpose, diff)
	}
}

func later(hours int, c *consent.Consent) *consent.Consent {
	c.OccurredAt = noon.Add(time.Duration(hours)*time.Hour - time.Second)
	return c
}

func TestARecordTellsWhatBecameOfAConsent(t *testing.T) {
	hour := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Hour) }
	b := newBook(t, haim(t))
	say := func(n int, d consent.Decision) {
		t.Helper()
		ok(t)(b.consent(later(n, haimConsent("member", d)), hour(n)))
	}
	say(0, grant("personalisation", "user_id", "birth_date"))
	wantStates(t, b.export(hour(1)), "haim/personalisation", "ConsentGiven")
	ok(t)(b.withdraw(&consent.Withdrawal{Purposes: []string{"personalisation"}, Items: []string{"birth_date"}}, hour(1)))
	wantStates(t, b.export(hour(2)), "haim/personalisation", "ConsentGiven, ConsentWithdrawn birth_date")
	say(2, grant("personalisation"))
	say(3, refusal("personalisation"))
	wantStates(t, b.export(hour(4)), "haim/personalisation",
		"ConsentGiven, ConsentWithdrawn birth_date", "RenewedConsentGiven, ConsentWithdrawn", "ConsentRefused")
	say(4, grant("personalisation"))
	ok(t)(b.withdraw(&consent.Withdrawal{Purposes: []string{"personalisation"}}, hour(5)))
	say(6, refusal("personalisation"))
	wantStates(t, b.export(hour(7)), "haim/personalisation",
		"ConsentGiven, ConsentWithdrawn birth_date", "RenewedConsentGiven, ConsentWithdrawn", "ConsentRefused", "ConsentGiven, ConsentWithdrawn", "ConsentRefused")

	g := graphOf(t, b.export(hour(7)))
	records := g.all(dpv + "ConsentRecord")
	replaced := 0
	for _, r := range records {
		for _, old := range g.follow(r, dct+"replaces") {
			if replaced++; !slices.Contains(g[old][dct+"isReplacedBy"], r) {
				t.Errorf("%s does not say that %s replaces it", old, r)
			}
		}
	}
	if replaced != len(records)-1 {
		t.Errorf("%d of %d records replace another", replaced, len(records))
	}
}

func TestAConsentThatThePolicyOvertookHasExpired(t *testing.T) {
	b := newBook(t, haim(t))
	ok(t)(b.consent(haimConsent("member", grant("marketing", "email"), grant("personalisation")), noon))
	next := strings.NewReplacer(
		`version: "2025-01-01"`, `version: "2026-06-01"`, `announced: "2024-12-01"`, `announced: "2026-03-11"`, "reason: first version", "reason: telephone calls",
		"items: {mandatory: [email], optional: [name, telephone]}", "items: {mandatory: [email, telephone], optional: [name]}",
	).Replace(string(policies.Haim()))
	var err error
	if b.r, err = b.r.With(must(consent.ParsePolicy([]byte(next))), noon); err != nil {
		t.Fatal(err)
	}
	change := time.Date(2026, 6, 1, 0, 0, 0, 0, seoul)
	wantStates(t, b.export(change.Add(-time.Millisecond)), "haim/marketing", "ConsentGiven")
	wantStates(t, b.export(change), "haim/marketing", "ConsentGiven, ConsentExpired")
	wantStates(t, b.export(change), "haim/personalisation", "ConsentGiven")
	c := haimConsent("member", grant("marketing"))
	c.PolicyVersion, c.OccurredAt = "2026-06-01", change.Add(time.Hour)
	ok(t)(b.consent(c, change.Add(time.Hour)))
	wantStates(t, b.export(change.Add(time.Hour)), "haim/marketing", "ConsentGiven", "RenewedConsentGiven")
}

func TestAConsentOfAMemberWhoLeftIsNotShownAsGiven(t *testing.T) {
	b := newBook(t, haim(t))
	ok(t)(b.consent(haimConsent("purchasing_member", grant("membership", "user_id", "email", "name")), noon))
	ok(t)(b.withdraw(&consent.Withdrawal{Membership: true}, noon.Add(time.Hour)))
	if len(b.entries) == 0 {
		t.Fatal("nothing is kept of a purchasing member, so the test proves nothing")
	}
	wantStates(t, b.export(noon.Add(2*time.Hour)), "haim/membership", "ConsentGiven, ConsentWithdrawn")
}

// evidenceStory is a member of a policy that keeps copies as proof: a consent
// whose own class is gone, and one whose membership has ended.
func evidenceStory(t *testing.T) *book {
	t.Helper()
	src := strings.Replace(string(policies.Haim()), "\npurposes:\n", "\nevidence: {retention: contract, ground: GDPR 17(3)(e)}\n\npurposes:\n", 1)
	b := newBook(t, register(t, []byte(src)))
	ok(t)(b.consent(haimConsent("member", grant("membership", "user_id", "email", "name"), grant("marketing")), noon))
	ok(t)(b.withdraw(&consent.Withdrawal{Purposes: []string{"marketing"}, Method: "button"}, noon.Add(time.Hour)))
	return b
}

func TestCopiesAreNoConsentsOfTheirOwnAndProveThoseThatAreGone(t *testing.T) {
	b := evidenceStory(t)
	x := b.export(noon.Add(2 * time.Hour))
	wantStates(t, x, "haim/membership", "ConsentGiven")
	wantStates(t, x, "haim/marketing", "ConsentGiven, ConsentWithdrawn") // its own class died with the withdrawal
	g := graphOf(t, x)
	for _, r := range g.all(dpv + "ConsentRecord") {
		purpose := g.follow(r, dpv+"hasProcess", dpv+"hasPurpose", dct+"identifier")[0]
		if got, want := len(g[r][dct+"source"]), map[string]int{`"haim/membership"`: 2, `"haim/marketing"`: 1}[purpose]; got != want {
			t.Errorf("the record on %s names %d entries, want %d", purpose, got, want)
		}
	}
	withdrawn := slices.DeleteFunc(g.all(dpv+"ConsentWithdrawn"), func(ev string) bool { return len(g[ev][dct+"source"]) != 2 })
	if len(withdrawn) != 1 {
		t.Errorf("%d withdrawals name their entry and its copy, want 1", len(withdrawn))
	}

	ok(t)(b.withdraw(&consent.Withdrawal{Membership: true}, noon.Add(3*time.Hour)))
	wantStates(t, b.export(noon.Add(4*time.Hour)), "haim/membership", "ConsentGiven, ConsentWithdrawn")
	if ended := graphOf(t, b.export(noon.Add(4*time.Hour))).all(dpv + "ConsentWithdrawn"); len(ended) != 2 {
		t.Errorf("%d withdrawals, want that of the purpose and that of the membership", len(ended))
	}
}

// guardianStory is a child whose guardian consented.
func guardianStory(t *testing.T) *consent.Export {
	t.Helper()
	r := register(t, []byte(strings.Replace(string(policies.Haim()), "minors: refuse", "minors: guardian", 1)))
	b := newBook(t, r)
	c := haimConsent("member", grant("membership", "user_id", "email", "name"))
	c.MinimumAgeConfirmed = false
	c.Guardian = &consent.Guardian{Reference: "proof-17", Method: "mobile", VerifiedAt: noon.Add(-time.Minute)}
	ok(t)(b.consent(c, noon))
	return b.export(noon.Add(time.Hour))
}

func TestAGuardianConsentsForAChild(t *testing.T) {
	g := graphOf(t, guardianStory(t))
	guardians := g.all(dpv + "GuardianOfDataSubject")
	if len(guardians) != 1 {
		t.Fatalf("%d guardians", len(guardians))
	}
	given := g.all(dpv + "ConsentGiven")
	if len(given) != 1 || !slices.Equal(g[given[0]][dpv+"isIndicatedBy"], guardians) {
		t.Fatalf("the consent was given by %v, want the guardian", g[given[0]][dpv+"isIndicatedBy"])
	}
	if !slices.Equal(g[guardians[0]][dct+"identifier"], []string{`"proof-17"`}) || !slices.Equal(g[guardians[0]][dpv+"hasIndicationMethod"], []string{`"mobile"`}) {
		t.Fatalf("the guardian reads %v", g[guardians[0]])
	}
}

func TestWhatIsAskedEachTimeIsNoConsent(t *testing.T) {
	b := newBook(t, haim(t))
	entries := also(nil, "haim/visitor", noon, consent.Event{
		Kind: consent.KindConsent, Policy: "haim", PolicyVersion: "2025-01-01", MemberKind: "visitor", Method: "button", Locale: "en",
		ShownDigest: make([]byte, 32), OccurredAtMs: noon.UnixMilli(), Decisions: []consent.Decision{{Purpose: "cookies_marketing", Ask: true}},
	})
	wantStates(t, b.r.NewExport(origin, ref, entries, nil, noon), "haim/cookies_marketing", "ConsentRequestDeferred")
}

func TestANoticeIsTheTextItselfOnlyIfThatWasShown(t *testing.T) {
	b := newBook(t, haim(t))
	short := sha256.Sum256([]byte("the short form of the app"))
	c := haimConsent("member", grant("membership", "user_id", "email", "name"))
	c.ShownDigest = short[:]
	ok(t)(b.consent(c, noon))
	g := graphOf(t, b.export(noon))
	texts, shown := g.all(dpv+"PrivacyNotice"), g.all(dpv+"ConsentNotice")
	if len(texts) != 1 || len(shown) != 1 || texts[0] == shown[0] || len(g[texts[0]][sdo+"text"]) != 1 || len(g[shown[0]][sdo+"text"]) != 0 {
		t.Fatalf("texts %v, shown %v", texts, shown)
	}
	c = haimConsent("member", grant("personalisation"))
	ok(t)(b.consent(c, noon.Add(time.Hour)))
	g = graphOf(t, b.export(noon.Add(time.Hour)))
	if !g.isA(texts[0], dpv+"ConsentNotice") || !g.isA(texts[0], dpv+"PrivacyNotice") || len(g.all(dpv+"ConsentNotice")) != 2 {
		t.Fatal("the text that was shown is no consent notice")
	}
}

func TestADisclosureIsARecordThatNamesTheConsentItRestsOn(t *testing.T) {
	b := shared(t)
	d := given("partner-brand", "partner_offers", noon, "email")
	d.Form = consent.FormPseudonymised
	ok(t)(b.disclose(d, noon.Add(time.Minute)))
	court := given("district-court", "membership", noon, "name")
	court.Basis = "legal_process"
	ok(t)(b.disclose(court, noon.Add(2*time.Minute)))
	g := graphOf(t, b.export(noon.Add(time.Hour)))
	records := g.all(dpv + "DataTransferRecord")
	if len(records) != 2 {
		t.Fatalf("%d records of disclosures", len(records))
	}
	if g.isA(g.follow(records[0], dpv+"hasProcess", dpv+"hasRecipient")[0], dpv+"Authority") {
		slices.Reverse(records)
	}
	rests := g.follow(records[0], dct+"references")
	if len(rests) != 1 || !slices.Equal(g.follow(rests[0], dpv+"hasProcess", dpv+"hasPurpose", dct+"identifier"), []string{`"haim/partner_offers"`}) {
		t.Errorf("the disclosure rests on %v", rests)
	}
	if data := g.follow(records[0], dpv+"hasProcess", dpv+"hasPersonalData"); len(data) != 1 || !g.isA(data[0], dpv+"PseudonymisedData") {
		t.Errorf("what was given is %v", data)
	}
	law := g.follow(records[1], dpv+"hasProcess", dpv+"hasLegalBasis", dpv+"hasApplicableLaw", dct+"title")
	if !slices.Equal(law, []string{`"PIPA 18(2); GDPR 6(1)(c)"`}) || len(g.follow(records[1], dct+"references")) != 0 {
		t.Errorf("the court's order rests on %v", law)
	}
}

func TestTheSameThingHasTheSameNameInEveryExportAndExportsDoNot(t *testing.T) {
	b := haimStory(t)
	first, second := graphOf(t, b.export(noon.Add(24*time.Hour))), graphOf(t, b.export(noon.Add(48*time.Hour)))
	for _, class := range []string{"ConsentRecord", "DataTransferRecord", "DataSubject", "DataController", "Recipient", "ConsentNotice", "ConsentGiven"} {
		if a := first.all(dpv + class); len(a) == 0 || !slices.Equal(a, second.all(dpv+class)) {
			t.Errorf("%s is %v in one and %v in the other", class, a, second.all(dpv+class))
		}
	}
	if slices.Equal(first.all(dpv+"ConsentReceipt"), second.all(dpv+"ConsentReceipt")) {
		t.Error("two exports have one name")
	}
}

// Whatever a member does, who reads the records comes to the same answer as
// who asks for a decision.
func TestTheNewestRecordOfAPurposeSaysWhatADecisionSays(t *testing.T) {
	next := strings.NewReplacer(
		`version: "2025-01-01"`, `version: "2026-06-01"`, `announced: "2024-12-01"`, `announced: "2026-03-11"`, "reason: first version", "reason: telephone calls",
		"items: {mandatory: [email], optional: [name, telephone]}", "items: {mandatory: [email, telephone], optional: [name]}",
	).Replace(string(policies.Haim()))
	r := must(haim(t).With(must(consent.ParsePolicy([]byte(next))), noon))
	evidence := must(consent.ParsePolicy([]byte(strings.Replace(string(policies.Haim()), "\npurposes:\n", "\nevidence: {retention: contract, ground: GDPR 17(3)(e)}\n\npurposes:\n", 1))))
	proof := must(consent.NewRegister().With(evidence, noon.AddDate(-1, 0, 0)))
	purposes := []string{"marketing", "personalisation", "partner_offers", "cookies_marketing"}
	yes, no := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		reg := rapid.SampledFrom([]*consent.Register{r, proof}).Draw(t, "register")
		b, now := newBook(t, reg), noon
		for range rapid.IntRange(1, 8).Draw(t, "calls") {
			now = now.Add(time.Duration(rapid.IntRange(1, 20*24).Draw(t, "hours")) * time.Hour)
			p, _ := reg.InForce("haim", now)
			purpose := rapid.SampledFrom(purposes).Draw(t, "purpose")
			c := haimConsent("member", consent.Decision{Purpose: purpose, Granted: true})
			c.PolicyVersion, c.OccurredAt = p.Version(), now
			var err error
			switch rapid.IntRange(0, 4).Draw(t, "call") {
			case 0:
				_, err = b.withdraw(&consent.Withdrawal{Purposes: []string{purpose}}, now)
			case 1:
				c.Decisions[0].Granted = false
				_, err = b.consent(c, now)
			case 2:
				c.Decisions[0] = consent.Decision{Purpose: "marketing", Granted: true, Items: []string{"email", "telephone", "name"}}
				_, err = b.consent(c, now)
			case 3:
				_, err = b.withdraw(&consent.Withdrawal{Purposes: []string{"marketing"}, Items: []string{"name"}}, now)
			default:
				_, err = b.consent(c, now)
			}
			_ = err // a refused call changes nothing
		}
		x := b.export(now)
		for _, purpose := range purposes {
			records := states(t, x, "haim/"+purpose)
			given := false
			if len(records) > 0 {
				events := strings.Split(records[len(records)-1], ", ")
				given = !slices.ContainsFunc(events, func(s string) bool {
					return s == "ConsentWithdrawn" || s == "ConsentRefused" || s == "ConsentExpired"
				})
			}
			answer := b.ask(purpose, now)
			if given != answer.Allowed {
				t.Fatalf("the records on %s read %q, a decision says %t, %s", purpose, records, answer.Allowed, answer.Reason)
			}
			if given {
				yes++
			} else if len(records) > 0 {
				no++
			}
		}
	})
	if yes < 20 || no < 20 {
		t.Fatalf("only %d records stood and %d did not", yes, no)
	}
}
