package client

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
)

// The calls of a shop's backend: roles writer, reader and dpo.

// Consent records what a member decided.
func (c *Client) Consent(ctx context.Context, body Consent, options ...Option) (*ConsentAnswer, error) {
	return ask[ConsentAnswer](ctx, c, writing("/v1/consents", body), options)
}

// Withdraw takes consents back, or ends a membership. What was destroyed is gone when it returns.
func (c *Client) Withdraw(ctx context.Context, body Withdrawal, options ...Option) (*WithdrawalAnswer, error) {
	return ask[WithdrawalAnswer](ctx, c, writing("/v1/withdrawals", body), options)
}

// Correct records that items are wrong; they are suspended until the outcome.
func (c *Client) Correct(ctx context.Context, body Correction, options ...Option) (*CorrectionAnswer, error) {
	return ask[CorrectionAnswer](ctx, c, writing("/v1/corrections", body), options)
}

// DecideCorrection records the outcome of a correction, cor_….
func (c *Client) DecideCorrection(ctx context.Context, correction string, body CorrectionOutcome, options ...Option) (*OutcomeAnswer, error) {
	return ask[OutcomeAnswer](ctx, c, writing("", body).at("/v1/corrections/%s/outcome", correction), options)
}

// Disclose records a disclosure, if it may be made. A *Problem of status 403 says why not.
func (c *Client) Disclose(ctx context.Context, body Disclosure, options ...Option) (*DisclosureAnswer, error) {
	return ask[DisclosureAnswer](ctx, c, writing("/v1/disclosures", body), options)
}

// EndEvent ends an order or event of one member, or without MemberID for everybody; then only Entries and
// RecordedAt are there, and what it ends is destroyed soon after.
func (c *Client) EndEvent(ctx context.Context, body EventEnd, options ...Option) (*EventAnswer, error) {
	return ask[EventAnswer](ctx, c, writing("/v1/events", body), options)
}

// Activity records that a member used the service.
func (c *Client) Activity(ctx context.Context, body Activity, options ...Option) (*Recorded, error) {
	return ask[Recorded](ctx, c, writing("/v1/activity", body), options)
}

// Reactivate brings a dormant member back.
func (c *Client) Reactivate(ctx context.Context, body Reactivation, options ...Option) (*Recorded, error) {
	return ask[Recorded](ctx, c, writing("/v1/reactivations", body), options)
}

// Signal records what a browser said by itself.
func (c *Client) Signal(ctx context.Context, body Signal, options ...Option) (*Recorded, error) {
	return ask[Recorded](ctx, c, writing("/v1/signals", body), options)
}

// Decide asks whether a purpose may use items of a member.
func (c *Client) Decide(ctx context.Context, question Question, options ...Option) (*Decided, error) {
	return ask[Decided](ctx, c, posting("/v1/decisions", question), options)
}

// Lookup tells a member's ref, mbr_…, and state.
func (c *Client) Lookup(ctx context.Context, body Lookup, options ...Option) (*LookupAnswer, error) {
	return ask[LookupAnswer](ctx, c, posting("/v1/lookups", body), options)
}

// Member is a member's state. The reason is recorded, with who looked and when, before the answer; a look that
// is sent again because its answer was lost is recorded twice.
func (c *Client) Member(ctx context.Context, ref, reason string, options ...Option) (*MemberView, error) {
	return ask[MemberView](ctx, c, getting("").at("/v1/members/%s", ref).because(reason), options)
}

// A Page is a part of a list, newest first.
type Page struct {
	Cursor string // Next of the page before; empty: the first
	Limit  int    // at most 500; 0: 100
}

func (p Page) of(k call) call {
	k.query = url.Values{}
	if p.Cursor != "" {
		k.query.Set("cursor", p.Cursor)
	}
	if p.Limit != 0 {
		k.query.Set("limit", strconv.Itoa(p.Limit))
	}
	return k
}

// History is a page of a member's entries. Every page is a look.
func (c *Client) History(ctx context.Context, ref, reason string, page Page, options ...Option) (*History, error) {
	return ask[History](ctx, c, page.of(getting("").at("/v1/members/%s/history", ref).because(reason)), options)
}

// Export is all that is held of a member.
func (c *Client) Export(ctx context.Context, ref, reason string, options ...Option) (*Export, error) {
	return ask[Export](ctx, c, getting("").at("/v1/members/%s/export", ref).because(reason), options)
}

// CompleteExport is Export with what shows to who has the log that it is everything: consentledger verify --export.
// Whoever has that can tell the member's entries in the log from others.
func (c *Client) CompleteExport(ctx context.Context, ref, reason string, options ...Option) (*Export, error) {
	k := getting("").at("/v1/members/%s/export", ref).because(reason)
	k.query = url.Values{"complete": {"true"}}
	return ask[Export](ctx, c, k, options)
}

// ExportJSONLD is a member's consents as records of ISO/IEC TS 27560, in JSON-LD.
func (c *Client) ExportJSONLD(ctx context.Context, ref, reason string, options ...Option) ([]byte, error) {
	k := getting("").at("/v1/members/%s/export", ref).because(reason)
	k.accept = "application/ld+json"
	return c.text(ctx, k, options)
}

// Receipt is the receipt of one entry of a member, as a file that anybody can verify without the ledger:
// consentledger verify --receipt.
func (c *Client) Receipt(ctx context.Context, ref string, index int64, reason string, options ...Option) ([]byte, error) {
	k := getting("").at("/v1/members/%s/entries/"+strconv.FormatInt(index, 10)+"/receipt", ref).because(reason)
	k.accept = "text/plain"
	return c.text(ctx, k, options)
}

// text makes a call whose answer is taken as it is.
func (c *Client) text(ctx context.Context, k call, options []Option) ([]byte, error) {
	r, err := c.do(ctx, &k, options)
	if err != nil {
		return nil, err
	}
	if r.media != k.accept {
		return nil, fmt.Errorf("consentledger: %s %s: the answer is not the ledger's (%q)", k.method, k.path, r.media)
	}
	return r.body, nil
}
