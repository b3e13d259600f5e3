package policies

import (
	"slices"
	"testing"

	"consentledger/ledger/consent"
)

func parse(t *testing.T, src []byte) *consent.Policy {
	t.Helper()
	p, err := consent.ParsePolicy(src)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestTheSamplePoliciesParseAndTheirTextsAreTheFiles(t *testing.T) {
	for name, of := range map[string]struct {
		src       []byte
		languages []string
	}{
		"haim-2025-01-01":      {Haim(), []string{"en", "ko"}},
		"dermatech-2011-12-01": {Dermatech(), []string{"en", "ko"}},
		"pharmacy-2026-11-01":  {Pharmacy(), []string{"en", "ko", "de"}},
	} {
		p := parse(t, of.src)
		if got := p.ID() + "-" + p.Version(); got != name {
			t.Errorf("policy and version %s, want %s", got, name)
		}
		if got := p.Languages(); !slices.Equal(got, of.languages) {
			t.Errorf("%s: languages %v", name, got)
		}
		for _, lang := range p.Languages() {
			want, err := files.ReadFile(name + "." + lang + ".md")
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := p.Text(lang); got != string(want) {
				t.Errorf("%s: the text in %s is not the file's", name, lang)
			}
		}
	}
}

func TestTheSamplePoliciesNameTheSameTitlesInEveryLanguage(t *testing.T) {
	for _, src := range [][]byte{Haim(), Dermatech(), Pharmacy()} {
		p := parse(t, src)
		for _, lang := range p.Languages() {
			for _, pu := range p.Purposes() {
				if pu.Title[lang] == "" || pu.Refusal[lang] == "" {
					t.Errorf("%s: purposes.%s lacks title or refusal in %s", p.ID(), pu.ID, lang)
				}
			}
			for _, it := range p.Items() {
				if it.Label[lang] == "" {
					t.Errorf("%s: items.%s lacks a label in %s", p.ID(), it.ID, lang)
				}
			}
		}
	}
}

func TestUniqueIdentificationIsADecisionOfItsOwn(t *testing.T) {
	purposes := parse(t, Dermatech()).Purposes()
	i := slices.IndexFunc(purposes, func(pu consent.Purpose) bool { return pu.Kind == consent.PurposeUniqueID })
	if i < 0 {
		t.Fatal("no purpose of kind unique_id")
	}
	if pu := purposes[i]; !pu.AsksConsent() || !slices.Equal(pu.Mandatory, []string{"email"}) || pu.Class("standard_member") != "membership" || pu.Class("clinic_member") != "membership" {
		t.Errorf("%+v", pu)
	}
}
