package ledger

import (
	"context"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"consentledger/ledger/chain"
	"consentledger/ledger/consent"
)

// The registers (policies, API keys) are entries of the ledger's own, folded at start. They are
// small, and hold no member.

type apiKeyRow struct {
	APIKey
	secret [32]byte // keyed hash
}

// policyPart is how much of a policy file one entry holds.
const policyPart = 48 << 10

func (l *Ledger) loadRegisters() error {
	reg := consent.NewRegister()
	keys := make(map[string]apiKeyRow)
	operators := &consent.Operators{}
	var parts []byte
	err := l.eachOwn(topicRegisters, func(index uint64, at time.Time, body []byte) error {
		var b registerBody
		if err := decodeBody(body, &b); err != nil {
			return err
		}
		switch b.Kind {
		case kindPolicy:
			parts = append(parts, b.Data...)
			if b.Part+1 < b.Parts {
				return nil
			}
			p, err := consent.ParsePolicy(parts)
			if err != nil {
				return fmt.Errorf("%w: a policy in the register: %w", ErrCorrupt, err)
			}
			if reg, err = reg.With(p, at); err != nil {
				return fmt.Errorf("%w: a policy in the register: %w", ErrCorrupt, err)
			}
			parts = nil
		case kindRecipient:
			if b.Recipient == nil {
				return fmt.Errorf("%w: entry %d of the registers names no recipient", ErrCorrupt, index)
			}
			next, err := reg.WithRecipient(b.Recipient.change(), at)
			if err != nil {
				return fmt.Errorf("%w: a recipient in the register: %w", ErrCorrupt, err)
			}
			reg = next
		case kindOperatorAdded, kindOperatorHandover, kindOperatorEnded:
			next, err := b.Operator.apply(operators, b.Kind, at)
			if err != nil {
				return err
			}
			operators = next
		case kindKeyCreated:
			row := apiKeyRow{APIKey: APIKey{ID: b.KeyID, Role: b.Role, Name: b.Name, CreatedAt: at}}
			copy(row.secret[:], b.Secret)
			keys[b.KeyID] = row
		case kindKeyRevoked:
			row := keys[b.KeyID]
			row.RevokedAt = at
			keys[b.KeyID] = row
		default:
			return fmt.Errorf("%w: entry %d of the registers is of an unknown kind", ErrCorrupt, index)
		}
		return nil
	})
	if err != nil {
		return err
	}
	l.register.Store(reg)
	l.apiKeys.Store(&keys)
	l.operators.Store(operators)
	return nil
}

// eachOwn opens the entries of one of the ledger's own topics, in order.
func (l *Ledger) eachOwn(name string, f func(index uint64, at time.Time, body []byte) error) error {
	topic := l.commit.topics[name]
	for i := range topic.count {
		index, ok, err := l.tags.Find(topic.tagger.Tag(i))
		if err != nil {
			return fmt.Errorf("read the ledger's own entries: %w", err)
		}
		if !ok {
			return fmt.Errorf("%w: entry %d of %s is missing", ErrCorrupt, i, name)
		}
		raw, err := l.entry(index)
		if err != nil {
			return fmt.Errorf("read the ledger's own entries: %w", err)
		}
		e, err := chain.Parse(raw)
		if err != nil {
			return fmt.Errorf("%w: entry %d: %w", ErrCorrupt, index, err)
		}
		body, err := l.box.Open(nil, chain.Version, topic.key, e.Sealed)
		if err != nil {
			return fmt.Errorf("%w: entry %d of %s: %w", ErrCorrupt, index, name, err)
		}
		if err := f(index, time.UnixMilli(e.RecordedAtUnixMs), body); err != nil {
			return err
		}
	}
	return nil
}

