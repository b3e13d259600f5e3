package ledger

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"consentledger/crypto/keyring"
	"consentledger/ledger/consent"
)

// A step is what to do next, as a number: what it becomes depends on where the run stands, so a run
// from which steps are taken out is still a run.
type step struct {
	kind int
	seed uint64
}

// A run drives a ledger and the model side by side.
type run struct {
	t    testing.TB
	w    *world
	l    *Ledger
	m    *model
	ids  []consent.MemberID
	refs []string // of orders and events
	log  []string // of calls, for who has to find out
	bad  string   // the disagreement, once there is one
	kind string   // of the disagreement, so that a shorter run shows the same
	rand *rand.Rand

	judge *judge // nil, but where properties are judged
}

func newRun(t testing.TB) *run {
	r := &run{t: t, w: newWorld(t), m: newModel(members), refs: []string{"r1", "r2", "r3"}}
	var err error
	if r.l, err = r.w.tryCreate(); err != nil {
		t.Fatal(err)
	}
	for i := range members {
		r.ids = append(r.ids, memberID(t, memberName(i)))
	}
	r.m.now = r.w.clock.Now()
	r.post(editions()[0], "2025-01-01", "2024-12-01")
	r.post(club1(), "2025-01-01", "2024-12-01")
	return r
}

const members = 4

func (r *run) say(format string, args ...any) {
	r.log = append(r.log, r.w.clock.Now().In(seoul).Format("2006-01-02 15:04:05 ")+fmt.Sprintf(format, args...))
}

func (r *run) disagree(format string, args ...any) {
	if r.bad == "" {
		r.bad, r.kind = fmt.Sprintf(format, args...), format
	}
}

func (r *run) tick(d time.Duration) {
	r.w.clock.Advance(d)
	r.m.now = r.w.clock.Now()
}

func codeOf(err error) string {
	var r *consent.Refusal
	switch {
	case err == nil:
		return "done"
	case errors.As(err, &r):
		if r.Reason != "" {
			return r.Code + " because " + r.Reason
		}
		return r.Code
	case errors.Is(err, ErrUnknownMember):
		return "unknown_member"
	}
	return "error " + err.Error()
}

// agreeOn compares an outcome with what may come, and says whether they agree.
func (r *run) agreeOn(what string, err error, want []string) bool {
	got := codeOf(err)
	if got == "done" && len(want) == 0 || slices.Contains(want, got) {
		return true
	}
	r.disagree("%s: the ledger says %s, the model %s", what, got, strings.Join(append(want, "done")[:max(1, len(want))], " or "))
	return false
}

// call makes a call of one member and compares what it led to.
func (r *run) call(who int, what string, c Call, f *forecast) *Answer {
	a, err := r.l.Do(r.t.Context(), dpo, c)
	if err == nil {
		r.judge.took(r, who, c, a)
	}
	return r.compare(who, what, a, err, f)
}

// compare compares what a call led to with its forecast, and takes it over.
func (r *run) compare(who int, what string, a *Answer, err error, f *forecast) *Answer {
	r.say("member %d: %s: %s", who, what, codeOf(err))
	if !r.agreeOn(what, err, f.refusals) || err != nil {
		return nil
	}
	p := r.m.people[who]
	l := f.life
	if l == nil {
		if p.living == nil {
			p.living = newLife()
		}
		l = p.living
	}
	r.m.putOff(l, f)
	if x := r.m.restate(l, f); x != nil {
		f.facts = append(f.facts, x)
	}
	if !r.compareEntries(who, what, a, f) {
		return nil
	}
	if a.DestroyedKeys != len(f.dies) {
		r.disagree("%s: %d keys are destroyed, the model says %v", what, a.DestroyedKeys, f.dies)
	}
	gone := 0
	for _, x := range append(slices.Clone(l.facts), f.facts...) {
		if slices.Contains(f.dies, x.where) {
			gone++
		}
	}
	if gone != a.DestroyedEntries {
		r.disagree("%s: %d entries are destroyed, the model says %d", what, a.DestroyedEntries, gone)
	}
	r.compareKeptRows(what, a.Kept, f.kept)
	r.compareNotify(what, a.Notify, f.notify)
	if !f.late.IsZero() && !f.late.Equal(a.DueAt) {
		r.disagree("%s: due at %v, the model says %v", what, a.DueAt, f.late)
	}
	p.apply(l, f)
	r.compareKept(who)
	return a
}

