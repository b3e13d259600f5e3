package witness

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"consentledger/crypto/digest"
	"consentledger/ledger/chain"
	"consentledger/ledger/store"
)

// Heads remembers the newest head of each log that was cosigned, in a store
// of its own. It may be used by any number of goroutines.
type Heads struct{ s store.Store }

const (
	mapIdentity store.Map = "witness"
	mapHeads    store.Map = "heads"

	// A row is version, size, root, and a checksum over it and its origin.
	rowVersion = 1
	rowSize    = 1 + 8 + chain.HashSize + 32
)

var keyIdentity = []byte("key")

var (
	// ErrDamaged says that what a witness remembers is damaged, or another's.
	ErrDamaged = errors.New("the witness's memory is damaged")
	// ErrOtherWitness says that a store belongs to a witness of another key.
	ErrOtherWitness = errors.New("the memory is another witness's")
)

// Maps are those that the store of a witness must have.
func Maps() []store.Map { return []store.Map{mapIdentity, mapHeads} }

// CreateHeads makes an empty memory in an empty store, for the witness with
// this verifier key. One that is there is refused.
func CreateHeads(s store.Store, vkey string) error {
	err := s.Update(func(w store.Writer) error {
		have, err := w.Get(mapIdentity, keyIdentity)
		if err != nil {
			return err
		}
		if have != nil {
			return errors.New("it holds one already; a witness never forgets")
		}
		return w.Put(mapIdentity, keyIdentity, []byte(vkey))
	})
	if err == nil {
		err = s.Settle()
	}
	if err != nil {
		return fmt.Errorf("make the witness's memory: %w", err)
	}
	return nil
}

// OpenHeads opens what CreateHeads made, for the witness with the same key. It
// reads all of it: a damaged one is refused, because a witness that has
// forgotten a head would sign another of the same size.
func OpenHeads(s store.Store, vkey string) (*Heads, error) {
	if err := s.Check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	err := s.View(func(r store.Reader) error {
		have, err := r.Get(mapIdentity, keyIdentity)
		switch {
		case err != nil:
			return err
		case have == nil:
			return fmt.Errorf("%w: it does not say whose it is", ErrDamaged)
		case string(have) != vkey:
			return fmt.Errorf("%w: it is that of %.300q; give the key that belongs to it", ErrOtherWitness, have)
		}
		return r.Scan(mapHeads, nil, nil, func(k, v []byte) error {
			_, err := decodeRow(k, v)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("open the witness's memory: %w", err)
	}
	return &Heads{s}, nil
}

// Each calls f for every head that is remembered.
func (h *Heads) Each(f func(chain.Checkpoint)) error {
	return h.s.View(func(r store.Reader) error {
		return r.Scan(mapHeads, nil, nil, func(k, v []byte) error {
			c, err := decodeRow(k, v)
			if err == nil {
				f(c)
			}
			return err
		})
	})
}

// advance calls decide with the head that is remembered of an origin, or that
// of an empty log, and remembers the one that it returns. Between the two no
// other call changes it. It is durable when advance returns nil, and nothing
// that happens to the newest page of the file brings the older one back.
// decide's error comes back as it is, and changes nothing.
func (h *Heads) advance(origin string, decide func(have chain.Checkpoint) (next chain.Checkpoint, err error)) error {
	same := false
	err := h.s.Update(func(w store.Writer) error {
		have, err := head(w, origin)
		if err != nil {
			return err
		}
		next, err := decide(have)
		if err != nil {
			return err
		}
		if same = next == have; same {
			return errSame // nothing to write
		}
		return w.Put(mapHeads, []byte(origin), encodeRow(next))
	})
	if err != nil && !same {
		return err
	}
	// Without it a lost meta page makes bbolt fall back by one transaction,
	// and says nothing. It does nothing where it was done before.
	return h.s.Settle()
}

var errSame = errors.New("the head is the one that is remembered")

// head returns the head that is remembered of an origin.
func head(r store.Reader, origin string) (chain.Checkpoint, error) {
	row, err := r.Get(mapHeads, []byte(origin))
	switch {
	case err != nil:
		return chain.Checkpoint{}, err
	case row == nil:
		return chain.EmptyHead(origin), nil
	}
	return decodeRow([]byte(origin), row)
}

func encodeRow(c chain.Checkpoint) []byte {
	b := make([]byte, 0, rowSize)
	b = append(b, rowVersion)
	b = binary.BigEndian.AppendUint64(b, c.Size)
	b = append(b, c.Root[:]...)
	sum := rowSum(c.Origin, b)
	return append(b, sum[:]...)
}

func decodeRow(origin, row []byte) (chain.Checkpoint, error) {
	if len(row) != rowSize || row[0] != rowVersion {
		return chain.Checkpoint{}, fmt.Errorf("%w: the head of %.300q is not written as heads are", ErrDamaged, origin)
	}
	body, sum := row[:rowSize-32], rowSum(string(origin), row[:rowSize-32])
	if !bytes.Equal(row[rowSize-32:], sum[:]) {
		return chain.Checkpoint{}, fmt.Errorf("%w: the checksum of the head of %.300q is wrong", ErrDamaged, origin)
	}
	return chain.Checkpoint{Origin: string(origin), Size: binary.BigEndian.Uint64(body[1:]), Root: chain.Hash(body[9:])}, nil
}

// rowSum binds a head to its origin: bbolt's pages carry no checksum.
func rowSum(origin string, body []byte) [32]byte {
	b := append([]byte(origin+"\x00"), body...)
	return digest.Sum256(b)
}
