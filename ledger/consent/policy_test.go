package consent_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"consentledger/ledger/consent"
	"consentledger/testdata/policies"
)

// small is the least policy that has everything.
const small = `policy: shop
version: "2025-01-01"
controller: {name: Shop, time_zone: Asia/Seoul}
text: {en: "What we do with your data."}
prohibited: [religion]
member_kinds: [member, buyer]
items:
  email: {label: {en: E-mail}}
  name: {}
  skin: {sensitive: true}
  rrn: {unique_id: true}
  password: {secret: true}
retention:
  membership: {until: withdrawal}
  bought: {keep: 5y, from: withdrawal, basis: tax law}
  records: {keep: 3y, basis: consumer law}
  partners: {until: purpose_withdrawal}
purposes:
  membership:
    title: {en: Membership}
    kind: collection
    basis: consent
    items: {mandatory: [email], optional: [name]}
    retention: {member: membership, buyer: bought}
    refusal: {en: No membership.}
  marketing:
    title: {en: News}
    kind: marketing
    basis: consent
    items: {mandatory: [email]}
    retention: membership
    refusal: {en: No news.}
  partner_offers:
    title: {en: Offers}
    kind: provision
    basis: consent
    items: {mandatory: [email]}
    retention: partners
    refusal: {en: No offers.}
  care: {title: {en: Care}, kind: sensitive, basis: consent, items: {optional: [skin]}, retention: partners, refusal: {en: No care.}}
  identity: {title: {en: Who you are}, kind: unique_id, basis: consent, items: {optional: [rrn, password]}, retention: partners, refusal: {en: No service.}}
recipients:
  brand: {name: Brand, business: cosmetics, kind: third_party, purposes: [partner_offers], items: [email]}
exemptions:
  court: {title: {en: Court}, basis: PIPA 18, recipient: authority}
`

// korean is a Korean message with its place.
var korean = regexp.MustCompile(`^\d+행 \d+열: .*\p{Hangul}.*[.:]`)

