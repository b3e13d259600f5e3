package ledger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"consentledger/ledger/consent"
)

// API keys are entries of the register. The ledger holds no key's secret, only a keyed hash of it.

type apiKeyRow struct {
	APIKey
	secret [32]byte // keyed hash; all zero if a certificate stands for the key
}

// ParseRole reads a role's name.
func ParseRole(s string) (Role, error) {
	switch r := Role(s); r {
	case RoleWriter, RoleReader, RoleDPO, RoleAuditor, RoleAdmin:
		return r, nil
	}
	return "", &consent.Refusal{Kind: consent.Invalid, Code: "unknown_role", Field: "role", Message: "role is one of writer, reader, dpo, auditor, admin"}
}

// NewAPIKey is what a key is to be.
type NewAPIKey struct {
	Role     Role
	Name     string
	Policies []string // the only ones that it may touch; nil: all

	// Certificate, if not empty, is the name in a client's certificate that stands for the key. The
	// key then has no token.
	Certificate string
}

// maxScope bounds the policies that a key names.
const maxScope = 32

func (n *NewAPIKey) check() error {
	if _, err := ParseRole(string(n.Role)); err != nil {
		return err
	}
	if name := n.Name; len(name) == 0 || len(name) > 64 || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) || unicode.Is(unicode.Mn, r) }) {
		return &consent.Refusal{Kind: consent.Invalid, Code: "invalid_name", Field: "name", Message: "name is 1 to 64 bytes of text that tells this key from the others, such as shop-backend"}
	}
	for _, p := range n.Policies {
		if len(p) == 0 || len(p) > 64 || strings.Trim(p, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return &consent.Refusal{Kind: consent.Invalid, Code: "invalid_policies", Field: "policies", Message: "policies are the ids of the policies that the key may touch, of a to z, 0 to 9 and -; leave it out for all"}
		}
	}
	if len(n.Policies) > maxScope || n.Policies != nil && len(n.Policies) == 0 {
		return &consent.Refusal{Kind: consent.Invalid, Code: "invalid_policies", Field: "policies", Message: "name 1 to 32 policies that the key may touch; leave it out for all"}
	}
	if c := n.Certificate; len(c) > 255 || strings.ContainsFunc(c, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return &consent.Refusal{Kind: consent.Invalid, Code: "invalid_certificate", Field: "certificate", Message: "certificate is a DNS name or URI as it stands in the client's certificate, of at most 255 visible ASCII characters"}
	}
	return nil
}

// CreateAPIKey makes a key. Its token is returned this once; the ledger keeps only a keyed hash of its
// secret. A key that a certificate stands for has none.
//
// Two keys of one name may be live, so that one can take the other's place: they have the same role
// and policies.
func (l *Ledger) CreateAPIKey(ctx context.Context, who Caller, n NewAPIKey) (APIKey, string, Written, error) {
	fail := func(err error) (APIKey, string, Written, error) { return APIKey{}, "", Written{}, err }
	if err := who.must(ActRegister); err != nil {
		return fail(err)
	}
	if err := n.check(); err != nil {
		return fail(err)
	}
	if n.Policies != nil { // in one order, so that two keys of a name can be held against each other
		n.Policies = slices.Compact(slices.Sorted(slices.Values(n.Policies)))
	}
	var key APIKey
	var token string
	w, err := l.onceWritten(ctx, who, func(ctx context.Context) (w Written, err error) {
		key, token, w, err = l.createAPIKey(ctx, who, n)
		return w, err
	})
	if err != nil || !w.Replayed {
		return key, token, w, err
	}
	// The token is told again, as long as the answer can be had: who has lost it has no other way to it.
	var made madeKey
	if err := decodeBody(w.extra, &made); err != nil {
		return fail(err)
	}
	return (*l.apiKeys.Load())[made.ID].APIKey, made.Token, w, nil
}

// madeKey is what the answer to a new key says, to be told again.
type madeKey struct {
	ID    string `cbor:"1,keyasint"`
	Token string `cbor:"2,keyasint"`
}

