package server

import (
	"net/http"

	"consentledger/ledger"
)

// receiptForms are those of a receipt: the file, and the page that has it in it.
var (
	pageType     = []string{"text/html; charset=utf-8"}
	receiptForms = [][]string{{"text/plain; charset=utf-8"}, pageType}
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
	_, file, err := x.s.book.Receipt(x.s.uncut, x.caller, ref, x.look, index)
	if err != nil {
		return x.problemOf(err)
	}
	defer clear(file)
	return x.send(http.StatusOK, x.offer, file)
}
