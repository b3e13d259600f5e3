package ledger

import (
	"context"
	"fmt"
)

// Pending is a call that waits to become durable.
type Pending struct {
	done   chan struct{}
	answer Answer
	err    error
}

func newPending() *Pending { return &Pending{done: make(chan struct{})} }

// Wait returns the answer once the call is durable (and, if it destroys keys, once the
// destruction is final). An error that wraps ErrUncertain means that nobody knows; one that wraps
// ErrReadOnly, that nothing was recorded.
func (p *Pending) Wait(ctx context.Context) (*Answer, error) {
	select {
	case <-p.done:
	default:
		select {
		case <-p.done:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: the caller stopped waiting: %w", ErrUncertain, context.Cause(ctx))
		}
	}
	if p.err != nil {
		return nil, p.err
	}
	return &p.answer, nil
}

// Done is closed when Wait would return at once.
func (p *Pending) Done() <-chan struct{} { return p.done }

func (p *Pending) isDone() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}