// compareEntries gives each fact of a forecast its entry.
func (r *run) compareEntries(who int, what string, a *Answer, f *forecast) bool {
	var want, got []string
	for _, x := range f.facts {
		if x.kind == "hold" && len(a.Entries) > 0 {
			r.whereHeld(who, x, a.Entries[0].Index)
		}
		want = append(want, className(x.where.class))
	}
	if len(f.dies) > 0 || f.ended {
		want = append(want, "destructions")
	}
	for _, e := range a.Entries {
		got = append(got, e.Class)
	}
	slices.Sort(want)
	sorted := slices.Clone(got)
	slices.Sort(sorted)
	if !slices.Equal(want, sorted) {
		r.disagree("%s: the ledger wrote entries of %v, the model says %v", what, got, want)
		return false
	}
	taken := make([]bool, len(a.Entries))
	for _, x := range f.facts {
		for i, e := range a.Entries {
			if !taken[i] && e.Class == className(x.where.class) {
				taken[i], x.index = true, e.Index
				break
			}
		}
		switch x.kind {
		case "correction":
			x.id = a.Correction
		case "correction_values":
			x.where.ref = a.Correction
		case "request":
			x.id = a.Request
		case "notice":
			x.id = a.Notice
		case "hold":
			x.id = a.Hold
		}
	}
	return true
}

// whereHeld finds the key that a hold is recorded under: any of those that it holds will do.
func (r *run) whereHeld(who int, x *noted, index uint64) {
	for _, rec := range r.records(who) {
		all, _, err := r.l.openMember(rec)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, e := range all {
			if e.Index == index && slices.Contains(x.classes, string(e.key.Class)) {
				x.where = place{string(e.key.Class), e.key.Reference}
			}
		}
	}
}

func (r *run) compareNotify(what string, got []consent.Notify, want []notifyRow) {
	var g, w []string
	for _, n := range got {
		g = append(g, fmt.Sprint(n.Recipient, sorted(n.Items)))
	}
	for _, n := range want {
		w = append(w, fmt.Sprint(n.recipient, sorted(n.items)))
	}
	slices.Sort(g)
	slices.Sort(w)
	if !slices.Equal(g, w) {
		r.disagree("%s: to be told are %v, the model says %v", what, g, w)
	}
}

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}

func className(class string) string { return class[strings.Index(class, "/")+1:] }

func (r *run) compareKeptRows(what string, got []consent.Kept, want []keptRow) {
	var g, w []string
	for _, k := range got {
		row := keptRow{class: k.Class}
		if k.Until != nil {
			row.until = *k.Until
		}
		g = append(g, row.text(r.m.now))
	}
	for _, k := range want {
		w = append(w, k.text(r.m.now))
	}
	slices.Sort(g)
	slices.Sort(w)
	w = slices.Compact(w)
	if !slices.Equal(g, w) {
		r.disagree("%s: kept is %v, the model says %v", what, g, w)
	}
}

// text is a row to compare. What the next sweep destroys has no end to speak of.
func (k keptRow) text(now time.Time) string {
	switch {
	case k.until.IsZero():
		return k.class + " until an event"
	case !k.until.After(now):
		return k.class + " until the next sweep"
	}
	return k.class + " until " + k.until.In(seoul).Format(time.DateTime)
}

// adopt gives an index to what the model says that a sweep wrote.
func (r *run) adopt(who int) {
	p := r.m.people[who]
	known := make(map[uint64]bool)
	lives := slices.Clone(p.ended)
	if p.living != nil {
		lives = append(lives, p.living)
	}
	for _, l := range lives {
		for _, f := range l.facts {
			known[f.index] = true
		}
	}
	for _, rec := range r.records(who) {
		all, _, err := r.l.openMember(rec)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, e := range all {
			for _, l := range lives {
				for _, f := range l.facts {
					if f.index == 0 && !known[e.Index] && f.kind == e.Event.Kind.String() && f.where == (place{string(e.key.Class), e.key.Reference}) {
						f.index, known[e.Index] = e.Index, true
					}
				}
			}
		}
	}
	for _, l := range lives {
		l.sort()
	}
}

