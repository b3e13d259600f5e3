package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"consentledger/ledger/chain"
	"consentledger/server/api"
)

// controlSource is the log of the ledger that a running server has open. The
// server hands it out in pieces; everything is hashed and compared here.
type controlSource struct {
	ctx context.Context
	c   *control

	mu      sync.Mutex
	damaged string // the first place that the server could not read
}

var _ chain.Source = (*controlSource)(nil)

func (s *controlSource) info() (in api.Info, err error) {
	b, err := s.c.do(s.ctx, http.MethodGet, "/control/info", "", nil)
	if err == nil {
		err = json.Unmarshal(b, &in)
	}
	return in, err
}

func (s *controlSource) Size() (uint64, error) {
	in, err := s.info()
	return in.Size, err
}

func (s *controlSource) Checkpoint() ([]byte, error) {
	in, err := s.info()
	if err != nil || in.Checkpoint == "" {
		return nil, err
	}
	return []byte(in.Checkpoint), nil
}

// piece is how many entries one request asks for: a block of the verifier's.
const piece = 256

func (s *controlSource) Entries(from uint64, f func(index uint64, entry []byte) error) error {
	limit := uint64(piece)
	for alone := uint64(0); ; {
		b, err := s.c.do(s.ctx, http.MethodGet, fmt.Sprintf("/control/log?from=%d&limit=%d", from, limit), "", nil)
		switch {
		case isInternal(err) && limit > 1:
			// Something in this piece cannot be read: go by single entries.
			limit, alone = 1, from+piece
			continue
		case isInternal(err):
			s.leaveOut(fmt.Sprintf("entry %d", from))
			from++
		case err != nil:
			return err
		case len(b) == 0:
			return nil
		}
		for len(b) > 0 {
			if len(b) < 4 || uint64(len(b)-4) < uint64(binary.BigEndian.Uint32(b)) {
				return errors.New("the server's answer ends within an entry: are this program and the server of one release?")
			}
			n := binary.BigEndian.Uint32(b)
			if err := f(from, b[4:4+n]); err != nil {
				return err
			}
			b = b[4+n:]
			from++
		}
		if alone > 0 && from >= alone {
			limit, alone = piece, 0
		}
	}
}

func (s *controlSource) Tile(level int, n uint64) ([]byte, error) {
	b, err := s.c.do(s.ctx, http.MethodGet, fmt.Sprintf("/control/tile/%d/%d", level, n), "", nil)
	var r *refusal
	switch {
	case errors.As(err, &r) && r.Status == http.StatusNotFound:
		return nil, nil
	case isInternal(err):
		s.leaveOut(chain.TilePath(level, n, chain.TileHashes))
		return nil, nil
	}
	return b, err
}

// isInternal says whether the server could not read what it was asked for.
func isInternal(err error) bool {
	var r *refusal
	return errors.As(err, &r) && r.Status == http.StatusInternalServerError
}

func (s *controlSource) leaveOut(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.damaged == "" {
		s.damaged = what
	}
}
