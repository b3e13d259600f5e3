package ledger

import (
	"context"
	"slices"
	"time"

	"consentledger/ledger/consent"
)

// remains refuses an admin who would end themselves and leave nobody who can make keys or invite people. Whoever ends
// another is still there, and whoever is beside the ledger needs no key. l.regMu is held.
func (l *Ledger) remains(ctx context.Context, who Caller, ends string) error {
	if who.KeyID != ends || who.Role != RoleAdmin {
		return nil
	}
	for _, row := range *l.apiKeys.Load() {
		// One for some policies only makes no keys.
		if row.ID != ends && row.Role == RoleAdmin && row.Policies == nil && row.RevokedAt.IsZero() {
			return nil
		}
	}
	for _, o := range l.operators.Load().Rows() {
		if o.ID == ends || Role(o.Role) != RoleAdmin || !o.EndedAt.IsZero() {
			continue
		}
		// Who was invited, or has only enrolled, may never come: what they sign in with is then one record. Each
		// time that somebody signs in adds one, and an invitation begins anew.
		cameIn := false
		err := l.readOperator(ctx, o.ID, func(m *member, _ time.Time) error {
			cameIn = slices.ContainsFunc(m.keys, func(k *memberKey) bool { return k.name.Class == consent.SignInClass && k.count > 1 })
			return nil
		})
		if err != nil {
			return err
		}
		if cameIn {
			return nil
		}
	}
	return &consent.Refusal{Kind: consent.Conflict, Code: "last_admin", Message: "nobody would be left who has been in and can make keys or invite people; first make another key of role admin with POST /v1/keys, or end this one on the server's own machine, with consentledger key revoke or operator end"}
}
