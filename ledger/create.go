package ledger

import (
	"fmt"
	"io"

	"consentledger/crypto/keyring"
	"consentledger/crypto/rootkey"
	"consentledger/crypto/seal"
	"consentledger/ledger/chain"
	"consentledger/ledger/store"
)

// Genesis is what a new ledger starts from.
type Genesis struct {
	Origin string
	// RootKey makes the keeper of the first root key, once the ledger's id is drawn.
	RootKey func(id rootkey.LedgerID, generation uint64, key seal.Key) (RootKeeper, error)
}

// firstGeneration is that of a new ledger's root key.
const firstGeneration = 1

// Create writes an empty ledger into an empty store and directory, and opens it. o.Root is not
// looked at: the keeper that Genesis makes is used. A ledger that is there already is refused.
//
// If it fails, what it has made so far is not a ledger: the caller removes it.
func Create(o Options, g Genesis) (*Ledger, error) {
	o = o.withDefaults()
	if _, err := chain.ParseOrigin(g.Origin); err != nil {
		return nil, err
	}
	var id Identity
	id.Format, id.Origin = FormatVersion, g.Origin
	if _, err := io.ReadFull(o.Rand, id.ID[:]); err != nil {
		return nil, fmt.Errorf("draw the ledger's id: %w", err)
	}
	ring := keyring.New(id.ID, pageReader{o.Store}, keyring.Options{Rand: o.Rand})
	batch := ring.Begin()
	for _, name := range append([]string{systemPath, systemRef, systemAPI, systemSeed}, ownTopics...) {
		key, err := seal.NewKey(o.Rand)
		if err != nil {
			return nil, err
		}
		if err := batch.PutSystem(name, key); err != nil {
			return nil, err
		}
		if name == systemSeed {
			if _, id.PublicKey, err = chain.NewSigner(g.Origin, [32]byte(key.AppendTo(nil))); err != nil {
				return nil, err
			}
		}
	}
	for name, epoch := range map[string]uint32{systemAnswers: hourOf(o.Clock()) - answerHours, systemMarks: monthOf(o.Clock()) - markMonths, systemWaiting: dayOf(o.Clock()) - waitingDays} {
		key, err := seal.NewKey(o.Rand)
		if err != nil {
			return nil, err
		}
		if err := batch.PutEpoch(name, epoch, key); err != nil {
			return nil, err
		}
	}
	root, err := seal.NewKey(o.Rand)
	if err != nil {
		return nil, err
	}
	pages, err := batch.Seal(root)
	if err != nil {
		return nil, fmt.Errorf("seal the keyring: %w", err)
	}
	head := headRow{
		root: chain.NewTree().Root(), generation: firstGeneration, version: 1,
		top: keyring.TopHash(pages[len(pages)-1].Sealed),
	}
	rawID, err := encodeBody(id)
	if err != nil {
		return nil, err
	}
	// The root key first: a database that nothing can open must not come to be.
	if o.Root, err = g.RootKey(id.ID, firstGeneration, root); err != nil {
		return nil, err
	}
	err = o.Store.Update(func(w store.Writer) error {
		if have, err := w.Get(mapMeta, keyIdentity); err != nil || have != nil {
			return fmt.Errorf("%w: the database already holds a ledger", ErrCorrupt)
		}
		if err := w.Put(mapMeta, keyIdentity, rawID); err != nil {
			return err
		}
		return writeGroup(w, 0, nil, nil, pages, head.encode(root.Derive(headLabel)))
	})
	if err == nil {
		err = o.Store.Settle()
	}
	if err == nil {
		err = createHeadFile(o.Dir)
	}
	if err != nil {
		o.Root.Close()
		return nil, fmt.Errorf("create the ledger: %w", err)
	}
	return Open(o)
}