// writeRegister makes a change to a register durable.
//
// dated, if not nil, is asked with the time that the entries will have, and can still say no.
func (l *Ledger) writeRegister(ctx context.Context, who Caller, dated func(time.Time) error, bodies ...registerBody) (Written, error) {
	if err := l.Health(); err != nil {
		return Written{}, err
	}
	s := &submission{pending: newPending(), dated: dated}
	for _, b := range bodies {
		b.By = who.KeyID
		body, err := encodeOwn(b)
		if err != nil {
			return Written{}, err
		}
		s.system = append(s.system, systemDraft{topicRegisters, "registers", body})
	}
	if err := l.queue.reserve(); err != nil {
		return Written{}, err
	}
	if err := l.markFor(ctx, s); err != nil {
		l.queue.release(1)
		return Written{}, err
	}
	l.queue.put(s)
	// The register in memory must follow what is durable, so a caller who goes away is not heeded.
	a, err := s.pending.Wait(context.WithoutCancel(ctx))
	if err != nil {
		return Written{}, err
	}
	return Written{Entries: a.Entries, RecordedAt: a.RecordedAt}, nil
}

// Policies lists every version of every policy, with when it was recorded. It is public.
func (l *Ledger) Policies() []consent.Posted { return l.register.Load().Policies() }

// AddPolicy records a version of a policy. It fails with a *consent.Refusal if the file does not
// parse or may not follow the versions that are there.
func (l *Ledger) AddPolicy(ctx context.Context, who Caller, yaml []byte) (*consent.Policy, Written, error) {
	if !who.May(ActRegister) {
		return nil, Written{}, ErrForbidden
	}
	p, err := consent.ParsePolicy(yaml)
	if err != nil {
		return nil, Written{}, err
	}
	w, err := l.onceWritten(ctx, who, func(ctx context.Context) (Written, error) { return l.addPolicy(ctx, who, yaml, p) })
	if err != nil {
		return nil, Written{}, err
	}
	return p, w, nil
}

func (l *Ledger) addPolicy(ctx context.Context, who Caller, yaml []byte, p *consent.Policy) (Written, error) {
	l.regMu.Lock()
	defer l.regMu.Unlock()
	base := l.register.Load()
	if _, err := base.With(p, l.now()); err != nil {
		return Written{}, err
	}
	var bodies []registerBody
	for piece := range slices.Chunk(yaml, policyPart) {
		bodies = append(bodies, registerBody{Kind: kindPolicy, Part: uint64(len(bodies)), Data: piece})
	}
	for i := range bodies {
		bodies[i].Parts = uint64(len(bodies))
	}
	// A notice period goes by the time that the entry gets, which may be of the next day.
	w, err := l.writeRegister(ctx, who, func(at time.Time) error { _, err := base.With(p, at); return err }, bodies...)
	if err != nil {
		return Written{}, err
	}
	reg, err := base.With(p, w.RecordedAt)
	if err != nil {
		return Written{}, fmt.Errorf("%w: a policy was recorded that may not follow the others: %w", ErrCorrupt, err)
	}
	l.register.Store(reg)
	return w, nil
}

// API tokens: cl_live_<id>_<secret><checksum>. The checksum lets a typing error be told from a
// revoked key, and lets a scanner for leaked secrets be sure of what it has found.
const (
	tokenPrefix   = "cl_live_"
	keyIDBytes    = 10
	secretBytes   = 32
	checksumChars = 7
)

var tokenEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

func checksum(s string) string {
	return tokenEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(s))))
}

// parseToken splits a token into its id and secret.
func parseToken(token string) (id string, secret [secretBytes]byte, ok bool) {
	rest, ok := strings.CutPrefix(token, tokenPrefix)
	if !ok {
		return "", secret, false
	}
	id, tail, ok := strings.Cut(rest, "_")
	if !ok || len(tail) != tokenEncoding.EncodedLen(secretBytes)+checksumChars || len(id) != tokenEncoding.EncodedLen(keyIDBytes) {
		return "", secret, false
	}
	body, sum := token[:len(token)-checksumChars], token[len(token)-checksumChars:]
	if checksum(body) != sum {
		return "", secret, false
	}
	raw, err := tokenEncoding.DecodeString(tail[:len(tail)-checksumChars])
	if err != nil || len(raw) != secretBytes {
		return "", secret, false
	}
	copy(secret[:], raw)
	return "key_" + id, secret, true
}

// ParseRole reads a role's name.
func ParseRole(s string) (Role, error) {
	switch r := Role(s); r {
	case RoleWriter, RoleReader, RoleDPO, RoleAuditor, RoleAdmin:
		return r, nil
	}
	return "", &consent.Refusal{Kind: consent.Invalid, Code: "unknown_role", Field: "role", Message: "role is one of writer, reader, dpo, auditor, admin"}
}

