package witness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"consentledger/ledger/chain"
)

// A Peer is a witness that a log has its heads signed by.
type Peer struct {
	ID, Name, URL, Key string
}

// A Source is the log whose heads are pushed. It is safe for concurrent use.
type Source interface {
	Peers() []Peer
	// Head is the newest published head, and its note.
	Head() (chain.Checkpoint, []byte, error)
	Consistency(older, newer uint64) ([]chain.Hash, error)
	// Cosign takes the signature lines of a peer for a head of that size.
	Cosign(size uint64, key string, lines []byte) error
	// Away notes that a peer did not sign.
	Away(id, why string)
	// Moved is closed when there is a new head or another peer.
	Moved() <-chan struct{}
	// Contradicted is told once that a peer has signed what cannot be the log's.
	Contradicted(error)
}

// ErrContradiction says that a witness has signed a head that the log cannot
// have, or a larger one than it has.
var ErrContradiction = errors.New("the log was written twice, or set back")

// PushOptions say how a Pusher asks. The zero value is ready to use.
type PushOptions struct {
	Within time.Duration // for one request; default 5 s
	Most   time.Duration // between two tries while a witness is away; default 30 s
	Log    *slog.Logger  // default: nothing is logged
	Now    func() time.Time
}

// A Pusher brings a log's heads to its witnesses. All are asked about one head
// at a time, so that their signatures stand on the same. Nobody waits for one
// that did not sign the last time, or took long.
type Pusher struct {
	src    Source
	o      PushOptions
	client *http.Client
	first  time.Duration // of the waits while a witness is away

	mu    sync.Mutex
	peers map[string]*peerState // by key and URL
	found error                 // by one that nobody waits for

	apart sync.WaitGroup // those that nobody waits for
	again chan struct{}  // one of them has ended
}

type peerState struct {
	size   uint64 // that the witness signed last, as far as is known
	done   bool   // the head of that size has its signature
	fails  int
	slow   bool      // it took long the last time
	next   time.Time // not before
	logged bool      // that it is away
	busy   bool      // it is being asked, and nobody waits
}

