package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"consentledger/ledger/consent"
	"consentledger/ledger/store"
)

// isOf says whether a commitment is to a subject, by the format alone.
func isOf(commitment []byte, o opening, subject string) bool {
	sum := sha256.Sum256(append(o[:], subject...))
	return bytes.Equal(sum[:], commitment)
}

func commitmentAt(t testing.TB, l *Ledger, index uint64) []byte {
	t.Helper()
	d, err := l.destructionAt(index)
	if err != nil {
		t.Fatal(err)
	}
	return d.body.Commitment
}

func destructionOf(t testing.TB, a *Answer) uint64 {
	t.Helper()
	for _, e := range a.Entries {
		if e.Class == destructionsClass {
			return e.Index
		}
	}
	t.Fatalf("no destruction in %+v", a.Entries)
	return 0
}

func TestADestructionThatWasAskedForIsCommittedToItsMember(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	for _, id := range []string{"one", "two", "three"} {
		mustDo(t, l, enrolment(t, id, w))
	}
	mustDo(t, l, order(t, "one", "o-1", w))
	ref := mustDo(t, l, enrolment(t, "four", w)).Member
	byRef, err := l.WithdrawRef(t.Context(), under(writer, "r", "by ref"), ref, &consent.Withdrawal{Membership: true})
	if err != nil {
		t.Fatal(err)
	}
	noNews := &consent.Withdrawal{Member: memberID(t, "two"), Purposes: []string{"newsletter"}}
	delivered := &consent.EventEnd{Type: consent.EventDelivered, Member: memberID(t, "one"), Reference: "o-1", OccurredAt: w.clock.Now()}
	seen := map[opening]bool{}
	for _, c := range []struct {
		name, subject string
		a             *Answer
		again         func() *Answer
	}{
		{"of a membership", "three", mustDoOnce(t, l, writer, "m", leave(t, "three")), func() *Answer { return mustDoOnce(t, l, writer, "m", leave(t, "three")) }},
		{"of a purpose", "two", mustDoOnce(t, l, writer, "p", noNews), func() *Answer { return mustDoOnce(t, l, writer, "p", noNews) }},
		{"of an order", "one", mustDoOnce(t, l, writer, "e", delivered), func() *Answer { return mustDoOnce(t, l, writer, "e", delivered) }},
		{"by ref", ref.String(), byRef, func() *Answer {
			a, err := l.WithdrawRef(t.Context(), under(writer, "r", "by ref"), ref, &consent.Withdrawal{Membership: true})
			if err != nil {
				t.Fatal(err)
			}
			return a
		}},
	} {
		commitment := commitmentAt(t, l, destructionOf(t, c.a))
		if c.a.opening.isZero() || seen[c.a.opening] || !isOf(commitment, c.a.opening, c.subject) || isOf(commitment, c.a.opening, c.subject+"x") {
			t.Errorf("%s: the commitment does not open to its member, or opens to another", c.name)
		}
		seen[c.a.opening] = true
		sameAnswer(t, c.name, c.a, c.again())
		if _, _, err := l.waitingAt(destructionOf(t, c.a)); !errors.Is(err, ErrNoCertificate) {
			t.Errorf("%s: it waits, too: %v", c.name, err)
		}
	}
	l = w.reopen(t, l)
	w.clock.Advance(26 * time.Hour)
	sweep(t, l)
	if _, err := l.Do(t.Context(), under(writer, "m", "*consent.Withdrawal"), leave(t, "three")); !errors.Is(err, ErrAlreadyDone) {
		t.Errorf("a day later the opening can still be had: %v", err)
	}
	if a := mustDo(t, l, order(t, "one", "o-2", w)); !a.opening.isZero() {
		t.Error("a call that destroyed nothing has an opening")
	}
	verifyAll(t, l)
}

// waitsFor makes one destruction of each kind that nobody asks for, and returns who they are of.
func waitsFor(t *testing.T, w *world, l *Ledger) map[string]Ref {
	t.Helper()
	ctx := t.Context()
	out := map[string]Ref{}
	for _, id := range []string{"expiry", "event", "hold", "dormancy"} {
		a := mustDo(t, l, enrolment(t, id, w))
		out[id] = a.Member
	}
	held, err := l.PlaceHold(ctx, dpo, out["hold"], &consent.Hold{Classes: []string{"newsletter"}, Ground: "a lawsuit", Until: w.clock.Now().AddDate(1, 0, 0)})
	if err != nil {
		t.Fatal(err)
	}
	mustDo(t, l, &consent.Withdrawal{Member: memberID(t, "hold"), Purposes: []string{"newsletter"}})
	if _, err := l.ReleaseHold(ctx, dpo, out["hold"], held.Hold); err != nil {
		t.Fatal(err)
	}
	mustDo(t, l, order(t, "event", "raffle", w))
	if _, err := l.EndEvent(ctx, writer, &consent.EventEnd{Type: consent.EventDelivered, Reference: "raffle", OccurredAt: w.clock.Now()}); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); len(l.endings.unfinished()) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the event does not end")
		}
	}
	return out
}

