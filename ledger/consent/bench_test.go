package consent_test

import (
	"testing"

	"consentledger/ledger/consent"
	"consentledger/testdata/policies"
)

func BenchmarkPlanConsent(b *testing.B) {
	r := haim(b)
	bk := newBook(b, r)
	c := haimConsent("member", grant("membership"), grant("marketing"))
	b.Run("enrol", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := r.PlanConsent(bk.f, nil, c, noon); err != nil {
				b.Fatal(err)
			}
		}
	})
	if _, err := bk.consent(c, noon); err != nil {
		b.Fatal(err)
	}
	b.Run("again", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := r.PlanConsent(bk.f, bk.keys, c, noon); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkDecide(b *testing.B) {
	r := haim(b)
	bk := newBook(b, r)
	c := haimConsent("purchasing_member", grant("membership"), grant("marketing"), grant("terms_of_use"), grant("personalisation"), grant("order"), grant("payment"), grant("partner_offers"))
	if _, err := bk.consent(c, noon); err != nil {
		b.Fatal(err)
	}
	for name, q := range map[string]*consent.Question{
		"purpose":   {Purpose: "marketing"},
		"items":     {Purpose: "membership", Items: []string{"email", "name"}},
		"recipient": {Purpose: "partner_offers", Items: []string{"email"}, Recipient: "partner-brand"},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if a := r.Decide(bk.f, q, noon); !a.Allowed {
					b.Fatal(a.Reason)
				}
			}
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	e := usual(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Encode(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeEvent(b *testing.B) {
	body, err := usual(b).Encode()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(len(body)), "bytes/event")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := consent.DecodeEvent(body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParsePolicy(b *testing.B) {
	src := policies.Haim()
	b.SetBytes(int64(len(src)))
	for b.Loop() {
		if _, err := consent.ParsePolicy(src); err != nil {
			b.Fatal(err)
		}
	}
}

func usual(b *testing.B) consent.Event {
	r := haim(b)
	p, err := r.PlanConsent(consent.NewFold(), nil, haimConsent("member", grant("membership"), grant("terms_of_use")), noon)
	if err != nil {
		b.Fatal(err)
	}
	return p.Entries[0].Event
}
