package server

import (
	"net/http"

	"consentledger/ledger"
	"consentledger/ledger/consent"
	"consentledger/server/page"
)

// receiptForms are those of a receipt: the file, and the page that has it in it.
var (
	pageType     = []string{"text/html; charset=utf-8"}
	receiptForms = [][]string{{"text/plain; charset=utf-8"}, pageType}

	// A page has its style in it and fetches nothing; whatever stands in an entry, nothing of it runs.
	pagePolicy = []string{"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"}
	noSniff    = []string{"nosniff"}
)

func getReceipt(x *exchange) *problem {
	ref, p := x.memberRef()
	if p != nil {
		return p
	}
	index, err := decimal(x.params[1].Value)
	if err != nil {
		return problemOf(ledger.ErrUnknownEntry)
	}
	r, file, err := x.s.book.Receipt(x.s.uncut, x.caller, ref, x.look, x.ground, index)
	if err != nil {
		return x.problemOf(err)
	}
	defer clear(file)
	h := x.w.Header()
	h["X-Content-Type-Options"] = noSniff
	if x.offer[0] != pageType[0] {
		return x.send(http.StatusOK, x.offer, file)
	}
	lang := languageOf(x.r.Header["Accept-Language"])
	b, err := page.Receipt(r, file, policyNames{x.s.book.Rules()}, lang)
	if err != nil {
		return x.problemOf(err)
	}
	defer clear(b)
	h["Content-Language"], h["Content-Security-Policy"] = []string{lang}, pagePolicy
	return x.send(http.StatusOK, pageType, b)
}

// policyNames are the names that the policies give, as a person is shown them.
type policyNames struct{ rules *consent.Register }

func (n policyNames) Purpose(policy, version, purpose, lang string) string {
	if p, ok := n.rules.Version(policy, version); ok {
		for _, pu := range p.Purposes() {
			if pu.ID == purpose {
				return in(pu.Title, lang, purpose)
			}
		}
	}
	return purpose
}

func (n policyNames) Item(policy, version, item, lang string) string {
	if p, ok := n.rules.Version(policy, version); ok {
		for _, it := range p.Items() {
			if it.ID == item {
				return in(it.Label, lang, item)
			}
		}
	}
	return item
}

func (n policyNames) Recipient(policy, version, recipient, _ string) string {
	if p, ok := n.rules.Version(policy, version); ok {
		for _, rec := range p.Recipients() {
			if rec.ID == recipient {
				return rec.Name
			}
		}
	}
	return recipient
}

// in is a text in a language, or else in English, or else the name that it explains.
func in(t consent.Text, lang, name string) string {
	if s := t[lang]; s != "" {
		return s
	}
	if s := t[english]; s != "" {
		return s
	}
	return name
}