func (l *Ledger) createAPIKey(ctx context.Context, who Caller, n NewAPIKey) (APIKey, string, Written, error) {
	fail := func(err error) (APIKey, string, Written, error) { return APIKey{}, "", Written{}, err }
	var raw [keyIDBytes + secretBytes]byte
	if _, err := io.ReadFull(l.o.Rand, raw[:]); err != nil {
		return fail(fmt.Errorf("draw an API key: %w", err))
	}
	id := tokenEncoding.EncodeToString(raw[:keyIDBytes])
	secret := raw[keyIDBytes:]
	token := tokenPrefix + id + "_" + tokenEncoding.EncodeToString(secret)
	token += checksum(token)
	row := apiKeyRow{
		APIKey: APIKey{ID: "key_" + id, Role: n.Role, Name: n.Name, Policies: n.Policies, Certificate: n.Certificate},
		secret: l.apiKey.MAC(secret),
	}
	clear(raw[:])
	if n.Certificate != "" {
		token, row.secret = "", [32]byte{}
	}
	if c := claimOf(ctx); c != nil {
		var err error
		if c.extra, err = encodeBody(madeKey{row.ID, token}); err != nil {
			return fail(err)
		}
		defer clear(c.extra)
	}

	l.regMu.Lock()
	defer l.regMu.Unlock()
	if err := l.keyFits(&n); err != nil {
		return fail(err)
	}
	body := registerBody{Kind: kindKeyCreated, KeyID: row.ID, Role: n.Role, Name: n.Name, Secret: row.secret[:], Policies: n.Policies, Certificate: n.Certificate}
	if n.Certificate != "" {
		body.Secret = nil
	}
	w, err := l.writeRegister(ctx, who, nil, body)
	if err != nil {
		return fail(err)
	}
	row.CreatedAt = w.RecordedAt
	l.setAPIKey(row)
	return row.APIKey, token, w, nil
}

// keyFits holds a new key against those that are live.
func (l *Ledger) keyFits(n *NewAPIKey) error {
	reg := l.register.Load()
	for _, p := range n.Policies {
		if !slices.ContainsFunc(reg.Policies(), func(v consent.Posted) bool { return v.ID() == p }) {
			return &consent.Refusal{Kind: consent.Invalid, Code: "invalid_policies", Field: "policies", Message: "there is no policy of that id; GET /v1/policies lists them"}
		}
	}
	same := 0
	for _, row := range *l.apiKeys.Load() {
		if !row.RevokedAt.IsZero() {
			continue
		}
		if n.Certificate != "" && row.Certificate == n.Certificate {
			return &consent.Refusal{Kind: consent.Conflict, Code: "certificate_taken", Field: "certificate", Message: "a live key has this certificate's name already; revoke that one first"}
		}
		if row.Name != n.Name {
			continue
		}
		if same++; row.Role != n.Role || !slices.Equal(row.Policies, n.Policies) {
			return &consent.Refusal{Kind: consent.Conflict, Code: "key_name_taken", Field: "name", Message: "a live key of this name has another role or other policies; take another name, or revoke that one first"}
		}
	}
	if same >= 2 {
		return &consent.Refusal{Kind: consent.Conflict, Code: "too_many_keys", Field: "name", Message: "two keys of this name are live, enough to change from one to the other; revoke the old one first"}
	}
	return nil
}

func (l *Ledger) setAPIKey(row apiKeyRow) {
	next := maps.Clone(*l.apiKeys.Load())
	next[row.ID] = row
	l.apiKeys.Store(&next)
}

