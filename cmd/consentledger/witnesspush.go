package main

import (
	"context"
	"fmt"
	"log/slog"

	"consentledger/ledger"
	"consentledger/server/witness"
)

// witnessed is a ledger as those see it who bring its heads to witnesses.
type witnessed struct{ *ledger.Ledger }

func (l witnessed) Peers() []witness.Peer {
	all := l.Witnesses().All
	peers := make([]witness.Peer, len(all))
	for i, w := range all {
		peers[i] = witness.Peer{ID: w.ID, Name: w.Name, URL: w.URL, Key: w.Key}
	}
	return peers
}

func (l witnessed) Contradicted(err error) {
	l.Ledger.Contradicted(fmt.Errorf("%w: %w", ledger.ErrContradicted, err))
}

func (l witnessed) Away(id, why string) { l.WitnessAway(id, why) }

// askWitnesses keeps a ledger shut that a witness contradicts, and leaves the
// pusher of an open one behind.
func askWitnesses(ctx context.Context, log *slog.Logger, push **witness.Pusher) func(*ledger.Ledger) error {
	return func(l *ledger.Ledger) error {
		*push = witness.NewPusher(witnessed{l}, witness.PushOptions{Log: log})
		if err := (*push).Ask(ctx); err != nil {
			return fmt.Errorf("%w: %w", ledger.ErrContradicted, err)
		}
		return nil
	}
}