func TestAPolicyThatLacksOrConfusesSomethingIsRefusedByPathLineAndColumn(t *testing.T) {
	if _, err := consent.ParsePolicy([]byte(small)); err != nil {
		t.Fatalf("control: %v", err)
	}
	for _, c := range []struct {
		code, path, where string
		old, new          string
	}{
		// Row A2: what a version must name.
		{"missing_field", "purposes.marketing.title", "line 26, column 3", "    title: {en: News}\n", ""},
		{"missing_field", "purposes.marketing.kind", "line 26", "    kind: marketing\n", ""},
		{"missing_field", "purposes.marketing.basis", "line 26", "    kind: marketing\n    basis: consent\n", "    kind: marketing\n"},
		{"missing_field", "purposes.marketing.items", "line 26", "    items: {mandatory: [email]}\n    retention: membership\n", "    retention: membership\n"},
		{"missing_field", "purposes.marketing.items", "line 30", "    items: {mandatory: [email]}\n    retention: membership\n", "    items: {mandatory: []}\n    retention: membership\n"},
		{"missing_field", "purposes.marketing.retention", "line 26", "    retention: membership\n", ""},
		{"missing_field", "purposes.marketing.refusal", "line 26", "    refusal: {en: No news.}\n", ""},
		{"missing_field", "purposes.marketing.refusal", "line 32", "    refusal: {en: No news.}\n", "    refusal:\n"},
		{"missing_field", "purposes.marketing.refusal", "line 32", "    refusal: {en: No news.}\n", "    refusal: {}\n"},
		{"missing_field", "purposes.marketing.refusal.en", "line 32", "No news.", "''"},
		{"missing_field", "purposes.partner_offers.recipients", "line 33", "purposes: [partner_offers], items", "purposes: [marketing], items"},
		{"missing_field", "purposes.partner_offers.recipients", "line 33", "kind: third_party", "kind: processor"},
		{"missing_field", "purposes.partner_offers.recipients", "line 33", "purposes: [partner_offers], items: [email]", "purposes: [partner_offers, membership], items: [name]"},
		{"missing_field", "purposes.marketing.title.en", "line 27", "{en: News}", "{fr: Nouvelles}"},
		{"missing_field", "purposes.marketing.refusal.en", "line 32", "{en: No news.}", "{fr: Rien.}"},
		{"invalid_value", "purposes.marketing.basis", "line 29", "    kind: marketing\n    basis: consent", "    kind: marketing\n    basis: contract"},
		{"invalid_value", "purposes.partner_offers.basis", "line 36", "    kind: provision\n    basis: consent", "    kind: provision\n    basis: legal_obligation"},
		{"invalid_value", "purposes.marketing.basis", "line 29", "    kind: marketing\n    basis: consent", "    kind: cookies\n    basis: contract"},
		{"invalid_value", "purposes.marketing.basis", "line 29", "    kind: marketing\n    basis: consent", "    kind: sensitive\n    basis: contract"},
		{"invalid_value", "purposes.marketing.basis", "line 29", "    kind: marketing\n    basis: consent", "    kind: unique_id\n    basis: legal_obligation"},
		{"missing_field", "recipients.brand.business", "line 43", "business: cosmetics, ", ""},
		{"missing_field", "recipients.brand.items", "line 43", ", items: [email]}", "}"},
		{"missing_field", "retention.records.basis", "line 16", ", basis: consumer law", ""},
		{"missing_field", "exemptions.court.basis", "line 45", ", basis: PIPA 18", ""},
		{"missing_field", "exemptions.court.purposes", "line 45", ", recipient: authority", ""},
		{"unknown_name", "exemptions.court.purposes[0]", "line 45", ", recipient: authority", ", purposes: [other]"},
		{"missing_field", "text", "line 1", "text: {en: \"What we do with your data.\"}\n", ""},
		{"missing_field", "purposes.membership.retention.buyer", "line 24", "{member: membership, buyer: bought}", "{member: membership}"},
		{"missing_field", "policy", "line 1", small, ""},

		{"unknown_field", "purposes.marketing.colour", "line 29, column 5", "    kind: marketing\n", "    kind: marketing\n    colour: red\n"},
		{"unknown_field", "minimum-age", "line 2", "version:", "minimum-age: 14\nversion:"},
		{"duplicate_field", "version", "line 3, column 1", "version:", "version: \"2024-01-01\"\nversion:"},
		{"duplicate_field", "purposes.membership.items.optional[0]", "line 23", "optional: [name]", "optional: [email]"},
		{"duplicate_field", "member_kinds[1]", "line 6, column 24", "[member, buyer]", "[member, member]"},

		{"unknown_name", "purposes.marketing.items.mandatory[0]", "line 30", "    items: {mandatory: [email]}\n    retention: membership\n", "    items: {mandatory: [shoe]}\n    retention: membership\n"},
		{"unknown_name", "purposes.marketing.retention", "line 31", "    retention: membership\n", "    retention: forever\n"},
		{"unknown_name", "purposes.membership.retention.guest", "line 24", "buyer: bought}", "buyer: bought, guest: membership}"},
		{"unknown_name", "purposes.marketing.member_kinds[0]", "line 29", "    kind: marketing\n", "    kind: marketing\n    member_kinds: [guest]\n"},
		{"unknown_name", "recipients.brand.purposes[1]", "line 43", "purposes: [partner_offers], items", "purposes: [partner_offers, other], items"},
		{"invalid_value", "recipients.brand.purposes[1]", "line 43", "purposes: [partner_offers], items", "purposes: [partner_offers, membership], items"},
		{"unknown_name", "recipients.brand.items[1]", "line 43", "items: [email]}\nex", "items: [email, name]}\nex"},
		{"unknown_name", "evidence.retention", "line 18", "purposes:\n", "evidence: {retention: none, ground: x}\npurposes:\n"},
		{"unknown_name", "access.retention", "line 18", "purposes:\n", "access: {retention: none}\npurposes:\n"},
		{"invalid_value", "evidence.retention", "line 18", "purposes:\n", "evidence: {retention: membership, ground: x}\npurposes:\n"},
		{"invalid_value", "access.retention", "line 18", "purposes:\n", "access: {retention: partners}\npurposes:\n"},

		{"invalid_value", "items.shoe_size", "line 9", "  name: {}\n", "  shoe_size: {}\n  name: {}\n"},
		{"prohibited_item", "items.religion", "line 9", "  name: {}\n", "  religion: {}\n"},
		{"sensitive_item", "purposes.marketing.items.mandatory[0]", "line 30", "    items: {mandatory: [email]}\n    retention: membership\n", "    items: {mandatory: [skin]}\n    retention: membership\n"},
		{"unique_id_item", "purposes.marketing.items.mandatory[0]", "line 30", "    items: {mandatory: [email]}\n    retention: membership\n", "    items: {mandatory: [rrn]}\n    retention: membership\n"},
		{"membership_class_missing", "member_kinds[0]", "line 6", "  membership: {until: withdrawal}\n", "  membership: {until: purpose_withdrawal}\n"},

		{"invalid_value", "policy", "line 1", "policy: shop", "policy: my_shop"},
		{"invalid_value", "version", "line 2", "2025-01-01", "2025-02-30"},
		{"invalid_value", "announced", "line 3", "controller:", "announced: \"2025-01-02\"\ncontroller:"},
		{"invalid_value", "controller.time_zone", "line 3", "Asia/Seoul", "Asia/Soul"},
		{"invalid_value", "controller.time_zone", "line 3", "Asia/Seoul", "Local"},
		{"invalid_value", "controller.time_zone", "line 3", "Asia/Seoul", "localtime"},
		{"invalid_value", "controller.time_zone", "line 3", "Asia/Seoul", "posix/Asia/Seoul"},
		{"invalid_value", "text.en_US", "line 4", "text: {en:", "text: {en_US:"},
		{"text_not_inline", "text.en", "line 4", `"What we do with your data."`, "{file: a.md}"},
		{"invalid_value", "retention.bought.keep", "line 15", "keep: 5y", "keep: 5 years"},
		{"invalid_value", "retention.bought.keep", "line 15", "keep: 5y", "keep: 0y"},
		{"invalid_value", "retention.bought.keep", "line 15", "keep: 5y", "until: delivery, keep: 5y"},
		{"invalid_value", "retention.membership.until", "line 14", "{until: withdrawal}", "{until: christmas}"},
		{"invalid_value", "retention.membership.from", "line 14", "{until: withdrawal}", "{until: withdrawal, from: entry}"},
		{"missing_field", "retention.membership.until", "line 14", "{until: withdrawal}", "{basis: x}"},
		{"invalid_value", "purposes.marketing.kind", "line 28", "kind: marketing", "kind: advertising"},
		{"invalid_value", "items.email.sensitive", "line 8", "email: {label: {en: E-mail}}", "email: {sensitive: maybe}"},
		{"invalid_value", "notice_days", "line 3", "controller:", "notice_days: -1\ncontroller:"},
		{"invalid_value", "items", "line 9", "  name: {}\n", "  Full Name: {}\n"},
		{"secret_item", "recipients.brand.items[1]", "line 43", "items: [email]}\nex", "items: [email, password]}\nex"},
		{"invalid_value", "exemptions.contract", "line 45", "  court:", "  contract:"},
		{"policy_syntax", "", "line 7", "[member, buyer]", "[member, buyer"},
		{"policy_syntax", "", "line 47", small, small + "---\n" + small},
		{"invalid_value", "items.name", "line 9", "name: {}", "name: *other"},
	} {
		t.Run(c.code+" "+c.path, func(t *testing.T) {
			src := strings.Replace(small, c.old, c.new, 1)
			if src == small {
				t.Fatal("the test changes nothing")
			}
			p, err := consent.ParsePolicy([]byte(src))
			if p != nil {
				t.Fatal("accepted")
			}
			var r *consent.Refusal
			if !errors.As(err, &r) {
				t.Fatal(err)
			}
			if r.Code != c.code || c.path != "items" && r.Field != c.path || !strings.Contains(r.Message, c.where) {
				t.Errorf("%v, want %s at %q, %s", r, c.code, c.path, c.where)
			}
			if ko := r.In("ko"); !korean.MatchString(ko) {
				t.Errorf("in Korean: %s", ko)
			}
		})
	}
}