// CreateAPIKey makes a key of a role. The token is returned this once; the ledger keeps only a
// keyed hash of its secret.
func (l *Ledger) CreateAPIKey(ctx context.Context, who Caller, role Role, name string) (APIKey, string, Written, error) {
	fail := func(err error) (APIKey, string, Written, error) { return APIKey{}, "", Written{}, err }
	if !who.May(ActRegister) {
		return fail(ErrForbidden)
	}
	if _, err := ParseRole(string(role)); err != nil {
		return fail(err)
	}
	if len(name) == 0 || len(name) > 64 || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) || unicode.Is(unicode.Mn, r) }) {
		return fail(&consent.Refusal{Kind: consent.Invalid, Code: "invalid_name", Field: "name", Message: "name is 1 to 64 bytes of text that tells this key from the others, such as shop-backend"})
	}
	var key APIKey
	var token string
	w, err := l.onceWritten(ctx, who, func(ctx context.Context) (w Written, err error) {
		key, token, w, err = l.createAPIKey(ctx, who, role, name)
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

func (l *Ledger) createAPIKey(ctx context.Context, who Caller, role Role, name string) (APIKey, string, Written, error) {
	fail := func(err error) (APIKey, string, Written, error) { return APIKey{}, "", Written{}, err }
	var raw [keyIDBytes + secretBytes]byte
	if _, err := io.ReadFull(l.o.Rand, raw[:]); err != nil {
		return fail(fmt.Errorf("draw an API key: %w", err))
	}
	id := tokenEncoding.EncodeToString(raw[:keyIDBytes])
	secret := raw[keyIDBytes:]
	token := tokenPrefix + id + "_" + tokenEncoding.EncodeToString(secret)
	token += checksum(token)
	row := apiKeyRow{APIKey: APIKey{ID: "key_" + id, Role: role, Name: name}, secret: l.apiKey.MAC(secret)}
	clear(raw[:])
	if c := claimOf(ctx); c != nil {
		var err error
		if c.extra, err = encodeBody(madeKey{row.ID, token}); err != nil {
			return fail(err)
		}
		defer clear(c.extra)
	}

	l.regMu.Lock()
	defer l.regMu.Unlock()
	w, err := l.writeRegister(ctx, who, nil, registerBody{Kind: kindKeyCreated, KeyID: row.ID, Role: role, Name: name, Secret: row.secret[:]})
	if err != nil {
		return fail(err)
	}
	row.CreatedAt = w.RecordedAt
	l.setAPIKey(row)
	return row.APIKey, token, w, nil
}

func (l *Ledger) setAPIKey(row apiKeyRow) {
	next := maps.Clone(*l.apiKeys.Load())
	next[row.ID] = row
	l.apiKeys.Store(&next)
}

// RevokeAPIKey ends a key. It holds at once, and for good.
func (l *Ledger) RevokeAPIKey(ctx context.Context, who Caller, id string) (Written, error) {
	if !who.May(ActRegister) {
		return Written{}, ErrForbidden
	}
	l.regMu.Lock()
	defer l.regMu.Unlock()
	row, ok := (*l.apiKeys.Load())[id]
	if !ok || !row.RevokedAt.IsZero() {
		return Written{}, ErrUnknownKey
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
	if !who.May(ActRegister) {
		return nil, ErrForbidden
	}
	var out []APIKey
	for _, row := range *l.apiKeys.Load() {
		out = append(out, row.APIKey)
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

// localKeyID is that of a caller beside the ledger, who has no key.
const localKeyID = "local"

// Authenticate says who a token belongs to, or ErrUnauthorized.
func (l *Ledger) Authenticate(token, from string) (Caller, error) {
	id, secret, ok := parseToken(token)
	if !ok {
		return Caller{}, ErrUnauthorized
	}
	row, ok := (*l.apiKeys.Load())[id]
	if !ok || !equal32(l.apiKey.MAC(secret[:]), row.secret) || !row.RevokedAt.IsZero() {
		return Caller{}, ErrUnauthorized
	}
	return Caller{KeyID: row.ID, Role: row.Role, From: from}, nil
}
