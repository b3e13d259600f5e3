// Package client calls a consentledger server. A shop's backend uses it like this:
//
//	c, err := client.New("https://ledger.example", client.Options{Key: client.NewSecret(os.Getenv("CONSENT_KEY"))})
//	…
//	answer, err := c.Consent(ctx, client.Consent{MemberID: id, Enrol: true, Policy: "haim", …})
//	if client.HasCode(err, "reconsent_required") { … }
//
// Every call that writes carries an idempotency key, and is sent again under the same key, with the same
// bytes, when its answer is lost or says that the outcome is unknown: it is recorded once. Calls are also sent
// again when the server says that it is busy or stops, or that there were too many, no sooner than it asks for.
// What the server refuses is a [*Problem] and is not sent again. So is what passes by itself, once patience has ended,
// and the code already_done, which is no refusal: it is recorded, and only its first answer is gone. A call whose outcome is still unknown when
// patience or the context ends is an [*Unknown] with its idempotency key: send the same call again with
// [IdempotencyKey], after a restart too.
//
// The module has no address that go get knows. From a clone beside your own module:
//
//	go mod edit -require consentledger@v0.0.0 -replace consentledger=../consentledger && go mod tidy
//
// Give each thing that happens in the shop an idempotency key of its own, and store it with the thing before the call
// is made, with the time that it happened: occurred_at is part of the body, and another body under the same key is
// refused. Nothing in the key may be the member's; a number of the order and what happened to it will do. Then a
// restart in the middle is no case of its own: make the same call again.
//
// The models are generated from server/api/openapi.yaml, which is the contract. A field that is not needed is
// left out where it has its zero value. server/API.md shows each call by example, ledger/consent/SHOPDAY.md when to
// make it.
package client

//go:generate go tool -modfile=../../.ci/tools/go.mod oapi-codegen -config oapi-codegen.yaml ../api/openapi.yaml