// NewPusher makes the pusher of a log. It asks nobody yet.
func NewPusher(src Source, o PushOptions) *Pusher {
	if o.Within <= 0 {
		o.Within = 5 * time.Second
	}
	if o.Most <= 0 {
		o.Most = 30 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Pusher{
		src: src, o: o, first: time.Second, peers: map[string]*peerState{}, again: make(chan struct{}, 1),
		client: &http.Client{
			Timeout: o.Within,
			Transport: &http.Transport{
				Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true,
				TLSHandshakeTimeout: o.Within, MaxResponseHeaderBytes: maxAnswer, DisableCompression: true,
			},
			// A witness is where the register says, and nowhere else.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Ask asks every witness once about the newest head. Its error, which wraps
// ErrContradiction, says which of them have seen another history or a longer
// one. A witness that is away contradicts nobody.
func (p *Pusher) Ask(ctx context.Context) error {
	err := p.round(ctx, true)
	if err != nil { // the log stays shut, and nothing is pushed
		p.client.CloseIdleConnections()
	}
	return err
}

// Run pushes each new head until ctx ends.
func (p *Pusher) Run(ctx context.Context) {
	defer p.client.CloseIdleConnections()
	defer p.apart.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for {
		moved := p.src.Moved() // before the head is read, so that none is missed
		if err := p.round(ctx, false); err != nil {
			p.src.Contradicted(err)
			return
		}
		wait := time.NewTimer(p.untilNext())
		select {
		case <-ctx.Done():
			wait.Stop()
			return
		case <-moved:
		case <-p.again:
		case <-wait.C:
		}
		wait.Stop()
	}
}

// untilNext is when a witness that was away is to be asked again.
func (p *Pusher) untilNext() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := time.Hour
	for _, s := range p.peers {
		if s.fails > 0 && !s.busy {
			next = min(next, max(s.next.Sub(p.o.Now()), time.Millisecond))
		}
	}
	return next
}

// round asks all who have not signed the newest head, and are not to be left
// alone for now. It waits for those who answered soon the last time, or for all.
func (p *Pusher) round(ctx context.Context, all bool) error {
	head, msg, err := p.src.Head()
	if err != nil {
		p.o.Log.Error("there is no head for the witnesses", "error", err.Error())
		return nil
	}
	var wg sync.WaitGroup
	peers := p.src.Peers()
	found := make([]error, len(peers))
	kept := make(map[string]*peerState, len(peers))
	for i, peer := range peers {
		p.mu.Lock()
		s := p.peers[peer.Key+" "+peer.URL]
		if s == nil {
			s = &peerState{}
		}
		kept[peer.Key+" "+peer.URL] = s
		skip := s.busy || s.done && s.size >= head.Size || p.o.Now().Before(s.next)
		apart := (s.fails > 0 || s.slow) && !all && !skip
		s.busy = s.busy || apart
		p.mu.Unlock()
		switch {
		case apart:
			p.apart.Go(func() { p.pushApart(ctx, peer, s, head, msg) })
		case !skip:
			wg.Go(func() { found[i] = p.push(ctx, peer, s, head, msg) })
		}
	}
	wg.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.peers = kept // those that left the register are forgotten
	return errors.Join(append(found, p.found)...)
}

// pushApart is push for one that nobody waits for.
func (p *Pusher) pushApart(ctx context.Context, peer Peer, s *peerState, head chain.Checkpoint, msg []byte) {
	err := p.push(ctx, peer, s, head, msg)
	p.mu.Lock()
	s.busy = false
	p.found = errors.Join(p.found, err)
	p.mu.Unlock()
	select {
	case p.again <- struct{}{}:
	default:
	}
}

// push asks one witness about a head.
func (p *Pusher) push(ctx context.Context, peer Peer, s *peerState, head chain.Checkpoint, msg []byte) error {
	p.mu.Lock()
	old := s.size
	p.mu.Unlock()
	began := p.o.Now()
	size, done, err := p.exchange(ctx, peer, old, head, msg)
	slow := p.o.Now().Sub(began) > p.o.Within/5
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case errors.Is(err, ErrContradiction):
		p.o.Log.Error("a witness contradicts the log", "witness", peer.Name, "error", err.Error())
		return err
	case ctx.Err() != nil:
		return nil // it is not the witness that went away
	case err != nil:
		why := fmt.Sprintf("%.300s", err) // what a witness answers may stand in it
		s.fails++
		wait := min(p.first<<min(s.fails-1, 10), p.o.Most)
		s.next = p.o.Now().Add(wait/2 + rand.N(wait/2+1))
		if !s.logged {
			s.logged = true
			p.o.Log.Warn("a witness does not sign; it is asked again", "witness", peer.Name, "error", why)
		}
		p.src.Away(peer.ID, why)
		return nil
	}
	if s.logged {
		p.o.Log.Info("a witness signs again", "witness", peer.Name)
	}
	s.size, s.done, s.fails, s.slow, s.next, s.logged = size, done, 0, slow, time.Time{}, false
	return nil
}

const (
	// maxAnswer bounds what a witness may say: signatures of several keys.
	maxAnswer = 32 << 10
	// maxTurns bounds how often it may say that it wants another proof. One
	// turn more than the first is usual, a third where it is asked whether it
	// means what it said, or another server brings it heads of the same log.
	maxTurns = 5
)

// exchange goes by the size that the witness names. However often it names
// another one, and however slowly, it ends in the time of two requests.
func (p *Pusher) exchange(ctx context.Context, peer Peer, old uint64, head chain.Checkpoint, msg []byte) (size uint64, done bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*p.o.Within)
	defer cancel()
	old = min(old, head.Size)
	refused := uint64(0) // the size from which it would not have the proof
	for range maxTurns {
		proof, err := p.src.Consistency(old, head.Size)
		if err != nil {
			return 0, false, err
		}
		status, kind, answer, err := p.send(ctx, peer, Request{Old: old, Proof: proof, Note: msg})
		if err != nil {
			return 0, false, err
		}
		switch status {
		case http.StatusOK:
			if err := p.src.Cosign(head.Size, peer.Key, answer); err != nil {
				return 0, false, err
			}
			return head.Size, true, nil
		case http.StatusConflict:
			text, ended := strings.CutSuffix(string(answer), "\n")
			latest, err := strconv.ParseUint(text, 10, 63)
			if err != nil || !ended || kind != sizeType {
				return 0, false, errors.New("it answers 409 without a size: the URL may not be a witness's")
			}
			switch {
			case refused > 0 && latest == refused:
				return 0, false, fmt.Errorf("%w: %s has signed a head of %d entries of %s that is not the beginning of this log: the history was written twice, or an older database was put back and written to; find out which database is the right one before anything is written", ErrContradiction, peer.Name, latest, head.Origin)
			case latest > head.Size:
				return p.ahead(peer, head, latest)
			case latest == old && old == head.Size:
				return 0, false, fmt.Errorf("%w: %s has signed another head of %d entries under the name %s: the history was written twice, or a copy of this ledger went on by itself; find out which database is the right one before anything is written", ErrContradiction, peer.Name, latest, head.Origin)
			case latest == old:
				return 0, false, errors.New("it names the size that it was sent as the one that it wants")
			}
			old, refused = latest, 0
		case http.StatusUnprocessableEntity:
			// Others than witnesses answer 422 to what they do not understand,
			// and what comes of this one ends all writing: so it must also say
			// which size it signed.
			if old == 0 {
				return 0, false, errors.New("it refuses a head (422) and does not say which it signed: the URL may not be a witness's")
			}
			old, refused = 0, old
		case http.StatusNotFound:
			return 0, false, fmt.Errorf("it does not know %s, or the URL is not a witness's (404): give its operator this ledger's public key", head.Origin)
		case http.StatusForbidden:
			return 0, false, fmt.Errorf("it knows %s by another key (403): give its operator this ledger's public key", head.Origin)
		default:
			return 0, false, fmt.Errorf("it answers %d", status)
		}
	}
	return 0, false, fmt.Errorf("it wants a proof from another size each time, %d times in turn", maxTurns)
}

// ahead is a witness that has signed more entries than there are in a head.
func (p *Pusher) ahead(peer Peer, head chain.Checkpoint, latest uint64) (uint64, bool, error) {
	newest, _, err := p.src.Head()
	if err != nil {
		return 0, false, err
	}
	if latest <= newest.Size {
		return latest, false, nil // of a newer head, which is pushed next
	}
	return 0, false, fmt.Errorf("%w: %s has signed a head of %d entries of %s, and the last that this ledger has published is of %d: an older database was put back, or a copy went on by itself; put the newest database and its head file back", ErrContradiction, peer.Name, latest, head.Origin, newest.Size)
}

func (p *Pusher) send(ctx context.Context, peer Peer, r Request) (status int, kind string, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, peer.URL+"/add-checkpoint", bytes.NewReader(r.Marshal()))
	if err != nil {
		return 0, "", nil, err
	}
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	resp, err := p.client.Do(req)
	if err != nil {
		return 0, "", nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return 0, "", nil, err
	case len(answer) > maxAnswer:
		return 0, "", nil, fmt.Errorf("it answers with more than %d bytes", maxAnswer)
	}
	return resp.StatusCode, resp.Header.Get("Content-Type"), answer, nil
}
