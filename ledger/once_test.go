package ledger

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"consentledger/crypto/seal"
	"consentledger/ledger/consent"
	"consentledger/ledger/store"
)

// under returns a caller with an idempotency key and the request that it stands for.
func under(who Caller, key, request string) Caller {
	who.Once = &Once{Key: key, Request: []byte(request)}
	return who
}

// mustDoOnce makes a call under a key. The request is what the call says.
func mustDoOnce(t testing.TB, l *Ledger, who Caller, key string, c Call) *Answer {
	t.Helper()
	a, err := l.Do(t.Context(), under(who, key, fmt.Sprintf("%T", c)), c)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// sameAnswer compares an answer with its repetition.
func sameAnswer(t testing.TB, what string, first, again *Answer) {
	t.Helper()
	if first.Replayed || !again.Replayed {
		t.Errorf("%s: replayed %v and %v", what, first.Replayed, again.Replayed)
	}
	a, b := *first, *again
	b.Replayed = false
	for _, p := range []*Answer{&a, &b} { // times are told to the millisecond, in UTC
		p.RecordedAt, p.DueAt = milli(p.RecordedAt), milli(p.DueAt)
		p.Kept, p.Notify = slices.Clone(p.Kept), slices.Clone(p.Notify)
		for i := range p.Kept {
			if u := p.Kept[i].Until; u != nil {
				at := milli(*u)
				p.Kept[i].Until = &at
			}
		}
		for i := range p.Notify {
			p.Notify[i].DisclosedAt = milli(p.Notify[i].DisclosedAt)
		}
	}
	if !reflect.DeepEqual(a, b) {
		t.Errorf("%s:\nfirst %+v\nagain %+v", what, a, b)
	}
}

func milli(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return time.UnixMilli(t.UnixMilli()).UTC()
}

func TestARepeatedCallIsWrittenOnceAndAnsweredAlike(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	id := "again@shop.example"
	value := "1 Quince Alley"
	calls := []struct {
		name string
		who  Caller
		call func() Call
	}{
		{"enrolment", writer, func() Call { return enrolment(t, id, w) }},
		{"order", writer, func() Call { return order(t, id, "o-1", w) }},
		{"disclosure", writer, func() Call {
			return &consent.Disclosure{Member: memberID(t, id), Recipient: "parcel-co", Purpose: "order", Items: []string{"name", "address"}, OccurredAt: w.clock.Now()}
		}},
		{"correction", writer, func() Call {
			return &consent.Correction{Member: memberID(t, id), Changes: []consent.Change{{Item: "address", New: &value}}}
		}},
		{"request", dpo, func() Call {
			return &consent.Request{Member: memberID(t, id), Type: "access", Channel: "email", ReceivedAt: w.clock.Now()}
		}},
		{"notice of nobody", dpo, func() Call {
			return &consent.Notice{Kind: "partner_audit", Channel: "website", Recipient: "parcel-co", SentAt: w.clock.Now(), Outcome: "passed"}
		}},
		{"purpose", writer, func() Call {
			return &consent.Withdrawal{Member: memberID(t, id), Purposes: []string{"newsletter"}, OccurredAt: w.clock.Now()}
		}},
		{"delivery", writer, func() Call {
			return &consent.EventEnd{Type: consent.EventDelivered, Member: memberID(t, id), Reference: "o-1", OccurredAt: w.clock.Now()}
		}},
		{"leaving", writer, func() Call { return leave(t, id) }},
	}
	first := make([]*Answer, len(calls))
	for i, c := range calls {
		first[i] = mustDoOnce(t, l, c.who, "k-"+c.name, c.call())
		size := l.Size()
		again := mustDoOnce(t, l, c.who, "k-"+c.name, c.call())
		sameAnswer(t, c.name, first[i], again)
		if l.Size() != size {
			t.Errorf("%s: the repetition wrote %d entries", c.name, l.Size()-size)
		}
	}
	// The answers that hold nothing but the member's are gone with them; the last is still told, also after a restart.
	for range 2 {
		last := len(calls) - 1
		sameAnswer(t, "leaving, later", first[last], mustDoOnce(t, l, writer, "k-leaving", leave(t, id)))
		for i, c := range calls[:last] {
			if c.name == "notice of nobody" {
				sameAnswer(t, c.name, first[i], mustDoOnce(t, l, c.who, "k-"+c.name, c.call()))
				continue
			}
			if _, err := l.Do(t.Context(), under(c.who, "k-"+c.name, fmt.Sprintf("%T", c.call())), c.call()); !errors.Is(err, ErrAlreadyDone) {
				t.Errorf("%s after the member has left: %v", c.name, err)
			}
		}
		verifyAll(t, l)
		l = w.reopen(t, l)
	}
}

func TestChangesOfRegistersAndOfTheOfficeAreMadeOnce(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	a := mustDo(t, l, enrolment(t, "office@shop.example", w))
	next := bytes.Replace([]byte(testPolicy), []byte("policy: shop"), []byte("policy: club"), 1)
	_, first, err := l.AddPolicy(t.Context(), under(admin, "p", "policy"), next)
	if err != nil {
		t.Fatal(err)
	}
	p, again, err := l.AddPolicy(t.Context(), under(admin, "p", "policy"), next)
	if err != nil || !again.Replayed || !reflect.DeepEqual(first.Entries, again.Entries) || !milli(first.RecordedAt).Equal(milli(again.RecordedAt)) || p.ID() != "club" {
		t.Errorf("a policy again: %+v, %v; first %+v", again, err, first)
	}
	if _, _, err := l.AddPolicy(t.Context(), admin, next); !isRefusal(err) {
		t.Errorf("control: without the key it is refused: %v", err)
	}
	h := &consent.Hold{Classes: []string{"membership"}, Ground: "court order", Until: w.clock.Now().AddDate(1, 0, 0)}
	held, err := l.PlaceHold(t.Context(), under(dpo, "h", "hold"), a.Member, h)
	if err != nil {
		t.Fatal(err)
	}
	heldAgain, err := l.PlaceHold(t.Context(), under(dpo, "h", "hold"), a.Member, h)
	if err != nil {
		t.Fatal(err)
	}
	sameAnswer(t, "a hold", held, heldAgain)
	q := doAs(t, l, dpo, &consent.Request{Member: memberID(t, "office@shop.example"), Type: "access", Channel: "email", ReceivedAt: w.clock.Now()})
	o := &consent.RequestOutcome{Request: q.Request, Outcome: "granted", Reason: "because"}
	done, err := l.RequestOutcome(t.Context(), under(dpo, "o", "outcome"), o)
	if err != nil {
		t.Fatal(err)
	}
	doneAgain, err := l.RequestOutcome(t.Context(), under(dpo, "o", "outcome"), o)
	if err != nil {
		t.Fatal(err)
	}
	sameAnswer(t, "an outcome", done, doneAgain)
	ended, err := l.EndEvent(t.Context(), under(writer, "e", "end"), &consent.EventEnd{Type: consent.EventEnded, Reference: "raffle", OccurredAt: w.clock.Now()})
	if err != nil {
		t.Fatal(err)
	}
	endedAgain, err := l.EndEvent(t.Context(), under(writer, "e", "end"), &consent.EventEnd{Type: consent.EventEnded, Reference: "raffle", OccurredAt: w.clock.Now()})
	if err != nil {
		t.Fatal(err)
	}
	sameAnswer(t, "the end of an event", ended, endedAgain)
	verifyAll(t, l)
}

func TestAKeyStandsForOneCallOfOneCaller(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	first := mustDoOnce(t, l, writer, "k", enrolment(t, "one@shop.example", w))
	size := l.Size()
	if _, err := l.Do(t.Context(), under(writer, "k", "another body"), enrolment(t, "two@shop.example", w)); !errors.Is(err, ErrKeyReused) {
		t.Errorf("another body: %v", err)
	}
	if l.Size() != size {
		t.Errorf("it wrote %d entries", l.Size()-size)
	}
	other := writer
	other.KeyID = "key_other"
	second := mustDoOnce(t, l, other, "k", enrolment(t, "two@shop.example", w))
	if second.Replayed || second.Member == first.Member {
		t.Errorf("another caller's key is their own: %+v", second)
	}
	// What was refused may be tried again under the same key.
	if _, err := l.Do(t.Context(), under(writer, "r", "order"), order(t, "nobody@shop.example", "o", w)); !errors.Is(err, ErrUnknownMember) {
		t.Fatalf("an order of nobody: %v", err)
	}
	mustDo(t, l, enrolment(t, "nobody@shop.example", w))
	if a, err := l.Do(t.Context(), under(writer, "r", "order"), order(t, "nobody@shop.example", "o", w)); err != nil || a.Replayed {
		t.Errorf("after a refusal: %+v, %v", a, err)
	}
	verifyAll(t, l)
}

// Two API keys of one name are those of one caller, so that one can take the other's place.
func TestAKeyThatIsRotatedKeepsItsIdempotencyKeys(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	_, old, _, err := l.CreateAPIKey(t.Context(), admin, NewAPIKey{Role: RoleWriter, Name: "backend"})
	if err != nil {
		t.Fatal(err)
	}
	_, fresh, _, err := l.CreateAPIKey(t.Context(), admin, NewAPIKey{Role: RoleWriter, Name: "backend"})
	if err != nil {
		t.Fatal(err)
	}
	who := func(token string) Caller {
		c, err := l.Authenticate(token, "test")
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := mustDoOnce(t, l, who(old), "k", enrolment(t, "rotated@shop.example", w))
	sameAnswer(t, "under the new key", first, mustDoOnce(t, l, who(fresh), "k", enrolment(t, "rotated@shop.example", w)))
	verifyAll(t, l)
}

func TestAHundredRacingDuplicatesGiveOneEntryAndOneAnswer(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	// Whether anybody comes while the first call is under way is the scheduler's to decide.
	busy := 0
	for round := 0; round < 20 && busy == 0; round++ {
		busy = raceDuplicates(t, w, l, fmt.Sprintf("race-%d@shop.example", round))
	}
	if busy == 0 {
		t.Error("nobody came while the call was under way, so nothing was tested")
	}
	verifyAll(t, l)
}

// raceDuplicates sends one call a hundred times at once, and returns how often it was told to come back.
func raceDuplicates(t *testing.T, w *world, l *Ledger, id string) (busy int) {
	size := l.Size()
	const racers = 100
	answers := make([]*Answer, racers)
	var all sync.WaitGroup
	start := make(chan struct{})
	var mu sync.Mutex
	for i := range racers {
		all.Go(func() {
			<-start
			for {
				a, err := l.Do(t.Context(), under(writer, id, "enrolment"), enrolment(t, id, w))
				switch {
				case err == nil:
					answers[i] = a
					return
				case errors.Is(err, ErrInProgress):
					mu.Lock()
					busy++
					mu.Unlock()
					time.Sleep(100 * time.Microsecond)
				default:
					t.Error(err)
					return
				}
			}
		})
	}
	close(start)
	all.Wait()
	first := 0
	for _, a := range answers {
		if a == nil {
			t.Fatal("somebody has no answer")
		}
		if !a.Replayed {
			first++
		}
		if !reflect.DeepEqual(a.Entries, answers[0].Entries) || a.Member != answers[0].Member {
			t.Errorf("answers differ: %+v and %+v", a, answers[0])
		}
	}
	if first != 1 || l.Size()-size != uint64(len(answers[0].Entries)) {
		t.Errorf("%d were answered as the first, and %d entries were written", first, l.Size()-size)
	}
	return busy
}

// An answer can be had for a day and is then gone; that the call was made is known for a month more,
// and then nothing is.
func TestAnAnswerIsGoneAfterADayAndItsMarkAfterAMonth(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	call := func() Call { return enrolment(t, "time@shop.example", w) }
	first := mustDoOnce(t, l, writer, "k", call())
	w.clock.Advance(24*time.Hour - time.Second)
	sweep(t, l)
	sameAnswer(t, "a day later", first, mustDoOnce(t, l, writer, "k", call()))
	w.clock.Advance(time.Hour + time.Second)
	generation := l.commit.generation
	sweep(t, l)
	if l.commit.generation != generation+1 {
		t.Errorf("the root key was rotated %d times", l.commit.generation-generation)
	}
	done := func() {
		t.Helper()
		if _, err := l.Do(t.Context(), under(writer, "k", fmt.Sprintf("%T", call())), call()); !errors.Is(err, ErrAlreadyDone) {
			t.Errorf("once its hour is gone: %v", err)
		}
	}
	done()
	l = w.reopen(t, l)
	done()
	sweep(t, l)
	if l.commit.generation != generation+1 {
		t.Error("there was nothing more to destroy")
	}
	w.clock.Advance(28 * 24 * time.Hour)
	sweep(t, l)
	done()
	w.clock.Advance(32 * 24 * time.Hour)
	sweep(t, l)
	if rows := marksOf(t, l); len(rows) != 0 {
		t.Errorf("%d rows are left", len(rows))
	}
	if a := mustDoOnce(t, l, writer, "k", call()); a.Replayed {
		t.Error("after two months the key is a new one")
	}
	l = w.reopen(t, l)
	verifyAll(t, l)
}

func marksOf(t testing.TB, l *Ledger) (rows [][]byte) {
	t.Helper()
	err := l.o.Store.View(func(r store.Reader) error {
		return r.Scan(mapMarks, nil, nil, func(_, row []byte) error {
			rows = append(rows, bytes.Clone(row))
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// Whoever has the database and today's root key opens the answers of the living, and none of a member
// who has left; and no row says in the clear whose it is.
func TestAnAnswerDiesWithTheMember(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	gone, alive := "gone@shop.example", "alive@shop.example"
	before := mustDoOnce(t, l, writer, "gone@shop.example-key", enrolment(t, gone, w))
	mustDoOnce(t, l, writer, "alive", enrolment(t, alive, w))
	opened := func() int {
		n := 0
		slots, err := l.keys.Slots(0, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range marksOf(t, l) {
			for _, s := range slots {
				a, err := l.openAnswer(row, seal.Tag(row[:16]), func() (uint64, error) { return s.Number, nil })
				if err == nil && a.Member != (Ref{}) {
					n++
				}
			}
			for _, clear := range []string{gone, "gone@shop.example-key", before.Member.String(), string(before.Member[:]), string(binary.BigEndian.AppendUint64(nil, before.Entries[0].Index))} {
				if bytes.Contains(row, []byte(clear)) {
					t.Errorf("a row holds %q", clear)
				}
			}
		}
		return n
	}
	if n := opened(); n != 2 {
		t.Errorf("control: %d answers open while both are there", n)
	}
	mustDo(t, l, leave(t, gone))
	if n := opened(); n != 1 {
		t.Errorf("%d answers open after one has left", n)
	}
	verifyAll(t, l)
}

// A mark is durable with its entries or not at all, wherever the writing stops; and who asks again
// while nobody knows is told so.
func TestACallWhoseCommitFailedIsUnknownUntilTheNextStart(t *testing.T) {
	for _, happened := range []bool{false, true} {
		t.Run(fmt.Sprintf("happened=%v", happened), func(t *testing.T) {
			w := newWorld(t)
			var f *onceFault
			w.wrap = func(s store.Store) store.Store { f = &onceFault{Store: s, happened: happened}; return f }
			l := w.create(t)
			f.armed = true
			call := func() Call { return enrolment(t, "fault@shop.example", w) }
			who := under(writer, "k", "enrolment")
			if _, err := l.Do(t.Context(), who, call()); !errors.Is(err, ErrUncertain) {
				t.Fatalf("the commit failed: %v", err)
			}
			if _, err := l.Do(t.Context(), who, call()); !errors.Is(err, ErrUncertain) {
				t.Errorf("again, while nobody knows: %v", err)
			}
			w.wrap = nil
			l = w.reopen(t, l)
			defer func() { l.Close() }()
			size := l.Size()
			a, err := l.Do(t.Context(), who, call())
			if err != nil {
				t.Fatal(err)
			}
			if a.Replayed != happened || (l.Size() == size) != happened {
				t.Errorf("after the restart: replayed %v, %d entries more", a.Replayed, l.Size()-size)
			}
			again, err := l.Do(t.Context(), who, call())
			if err != nil || !again.Replayed || !reflect.DeepEqual(again.Entries, a.Entries) {
				t.Errorf("and again: %+v, %v", again, err)
			}
			verifyAll(t, l)
		})
	}
}

// onceFault fails an update: before it happens, or after.
type onceFault struct {
	store.Store
	armed, happened bool
}

func (f *onceFault) Update(fn func(store.Writer) error) error {
	if !f.armed {
		return f.Store.Update(fn)
	}
	if f.happened {
		if err := f.Store.Update(fn); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: as the test wants it", store.ErrUncertain)
}

func TestWhoStopsWaitingFindsTheAnswerLater(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	ctx, cancel := context.WithCancel(t.Context())
	p, err := l.Submit(ctx, under(writer, "k", "*consent.Consent"), enrolment(t, "left@shop.example", w))
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	<-p.Done()
	a := mustDoOnce(t, l, writer, "k", enrolment(t, "left@shop.example", w))
	if !a.Replayed || len(a.Entries) != 2 {
		t.Errorf("%+v", a)
	}
	verifyAll(t, l)
}

// A month's index is made again from its rows.
func TestManyMarksAreFoundAfterARestartAndAcrossMonths(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	const members = 300
	first := make([]*Answer, members)
	for i := range first {
		if i == members/2 {
			w.clock.Advance(time.Duration(secondsPerMonth) * time.Second)
		}
		first[i] = mustDoOnce(t, l, writer, fmt.Sprint("k", i), enrolment(t, memberName(i), w))
	}
	l = w.reopen(t, l)
	for i := range first {
		a, err := l.Do(t.Context(), under(writer, fmt.Sprint("k", i), "*consent.Consent"), enrolment(t, memberName(i), w))
		switch {
		case i < members/2 && !errors.Is(err, ErrAlreadyDone) && err != nil:
			t.Fatalf("%d: %v", i, err)
		case i >= members/2 && err != nil:
			t.Fatalf("%d: %v", i, err)
		case err == nil:
			sameAnswer(t, fmt.Sprint(i), first[i], a)
		}
	}
	verifyAll(t, l)
}