func TestPurposesKeepTheOrderOfTheFile(t *testing.T) {
	p := must(consent.ParsePolicy([]byte(small)))
	var got []string
	for _, pu := range p.Purposes() {
		got = append(got, pu.ID)
	}
	if d := cmp.Diff([]string{"membership", "marketing", "partner_offers", "care", "identity"}, got); d != "" {
		t.Error(d)
	}
	for kind, want := range map[string]consent.ClassID{"member": "shop/membership", "buyer": "shop/bought"} {
		if c, ok := p.MembershipClass(kind); !ok || c != want {
			t.Errorf("membership class of %s: %s", kind, c)
		}
	}
}

func TestATextStandsForItselfToTheByte(t *testing.T) {
	text := strings.Repeat("- a point: is it? Yes! [a link](b)\n", 1000) + strings.Repeat("-", 80) + "Line one.\n\n  \"Two\": # not a comment\\\t{[\u2028 이메일\n"
	src := strings.Replace(small, `{en: "What we do with your data."}`, "\n  en: {file: sub/a.md}\n  ko:\n    file: b.md\n\n# about kinds", 1)
	src = regexp.MustCompile(`(title|refusal): {en: ([^}]*)}`).ReplaceAllString(src, "$1: {en: $2, ko: $2}")
	in, err := consent.InlineTexts([]byte(src), func(name string) ([]byte, error) {
		return []byte(map[string]string{"sub/a.md": text, "b.md": "한국어"}[name]), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	p := must(consent.ParsePolicy(in))
	if got, _ := p.Text("en"); got != text {
		t.Errorf("got %q", got)
	}
	if got, _ := p.TextDigest("en"); got != sha256.Sum256([]byte(text)) {
		t.Error("the digest is not that of the file")
	}
	if got, _ := p.Text("ko"); got != "한국어" {
		t.Errorf("got %q", got)
	}
	if !strings.Contains(string(in), "# about kinds\nprohibited:") {
		t.Error("a comment after the text is gone")
	}
	again, err := consent.InlineTexts(in, nil)
	if err != nil || string(again) != string(in) {
		t.Errorf("a file without files changed: %v", err)
	}
}

func TestATextFileOutsideThePolicysFolderIsNotRead(t *testing.T) {
	for _, name := range []string{"../secret", "/etc/passwd", "a/../../b", ""} {
		src := strings.Replace(small, `"What we do with your data."`, fmt.Sprintf("{file: %q}", name), 1)
		_, err := consent.InlineTexts([]byte(src), func(string) ([]byte, error) {
			t.Errorf("%q was read", name)
			return nil, nil
		})
		if err == nil {
			t.Errorf("%q was accepted", name)
		}
	}
	_, err := consent.InlineTexts([]byte(strings.Replace(small, `"What we do with your data."`, "{file: a}", 1)), func(string) ([]byte, error) {
		return nil, errors.New("no such file")
	})
	wantRefusal(t, err, consent.Invalid, "text_not_readable", "text.en.file")
}

func TestDeepNestingIsRefusedBeforeTheYAMLLibrarySeesIt(t *testing.T) {
	for _, s := range []string{strings.Repeat("[", 1<<19), strings.Repeat("{a: ", 1<<17), strings.Repeat("- ", 1<<19), strings.Repeat("? ", 1<<18)} {
		if _, err := consent.ParsePolicy([]byte(s)); err == nil {
			t.Errorf("%q… accepted", s[:8])
		}
	}
}

func TestAFileThatWouldTakeTooLongIsRefused(t *testing.T) {
	for _, src := range []string{strings.Repeat("x", consent.MaxPolicyBytes+1), small + strings.Repeat("a:\n", 5000), "{" + strings.Repeat(`"a":1,`, 5000) + "}"} {
		_, err := consent.ParsePolicy([]byte(src))
		wantRefusal(t, err, consent.Invalid, "policy_too_large", "")
	}
}

// What is wrong with the YAML is said in the library's words, and some of those
// quote the file.
func TestASyntaxErrorRepeatsNothingOfTheFile(t *testing.T) {
	for _, in := range []string{"policy: |plant\n  x\n", "%YAML plant\n---\npolicy: x\n", "policy: !!plant\n", "policy: \"\\xplant\"\n", "policy: [plant\n", "plant: plant: plant\n"} {
		_, err := consent.ParsePolicy([]byte(in))
		var r *consent.Refusal
		if !errors.As(err, &r) || strings.Contains(r.Message, "plant") || strings.Contains(r.In("ko"), "plant") {
			t.Errorf("%q: %v", in, err)
		}
	}
}

func FuzzParsePolicy(f *testing.F) {
	f.Add([]byte(small))
	f.Add(policies.Haim())
	f.Add(policies.Dermatech())
	f.Add(bytes.Replace(policies.Haim(), []byte(`version: "2025-01-01"`), []byte(`version: "2027-01-01"`), 1))
	f.Add([]byte(strings.Replace(small, `version: "2025-01-01"`, "version: \"2027-01-01\"\nannounced: \"2026-03-01\"\nreason: r", 1)))
	haimBefore, shopBefore := haim(f), register(f, []byte(small))
	f.Add([]byte("policy: [\n"))
	f.Add([]byte("policy: &a {b: *a}\n"))
	f.Add([]byte("policy: !!binary x\n<<: {a: 1}\n"))
	f.Add([]byte("? a\n: b\n"))
	f.Add([]byte("text: |\n  a\n b\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		p, err := consent.ParsePolicy(src)
		if err != nil {
			var r *consent.Refusal
			if !errors.As(err, &r) || r.Code == "" || r.Message == "" {
				t.Fatalf("an error without a name: %v", err)
			}
			return
		}
		// What is accepted can be registered, and every kind of member has a
		// class that its membership ends.
		r, err := consent.NewRegister().With(p, noon)
		if err != nil {
			t.Fatalf("accepted, but not to be registered: %v", err)
		}
		for _, kind := range p.MemberKinds() {
			c, ok := p.MembershipClass(kind)
			if rule, known := r.Rule(c); !ok || !known || rule.ByReference() {
				t.Fatalf("no membership class for a kind")
			}
		}
		liveUnder(t, r, p)
		// And what may follow another policy can be lived under.
		for _, before := range []*consent.Register{haimBefore, shopBefore} {
			if after, err := before.With(p, noon); err == nil {
				liveUnder(t, after, p)
			}
		}
	})
}

// liveUnder shows what a policy changed, and lets a member say yes to all of it,
// change kinds and leave.
func liveUnder(t *testing.T, r *consent.Register, p *consent.Policy) {
	r.Changes(p.ID(), p.Version())
	r.Reconsent(p.ID(), p.Version())
	r.Recipients()
	from := r.Policies()[len(r.Policies())-1].EffectiveAt
	if from.Before(noon) {
		from = noon
	}
	r.Processing(from)
	b := newBook(t, r)
	for _, kind := range p.MemberKinds() {
		c := haimConsent(kind)
		c.Policy, c.PolicyVersion, c.Reference, c.OccurredAt = p.ID(), p.Version(), "1", from
		c.Locale, c.ShownDigest = "en", make([]byte, 32)
		for _, pu := range p.Purposes() {
			if len(pu.MemberKinds) == 0 || slices.Contains(pu.MemberKinds, kind) {
				c.Decisions = append(c.Decisions, grant(pu.ID, slices.Concat(pu.Mandatory, pu.Optional)...))
			}
		}
		b.consent(c, from)
		b.look(&consent.Access{Who: "op", Reason: "because"}, from)
		for _, pu := range p.Purposes() {
			b.ask(pu.ID, from)
			b.withdraw(&consent.Withdrawal{Purposes: []string{pu.ID}}, from)
		}
		b.r.Due(b.f, b.keys, from, from.AddDate(1, 0, 0))
		b.r.Next(b.f, b.keys, from)
	}
	b.withdraw(&consent.Withdrawal{Membership: true}, from)
	b.sweep(from.AddDate(10, 0, 0))
}