// RevokeAPIKey ends a key. It holds at once, and for good. The last admin cannot end themselves.
func (l *Ledger) RevokeAPIKey(ctx context.Context, who Caller, id string) (Written, error) {
	if err := who.must(ActRegister); err != nil {
		return Written{}, err
	}
	l.regMu.Lock()
	defer l.regMu.Unlock()
	if l.revoked(who.KeyID) {
		return Written{}, ErrUnauthorized
	}
	row, ok := (*l.apiKeys.Load())[id]
	if !ok || !row.RevokedAt.IsZero() {
		return Written{}, ErrUnknownKey
	}
	if err := l.remains(ctx, who, id); err != nil {
		return Written{}, err
	}
	// In memory first: from the moment that somebody asked, the key must not work.
	row.RevokedAt = l.now()
	l.setAPIKey(row)
	w, err := l.writeRegister(ctx, who, nil, registerBody{Kind: kindKeyRevoked, KeyID: id})
	if err != nil {
		if !errors.Is(err, ErrUncertain) {
			row.RevokedAt = time.Time{}
			l.setAPIKey(row)
		}
		return Written{}, err
	}
	row.RevokedAt = w.RecordedAt
	l.setAPIKey(row)
	return w, nil
}

// APIKeys lists the keys, oldest first.
func (l *Ledger) APIKeys(who Caller) ([]APIKey, error) {
	if err := who.must(ActRegister); err != nil {
		return nil, err
	}
	var out []APIKey
	for _, row := range *l.apiKeys.Load() {
		key := row.APIKey
		key.LastUsed = l.keyUse.last(key.ID)
		out = append(out, key)
	}
	slices.SortFunc(out, func(a, b APIKey) int {
		if c := a.CreatedAt.Compare(b.CreatedAt); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out, nil
}

// Lives says whether the caller's key has not been revoked since they were authenticated. A call
// that takes long, a batch above all, asks again before it writes.
func (l *Ledger) Lives(who Caller) bool {
	if who.KeyID == localKeyID {
		return true
	}
	if o, ok := l.operators.Load().Find(who.KeyID); ok {
		return o.EndedAt.IsZero()
	}
	row, ok := (*l.apiKeys.Load())[who.KeyID]
	return ok && row.RevokedAt.IsZero()
}

// revoked says whether a key was, or an operator has ended, and is asked a last time by the commit loop:
// nothing that they asked for is written after the answer to that. Of who is in no register it says no.
func (l *Ledger) revoked(id string) bool {
	if o, ok := l.operators.Load().Find(id); ok {
		return !o.EndedAt.IsZero()
	}
	row, ok := (*l.apiKeys.Load())[id]
	return ok && !row.RevokedAt.IsZero()
}

// localKeyID is that of a caller beside the ledger, who has no key.
const localKeyID = "local"

// Authenticate says who a token belongs to, or ErrUnauthorized: of an unknown id, a wrong secret and a
// key that was revoked alike, and after the same work.
func (l *Ledger) Authenticate(token, from string) (Caller, error) {
	id, secret, ok := parseToken(token)
	if !ok {
		return Caller{}, ErrUnauthorized
	}
	row, known := (*l.apiKeys.Load())[id]
	right := equal32(l.apiKey.MAC(secret[:]), row.secret)
	clear(secret[:])
	if !known || !right || row.Certificate != "" || !row.RevokedAt.IsZero() {
		return Caller{}, ErrUnauthorized
	}
	return l.callerOf(&row, from), nil
}

// AuthenticateCertificate says whose key a verified client certificate stands for, by one of its names,
// or ErrUnauthorized. A certificate with the names of two keys stands for neither: which of the two roles
// it has must not be chance.
func (l *Ledger) AuthenticateCertificate(names []string, from string) (Caller, error) {
	var found *apiKeyRow
	for _, row := range *l.apiKeys.Load() {
		if row.Certificate == "" || !row.RevokedAt.IsZero() || !slices.Contains(names, row.Certificate) {
			continue
		}
		if found != nil {
			return Caller{}, ErrUnauthorized
		}
		found = &row
	}
	if found == nil {
		return Caller{}, ErrUnauthorized
	}
	return l.callerOf(found, from), nil
}

func (l *Ledger) callerOf(row *apiKeyRow, from string) Caller {
	l.keyUse.note(row.ID, l.o.Clock())
	return Caller{KeyID: row.ID, Role: row.Role, From: from, Policies: row.Policies}
}
