package client

import (
	"context"
	"fmt"
)

// The registers: what is public, and what role admin changes.

// Policies are all versions of all policies.
func (c *Client) Policies(ctx context.Context, options ...Option) (*Policies, error) {
	return ask[Policies](ctx, c, getting("/v1/policies"), options)
}

// PostPolicy posts a version: the policy file itself, texts inline.
func (c *Client) PostPolicy(ctx context.Context, file []byte, options ...Option) (*PolicyAnswer, error) {
	k := call{method: "POST", path: "/v1/policies", media: "application/yaml", body: file, writes: true}
	return ask[PolicyAnswer](ctx, c, k, options)
}

// Recipients is the history of who gets data.
func (c *Client) Recipients(ctx context.Context, options ...Option) (*Recipients, error) {
	return ask[Recipients](ctx, c, getting("/v1/recipients"), options)
}

// ChangeRecipient changes a recipient between two versions of a policy.
func (c *Client) ChangeRecipient(ctx context.Context, body RecipientChange, options ...Option) (*RecipientAnswer, error) {
	return ask[RecipientAnswer](ctx, c, writing("/v1/recipients", body), options)
}

// ProcessingRegister is the register of processing, a row a purpose.
func (c *Client) ProcessingRegister(ctx context.Context, options ...Option) (*ProcessingRegister, error) {
	return ask[ProcessingRegister](ctx, c, getting("/v1/processing-register"), options)
}

// Keys are the API keys, without their secrets.
func (c *Client) Keys(ctx context.Context, options ...Option) (*Keys, error) {
	return ask[Keys](ctx, c, getting("/v1/keys"), options)
}

// CreateKey makes an API key. The answer shows it this once.
func (c *Client) CreateKey(ctx context.Context, body NewKey, options ...Option) (*CreatedKey, error) {
	return ask[CreatedKey](ctx, c, writing("/v1/keys", body), options)
}

// RevokeKey ends an API key, key_…, at once.
func (c *Client) RevokeKey(ctx context.Context, key string, options ...Option) (*RevokedKey, error) {
	return ask[RevokedKey](ctx, c, deleting("/v1/keys/%s", key), options)
}

// Operators are the people who work with the ledger.
func (c *Client) Operators(ctx context.Context, options ...Option) (*Operators, error) {
	return ask[Operators](ctx, c, getting("/v1/operators"), options)
}

// AddOperator adds somebody to the register.
func (c *Client) AddOperator(ctx context.Context, body NewOperator, options ...Option) (*CreatedOperator, error) {
	return ask[CreatedOperator](ctx, c, writing("/v1/operators", body), options)
}

// HandOver passes the responsibility for customer information on from an operator, opr_….
func (c *Client) HandOver(ctx context.Context, from string, body HandoverOf, options ...Option) (*Recorded, error) {
	return ask[Recorded](ctx, c, writing("", body).at("/v1/operators/%s/handover", from), options)
}

// EndOperator ends an operator, opr_…: they can do nothing from now on.
func (c *Client) EndOperator(ctx context.Context, operator string, options ...Option) (*Recorded, error) {
	return ask[Recorded](ctx, c, deleting("/v1/operators/%s", operator), options)
}

// Entry is an entry as it is stored, opaque, with its proof. The proof is to be verified with ledger/chain or any
// other verifier of RFC 6962; this client does not.
func (c *Client) Entry(ctx context.Context, index int64, options ...Option) (*EntryProof, error) {
	return ask[EntryProof](ctx, c, getting(fmt.Sprintf("/v1/entries/%d", index)), options)
}

// Destruction says of the destruction whose entry has an index, that of class destructions in the answer to a
// withdrawal, whether it is final.
func (c *Client) Destruction(ctx context.Context, index int64, options ...Option) (*Destruction, error) {
	return ask[Destruction](ctx, c, getting(fmt.Sprintf("/v1/destructions/%d", index)), options)
}

// AwaitingCertificates are the destructions that nobody asked for and whose certificates wait for the officer, the
// oldest first.
func (c *Client) AwaitingCertificates(ctx context.Context, page Page, options ...Option) (*Awaiting, error) {
	return ask[Awaiting](ctx, c, page.of(getting("/v1/destructions")), options)
}

// WaitingCertificate is one of those, to be sent to the member whose ref it names, with the notice.
func (c *Client) WaitingCertificate(ctx context.Context, index int64, reason string, options ...Option) (*WaitingCertificate, error) {
	return ask[WaitingCertificate](ctx, c, getting(fmt.Sprintf("/v1/destructions/%d/certificate", index)).because(reason), options)
}

// Checkpoint is the newest signed tree head, a signed note. Keep some: a rewritten history shows against them.
func (c *Client) Checkpoint(ctx context.Context, options ...Option) (string, error) {
	k := getting("/checkpoint")
	k.accept = "text/plain"
	b, err := c.text(ctx, k, options)
	return string(b), err
}

// Ready says whether a write would be taken; a *Problem or another error says why not.
func (c *Client) Ready(ctx context.Context, options ...Option) error {
	_, err := ask[Health](ctx, c, getting("/readyz"), options)
	return err
}

// Witnesses are those who sign the ledger's heads, and how many of them must.
func (c *Client) Witnesses(ctx context.Context, options ...Option) (*Witnesses, error) {
	return ask[Witnesses](ctx, c, getting("/v1/witnesses"), options)
}

// ChangeWitnesses adds a witness, or says how many must sign, or both.
func (c *Client) ChangeWitnesses(ctx context.Context, body NewWitness, options ...Option) (*WitnessAnswer, error) {
	return ask[WitnessAnswer](ctx, c, writing("/v1/witnesses", body), options)
}

// RemoveWitness takes a witness, wit_…, out of the register.
func (c *Client) RemoveWitness(ctx context.Context, witness string, options ...Option) (*RemovedWitness, error) {
	return ask[RemovedWitness](ctx, c, deleting("/v1/witnesses/%s", witness), options)
}