// compareKept compares which entries of a member can still be read.
func (r *run) compareKept(who int) {
	p := r.m.people[who]
	var want, got []string
	lives := slices.Clone(p.ended)
	if p.living != nil {
		lives = append(lives, p.living)
	}
	for _, l := range lives {
		for k := range l.keys {
			want = append(want, "a key of "+k.class+" "+k.ref)
		}
		for _, f := range l.facts {
			want = append(want, fmt.Sprintf("%d %s in %s %s", f.index, f.kind, f.where.class, f.where.ref))
		}
	}
	for _, rec := range r.records(who) {
		for i := range rec.Keys {
			got = append(got, "a key of "+rec.Keys[i].Class+" "+rec.Keys[i].Reference)
		}
		all, _, err := r.l.openMember(rec)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, e := range all {
			got = append(got, fmt.Sprintf("%d %s in %s %s", e.Index, e.Event.Kind, e.key.Class, e.key.Reference))
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		r.disagree("member %d: can still be read %v, the model says %v", who, minus(got, want), minus(want, got))
	}
}

func minus(a, b []string) []string { return without(a, b) }

// records are the records of a member's memberships in the keyring.
func (r *run) records(who int) (out []*keyring.Member) {
	id, ok, err := r.l.keys.ByID(r.l.pathOf(r.ids[who]))
	if err != nil {
		r.t.Fatal(err)
	}
	if !ok {
		return nil
	}
	slots := slices.Clone(id.Kept)
	if id.Slot != 0 {
		slots = append(slots, id.Slot)
	}
	for _, s := range slots {
		rec, err := r.l.keys.Member(s)
		if err != nil {
			r.t.Fatal(err)
		}
		if rec != nil {
			out = append(out, rec)
		}
	}
	return out
}

// play makes the steps of a run until the model disagrees, and says how far it came.
func (r *run) play(steps []step) int {
	for i, s := range steps {
		r.rand = rand.New(rand.NewPCG(s.seed, uint64(s.kind)))
		k := kinds[s.kind%len(kinds)]
		r.judge.around(r, k.name, func() { k.do(r) })
		if r.bad != "" {
			return i
		}
	}
	r.sweep()
	return len(steps) - 1
}

func (r *run) close() {
	if err := r.l.Close(); err != nil {
		r.t.Error(err)
	}
}

func makeSteps(seed uint64, n int) []step {
	g := rand.New(rand.NewPCG(seed, 0))
	var wheel []int
	for k := range kinds {
		for range kinds[k].often {
			wheel = append(wheel, k)
		}
	}
	out := make([]step, n)
	for i := range out {
		out[i] = step{wheel[g.IntN(len(wheel))], g.Uint64()}
	}
	return out
}

// shrink takes steps out of a run that ends in a disagreement, as long as it still ends in one.
func shrink(t testing.TB, start func() *run, steps []step) ([]step, *run) {
	try := func(s []step) (*run, int) {
		r := start()
		defer r.close()
		n := r.play(s)
		return r, n
	}
	last, n := try(steps)
	if last.bad == "" {
		return steps, last
	}
	kind := last.kind
	steps = steps[:n+1]
	for size := len(steps) / 2; size > 0; size /= 2 {
		for from := 0; from+size <= len(steps); {
			fewer := slices.Delete(slices.Clone(steps), from, from+size)
			if r, n := try(fewer); r.kind == kind {
				steps, last = fewer[:n+1], r
			} else {
				from += size
			}
		}
	}
	return steps, last
}

// The runs that fit CI: each in a ledger of its own.
const (
	shortRounds = 20
	runSteps    = 200
)

func TestTheLedgerAnswersAsAModelOfTheRulesDoes(t *testing.T) {
	rounds, entries := shortRounds, uint64(0)
	if os.Getenv("CONSENTLEDGER_LONG") == "1" {
		rounds = 1000
	}
	for seed := range uint64(rounds) {
		r := newRun(t)
		steps := makeSteps(seed, runSteps)
		n := r.play(steps)
		if r.bad == "" {
			verifyAll(t, r.l)
			entries += r.l.Size()
		}
		r.close()
		if r.bad != "" {
			full := r.bad
			fewer, short := shrink(t, func() *run { return newRun(t) }, steps)
			t.Fatalf("seed %d, step %d: %s\n\nThe shortest run found, of %d steps:\n%s\n%s", seed, n, full, len(fewer), strings.Join(short.log, "\n"), short.bad)
		}
	}
	t.Logf("%d steps in %d runs, %d entries: the ledger and the model agree", rounds*runSteps, rounds, entries)
}