func waitingRows(t testing.TB, l *Ledger) map[uint64][]byte {
	t.Helper()
	rows := map[uint64][]byte{}
	err := l.o.Store.View(func(r store.Reader) error {
		return r.Scan(mapWaiting, nil, nil, func(k, v []byte) error {
			rows[indexOf(k)] = bytes.Clone(v)
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestADestructionThatNobodyAskedForWaitsForTheOfficer(t *testing.T) {
	w := newWorld(t)
	l := w.createWith(t, dormantPolicy())
	defer func() { l.Close() }()
	of := waitsFor(t, w, l)
	byRef := func() map[Ref]certified {
		t.Helper()
		out := map[Ref]certified{}
		for index := range waitingRows(t, l) {
			c, ref, err := l.waitingAt(index)
			if errors.Is(err, ErrNoCertificate) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if !isOf(c.body.Commitment, c.opening, ref.String()) || c.Index != index || c.Keys == 0 {
				t.Errorf("what waits at %d is not of its entry: %+v", index, c)
			}
			out[ref] = c
		}
		return out
	}
	waiting := byRef()
	if len(waiting) != 2 || waiting[of["hold"]].Keys == 0 || waiting[of["event"]].Keys == 0 {
		t.Fatalf("%d certificates wait", len(waiting))
	}
	classes := func(c certified) (all []string) {
		for _, k := range c.kept {
			all = append(all, k.Class+"/"+k.Event)
			if (k.Until == nil) == (k.Event == "") {
				t.Errorf("%s is kept until nobody knows when", k.Class)
			}
		}
		slices.Sort(all)
		return all
	}
	if got := classes(waiting[of["hold"]]); !slices.Equal(got, []string{"access/", "membership/withdrawal"}) && !slices.Equal(got, []string{"membership/withdrawal"}) {
		t.Errorf("kept of who lost the newsletter: %q", got)
	}
	if got := classes(waiting[of["event"]]); !slices.Equal(got, []string{"membership/withdrawal", "newsletter/purpose_withdrawal", "purchase/"}) {
		t.Errorf("kept of whose parcel came: %q", got)
	}

	// It can be had again and again, across a start, until its notice was delivered.
	l = w.reopen(t, l)
	if again := byRef(); len(again) != 2 || again[of["hold"]].opening != waiting[of["hold"]].opening {
		t.Error("after a start something else waits")
	}
	index := waiting[of["hold"]].Index
	notice := func(kind, outcome string, at uint64) {
		t.Helper()
		n := &consent.Notice{Kind: kind, Destruction: &at, Channel: "email", SentAt: w.clock.Now(), Outcome: outcome}
		if kind == consent.NoticeDestructionRequest {
			n.Recipient, n.DueAt = "parcel-co", w.clock.Now().Add(time.Hour)
		}
		doAs(t, l, dpo, n)
	}
	notice(consent.NoticeDestructionDone, consent.NoticeSent, index)
	notice(consent.NoticeDestructionRequest, consent.NoticeDelivered, index)
	if len(byRef()) != 2 {
		t.Error("a notice that has not come to the member ended the waiting")
	}
	notice(consent.NoticeDestructionDone, consent.NoticeDelivered, index)
	if _, _, err := l.waitingAt(index); !errors.Is(err, ErrNoCertificate) {
		t.Errorf("once it was delivered: %v", err)
	}
	if n := len(waitingRows(t, l)[index]); n != 4 {
		t.Errorf("%d bytes are left of what was delivered", n)
	}
	verifyAll(t, l)

	// The other one waits for thirty days and is gone.
	day := func() uint32 { return l.waiting.oldest().number }
	before := day()
	w.clock.Advance(29 * 24 * time.Hour)
	sweep(t, l)
	if c, ok := byRef()[of["event"]]; !ok || c.opening != waiting[of["event"]].opening {
		t.Error("after 29 days it is gone")
	}
	old := waitingRows(t, l)
	w.clock.Advance(3 * 24 * time.Hour)
	if _, _, err := l.waitingAt(waiting[of["event"]].Index); !errors.Is(err, ErrNoCertificate) {
		t.Errorf("after 32 days, before the sweep: %v", err)
	}
	sweep(t, l)
	if len(waitingRows(t, l)) != 0 || day() == before {
		t.Errorf("after 32 days %d rows are left, and the key is of day %d", len(waitingRows(t, l)), day())
	}
	for _, row := range old { // as somebody has it who kept the database
		if _, err := l.waiting.key(binary.BigEndian.Uint32(row)); !errors.Is(err, errEpochGone) {
			t.Errorf("the key of its day is there: %v", err)
		}
	}
	generation := l.commit.generation
	sweep(t, l)
	if l.commit.generation != generation {
		t.Error("a sweep with nothing to do destroyed something")
	}

	// Time itself destroys: who was idle for too long, and what had its years.
	w.clock.Advance(300 * 24 * time.Hour)
	doAs(t, l, dpo, &consent.Notice{Kind: consent.NoticeDormancy, Member: memberID(t, "dormancy"), Channel: "email", SentAt: w.clock.Now(), Outcome: consent.NoticeDelivered})
	w.clock.Advance(2 * 366 * 24 * time.Hour)
	sweep(t, l)
	got := byRef()
	if _, ok := got[of["dormancy"]]; !ok || got[of["dormancy"]].Keys == 0 {
		t.Errorf("of the dormant nothing waits: %v", slices.Collect(maps.Keys(got)))
	}
	verifyAll(t, l)
	mustDo(t, l, enrolment(t, "buyer", w))
	buyer := mustDo(t, l, order(t, "buyer", "o-9", w)).Member
	mustDo(t, l, leave(t, "buyer"))
	w.clock.Advance(5*366*24*time.Hour + 24*time.Hour)
	sweep(t, l)
	if c, ok := byRef()[buyer]; !ok || len(c.kept) != 1 || c.kept[0].Class != "shipping" {
		t.Errorf("of the order whose years are over: %+v", c)
	}
	verifyAll(t, l)
}

// A row is read here by FORMAT.md alone, with the standard library, from the key that the keyring gives.
func TestAWaitingRowIsWhatTheFormatSays(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	of := waitsFor(t, w, l)
	first, key, err := l.keys.Epoch("waiting")
	if err != nil {
		t.Fatal(err)
	}
	a := &attacker{origin: "ledger.example/shop", waits: map[string]bool{}, marks: map[string]bool{}}
	loot := &loot{epochs: map[epochLoot]bool{{"waiting", first, raw(key)}: true}}
	for index, row := range waitingRows(t, l) {
		day := binary.BigEndian.Uint32(row)
		if int64(day) != w.clock.Now().Unix()/86400 {
			t.Errorf("the day is %d", day)
		}
		body, ok := a.openSealed(0x82, loot.keysAt("waiting", map[uint32]bool{day: true})[day][0], row[4:])
		if !ok {
			t.Fatal("a row does not open")
		}
		c, ref, err := l.waitingAt(index)
		if err != nil {
			t.Fatal(err)
		}
		member, _ := body[2].([]byte)
		if o, _ := body[1].([]byte); !bytes.Equal(o, c.opening[:]) || !bytes.Equal(member, ref[:]) || ref != of["hold"] && ref != of["event"] {
			t.Errorf("the row says %v", body)
		}
		if !bytes.Equal(row[4:20], c.body.Commitment[:16]) {
			t.Error("the row is not tied to its entry")
		}
	}
}

// What waits is held to its entry, and verify --deep names what is not.
func TestAWaitingRowThatWasMovedOrAlteredIsNamed(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	waitsFor(t, w, l)
	rows := waitingRows(t, l)
	at := slices.Sorted(maps.Keys(rows))
	if len(at) != 2 {
		t.Fatalf("%d rows", len(at))
	}
	put := func(index uint64, row []byte) {
		t.Helper()
		err := l.o.Store.Update(func(w store.Writer) error {
			if row == nil {
				return w.Delete(mapWaiting, indexKey(index))
			}
			return w.Put(mapWaiting, indexKey(index), row)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	flipped := bytes.Clone(rows[at[0]])
	flipped[len(flipped)-1] ^= 1
	for name, c := range map[string]struct {
		index uint64
		row   []byte
	}{
		"of another destruction": {at[0], rows[at[1]]},
		"altered":                {at[0], flipped},
		"cut off":                {at[0], rows[at[0]][:3]},
		"of no destruction":      {0, rows[at[0]]},
	} {
		old := waitingRows(t, l)[c.index]
		put(c.index, c.row)
		report, err := l.VerifyDeep(t.Context(), admin, nil)
		if err != nil || report.Intact || len(report.Findings) != 1 || report.Findings[0].Kind != "certificate_damaged" || report.Findings[0].Index != int64(c.index) {
			t.Errorf("%s: %+v, %v", name, report, err)
		}
		put(c.index, old)
		verifyAll(t, l)
	}
}
