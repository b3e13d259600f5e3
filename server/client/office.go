package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
)

// The calls of the privacy officer: role dpo.

// KeptReceipt is Receipt of an entry that is kept apart, on the ground that keeps it.
func (c *Client) KeptReceipt(ctx context.Context, ref string, index int64, reason, ground string, options ...Option) ([]byte, error) {
	k := getting("").at("/v1/members/%s/entries/"+strconv.FormatInt(index, 10)+"/receipt", ref).because(reason)
	k.accept, k.ground = "text/plain", ground
	return c.text(ctx, k, options)
}

// Kept is what is kept apart of a member who has withdrawn or is dormant, on one ground: the name of the
// retention class whose law keeps it.
func (c *Client) Kept(ctx context.Context, ref, reason, ground string, options ...Option) (*KeptApart, error) {
	k := getting("").at("/v1/members/%s/kept", ref).because(reason)
	k.ground = ground
	return ask[KeptApart](ctx, c, k, options)
}

// PlaceHold places a legal hold: until its end nothing of these classes is destroyed.
func (c *Client) PlaceHold(ctx context.Context, ref string, body Hold, options ...Option) (*HoldAnswer, error) {
	return ask[HoldAnswer](ctx, c, writing("", body).at("/v1/members/%s/holds", ref), options)
}

// ReleaseHold ends a hold, hld_…, and destroys what it had put off.
func (c *Client) ReleaseHold(ctx context.Context, ref, hold string, options ...Option) (*ReleaseAnswer, error) {
	return ask[ReleaseAnswer](ctx, c, deleting("/v1/members/%s/holds/%s", ref, hold), options)
}

func deleting(format string, names ...string) call {
	return call{method: http.MethodDelete, writes: true}.at(format, names...)
}

// Notices are those of no member in particular, audits of partners among them.
func (c *Client) Notices(ctx context.Context, page Page, options ...Option) (*History, error) {
	return ask[History](ctx, c, page.of(getting("/v1/notices")), options)
}

// AnonymisedDisclosures are those of no member.
func (c *Client) AnonymisedDisclosures(ctx context.Context, page Page, options ...Option) (*History, error) {
	return ask[History](ctx, c, page.of(getting("/v1/disclosures")), options)
}

// Notice records that somebody was told something, or that it was tried.
func (c *Client) Notice(ctx context.Context, body Notice, options ...Option) (*NoticeAnswer, error) {
	return ask[NoticeAnswer](ctx, c, writing("/v1/notices", body), options)
}

// Request records that a member asks for a right; the answer says until when it is to be answered.
func (c *Client) Request(ctx context.Context, body Request, options ...Option) (*RequestAnswer, error) {
	return ask[RequestAnswer](ctx, c, writing("/v1/requests", body), options)
}

// AnswerRequest records the outcome of a request, rqt_….
func (c *Client) AnswerRequest(ctx context.Context, request string, body RequestOutcome, options ...Option) (*Recorded, error) {
	return ask[Recorded](ctx, c, writing("", body).at("/v1/requests/%s/outcome", request), options)
}

// Due is what somebody has to do within a time such as 30d or 2mo; empty: 30d.
func (c *Client) Due(ctx context.Context, within, reason string, options ...Option) (*DueList, error) {
	k := getting("/v1/due").because(reason)
	if within != "" {
		k.query = url.Values{"within": {within}}
	}
	return ask[DueList](ctx, c, k, options)
}
