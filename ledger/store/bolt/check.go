package bolt

import (
	"fmt"

	"go.etcd.io/bbolt"

	"consentledger/ledger/store"
)

// Check implements store.Store. It reads every page that the newest header
// leads to, by reads that can fail and not through the mapping: key order,
// bounds, no page used twice, none lost. Then bbolt's own check has its say:
// it was written by others, and runs in a goroutine of its own where a fault
// could not be caught, which is why it comes second.
func (s *Store) Check() error {
	s.update.Lock()
	defer s.update.Unlock()
	if s.closed {
		return store.ErrClosed
	}
	if err := s.checkFile(); err != nil {
		return fmt.Errorf("checking store: %w", err)
	}
	if err := s.checkBolt(); err != nil {
		return fmt.Errorf("checking store: %w", err)
	}
	return nil
}

func (s *Store) checkFile() error {
	info, err := s.file.Stat()
	if err != nil {
		return err
	}
	h, err := newestHeader(s.file, info.Size())
	if err != nil {
		return err
	}
	if int64(h.pages) > info.Size()/h.pageSize {
		return damage("the file has %d bytes and should have %d pages of %d", info.Size(), h.pages, h.pageSize)
	}
	f := newFile(s.file, h)
	if err := f.checkFreelist(); err != nil {
		return err
	}
	if err := f.walk(walkAll); err != nil {
		return err
	}
	if id := f.unseen(); id != 0 && f.freelist != noFreelist {
		return damage("page %d is neither used nor free", id)
	}
	return nil
}

func (s *Store) checkBolt() (err error) {
	defer faultsPanic()()
	tx, err := s.begin(false)
	if err != nil {
		return err
	}
	defer func() {
		if e := s.rollback(tx); err == nil {
			err = e
		}
	}()
	defer catch(nil, &err)
	for e := range tx.Check(bbolt.WithKVStringer(silent{})) { // to the end: the goroutine waits for its reader
		if err == nil {
			err = fmt.Errorf("%w: %w", store.ErrCorrupt, e)
		}
	}
	return err
}

// silent keeps keys and values out of error messages.
type silent struct{}

func (silent) KeyToString([]byte) string   { return "[key]" }
func (silent) ValueToString([]byte) string { return "[value]" }
