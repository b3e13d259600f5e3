package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"golang.org/x/mod/sumdb/note"

	"consentledger/bench/internal/book"
	"consentledger/bench/internal/rounds"
	"consentledger/ledger"
	"consentledger/ledger/receipt"
)

// receiptSizes are how much is measured of receipts.
type receiptSizes struct {
	others uint64 // members beside the one whose receipts are made
	each   int    // looks, and receipts, in turn
}

var (
	fullReceipts  = receiptSizes{others: 100_000, each: 1_000}
	quickReceipts = receiptSizes{others: 300, each: 20}
)

// receipts measures what a receipt costs beyond the look that it records.
func receipts(ctx context.Context, out io.Writer, args []string) error {
	return measured(ctx, out, "receipts", args, func(s *speedRun, isQuick bool) error {
		r := fullReceipts
		if isQuick {
			r = quickReceipts
		}
		return s.receipts(r)
	})
}

func (s *speedRun) receipts(size receiptSizes) error {
	m, err := s.make("receipts", size.others+1)
	if err != nil {
		return err
	}
	return s.with(m, func(l *ledger.Ledger) error {
		who := ledger.Caller{KeyID: "local", Role: ledger.RoleDPO, From: "bench"}
		ref, _, err := l.Lookup(s.ctx, who, book.MustID(members.ID(0)))
		if err != nil {
			return err
		}
		why := ledger.Look{Reason: "a receipt", What: "history"}
		rows, _, err := l.History(s.ctx, who, ref, why, 0, 2)
		if err != nil {
			return err
		}
		index := rows[len(rows)-1].Index // the first is the look itself
		verifier, err := note.NewVerifier(l.PublicKey())
		if err != nil {
			return err
		}
		var looks, made []float64
		var file []byte
		for range size.each {
			begin := time.Now()
			if _, err := l.Member(s.ctx, who, ref, ledger.Look{Reason: "a receipt", What: "state"}); err != nil {
				return err
			}
			looks = append(looks, microseconds(time.Since(begin)))
			begin = time.Now()
			if _, file, err = l.Receipt(s.ctx, who, ref, why, "", index); err != nil {
				return err
			}
			made = append(made, microseconds(time.Since(begin)))
		}
		if _, _, err := receipt.Open(file, receipt.Keys{Log: verifier}); err != nil {
			return fmt.Errorf("the last receipt: %w", err)
		}
		look, whole := rounds.Median(looks), rounds.Median(made)
		s.info("a look %.0f µs, a receipt with its look %.0f µs, a file of %d bytes; %d of each in turn, beside %d members", look, whole, len(file), size.each, size.others)
		s.line("a receipt beyond its look", fmt.Sprintf("median %.0f µs", whole-look), "at most 1000 µs", whole-look <= 1000)
		return nil
	})
}
