package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"consentledger/cmd/consentledger/datadir"
	"consentledger/ledger"
	"consentledger/ledger/consent"
	"consentledger/server"
	"consentledger/testdata/policies"
)

// newLedger makes a ledger of some members in a new directory, closed, and
// returns the directory.
func newLedger(t testing.TB, members int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "L")
	o := datadir.Options{AcceptWeakRoot: true, SweepEvery: -1}
	if _, err := datadir.Create(dir, datadir.DefaultRoot(dir), datadir.Genesis{Origin: "test.example", Policies: [][]byte{policies.Haim()}}, o); err != nil {
		t.Fatal(err)
	}
	l, err := datadir.Open(dir, datadir.DefaultRoot(dir), o)
	if err != nil {
		t.Fatal(err)
	}
	who := ledger.Caller{KeyID: "local", Role: ledger.RoleWriter, From: "test"}
	var waiting []*ledger.Pending
	for i := range members {
		id, err := consent.ParseMemberID(fmt.Sprintf("m-%d", i))
		if err != nil {
			t.Fatal(err)
		}
		p, err := l.Submit(t.Context(), who, &consent.Consent{
			Member: id, Enrol: true, MemberKind: "member", Policy: "haim", PolicyVersion: "2025-01-01",
			Decisions: []consent.Decision{{Purpose: "membership", Granted: true}},
			Method:    "checkbox", Locale: "en", OccurredAt: time.Now(), MinimumAgeConfirmed: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		waiting = append(waiting, p)
	}
	for _, p := range waiting {
		if _, err := p.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// serveControl serves a ledger on its control socket until the test ends.
func serveControl(t testing.TB, dir string) {
	t.Helper()
	l, err := datadir.Open(dir, datadir.DefaultRoot(dir), datadir.Options{AcceptWeakRoot: true, SweepEvery: -1})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := server.ListenControl(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.New(l, server.Options{}).ServeControl(ctx, ln) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-ended, l.Close()); err != nil {
			t.Error(err)
		}
	})
}

// answer is what verify --json says.
type answer struct {
	Intact        bool
	FirstBadIndex *uint64 `json:"first_bad_index"`
	Findings      []struct {
		Kind  string
		Index *uint64
		What  string
	}
	Checked, Unchecked []string
	ReadFrom           uint64 `json:"read_from"`
	Before             *struct {
		Entries    uint64
		VerifiedAt time.Time `json:"verified_at"`
		WholeAt    time.Time `json:"whole_at"`
	}
}

// verify runs verify --json in this process.
func verify(t *testing.T, args ...string) (rc int, a answer, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	rc = run(append([]string{"verify", "--json", "--structure"}, args...), &out, &errs)
	if out.Len() > 0 {
		if err := json.Unmarshal(out.Bytes(), &a); err != nil {
			t.Fatalf("%v: %s", err, out.String())
		}
	}
	return rc, a, errs.String()
}

// A page of the database is overwritten with what a bad disk returns. Verify
// must say that something is wrong unless the page holds nothing, and must
// never crash or call it impossible to check.
func TestADamagedPageIsAlwaysFoundUnlessItHoldsNothing(t *testing.T) {
	dir := newLedger(t, 40)
	whole, err := os.ReadFile(datadir.Database(dir))
	if err != nil {
		t.Fatal(err)
	}
	inUse := pagesInUse(t, datadir.Database(dir))
	if rc, a, msg := verify(t, "--dir", dir); rc != exitDone {
		t.Fatalf("before any damage: %d %+v %s", rc, a.Findings, msg)
	}
	page := os.Getpagesize()
	found := 0
	for n := 2; n < len(whole)/page; n++ { // pages 0 and 1 are the headers, each of which stands in for the other
		for name, fill := range map[string]byte{"zeros": 0, "ones": 0xff} {
			bad := slices.Clone(whole)
			for i := range page {
				bad[n*page+i] = fill
			}
			if bytes.Equal(bad, whole) {
				continue // so it is no damage
			}
			if err := os.WriteFile(datadir.Database(dir), bad, 0o600); err != nil {
				t.Fatal(err)
			}
			rc, a, msg := verify(t, "--dir", dir)
			switch {
			case rc == exitNo && len(a.Findings) > 0 && !a.Intact:
				found++
			case rc == exitDone && !inUse[n]:
			default:
				t.Errorf("page %d of %s, in use %v: exit code %d, findings %+v, %s", n, name, inUse[n], rc, a.Findings, msg)
			}
		}
	}
	if found < 10 {
		t.Errorf("damage was found in %d cases only: the test damages nothing that matters", found)
	}
}

// pagesInUse says which pages something points to, in bbolt's own words.
func pagesInUse(t *testing.T, path string) map[int]bool {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, PreLoadFreelist: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	inUse := map[int]bool{}
	err = db.View(func(tx *bbolt.Tx) error {
		for id := 0; ; {
			p, err := tx.Page(id)
			if err != nil || p == nil {
				return err
			}
			for i := range p.OverflowCount + 1 {
				inUse[id+i] = p.Type != "free"
			}
			id += p.OverflowCount + 1
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return inUse
}

// tagRun makes the run of a ledger's first entries: the layout that
// tagindex documents, written down once more.
func tagRun(t *testing.T, database string, from, to uint64) []byte {
	t.Helper()
	const tagAt = 41 // version 1, recorded_at 8, prev 32
	db, err := bbolt.Open(database, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var pairs [][]byte
	err = db.View(func(tx *bbolt.Tx) error {
		for i := from; i < to; i++ {
			key := binary.BigEndian.AppendUint64(nil, i)
			e := tx.Bucket([]byte("entries")).Get(key)
			pairs = append(pairs, append(bytes.Clone(e[tagAt:tagAt+16]), key...))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(pairs, bytes.Compare)
	b := binary.BigEndian.AppendUint64([]byte("cltags1\n"), from)
	b = binary.BigEndian.AppendUint64(b, to)
	return sealRun(append(b, slices.Concat(pairs...)...))
}

func sealRun(b []byte) []byte {
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

func TestATagRunIsHeldAgainstItsEntries(t *testing.T) {
	dir := newLedger(t, 30)
	const from, to = 0, 30
	good := tagRun(t, datadir.Database(dir), from, to)
	path := filepath.Join(dir, "tags", fmt.Sprintf("%012x-%012x.tags", from, to))
	put := func(b []byte) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(good)
	rc, a, msg := verify(t, "--dir", dir)
	if rc != exitDone || !slices.Contains(a.Checked, "1 tag runs: each leads to its entries") {
		t.Fatalf("a good run: exit code %d, %+v, %s", rc, a, msg)
	}
	// The ledger itself takes it for a run, so what is tested here is one.
	if rc, a, msg := verify(t, "--deep", "--dir", dir, "--accept-weak-root"); rc != exitDone {
		t.Fatalf("a good run, deep: exit code %d, %+v, %s", rc, a, msg)
	}
	if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, good) {
		t.Fatal("the ledger did not keep the run")
	}

	const header, pair = 24, 24
	body := good[:len(good)-4]
	change := func(f func(b []byte) []byte) []byte { return sealRun(f(bytes.Clone(body))) }
	index := func(b []byte, i int) uint64 { return binary.BigEndian.Uint64(b[header+i*pair+16:]) }
	first := min(index(good, 4), index(good, 9))
	for name, c := range map[string]struct {
		run  []byte
		want *uint64
	}{
		"two indexes changed places": {change(func(b []byte) []byte {
			x, y := b[header+4*pair+16:][:8], b[header+9*pair+16:][:8]
			for i := range x {
				x[i], y[i] = y[i], x[i]
			}
			return b
		}), &first},
		"one tag is another": {change(func(b []byte) []byte { b[header+15]++; return b }), ptr(index(good, 0))},
		"an index is twice there": {change(func(b []byte) []byte {
			copy(b[header+pair+16:][:8], b[header+16:][:8])
			return b
		}), ptr(min(index(good, 0), index(good, 1)))},
		"a bit of the checksum": {append(bytes.Clone(body), good[len(good)-4]^1, good[len(good)-3], good[len(good)-2], good[len(good)-1]), nil},
		"out of order": {change(func(b []byte) []byte {
			copy(b[header:], good[header+pair:][:pair])
			copy(b[header+pair:], good[header:][:pair])
			return b
		}), nil},
		"leads outside": {change(func(b []byte) []byte { b[header+16] = 1; return b }), nil},
		"cut short":     {good[:len(good)-1], nil},
		"empty":         {nil, nil},
		"covers what is not there": {change(func(b []byte) []byte {
			b[22]++ // 256 more
			for range 256 {
				b = append(b, make([]byte, pair)...)
			}
			return b
		}), nil},
	} {
		put(c.run)
		rc, a, msg := verify(t, "--dir", dir)
		if rc != exitNo || len(a.Findings) != 1 || a.Findings[0].Kind != string(ledger.TagRunDiffers) {
			t.Errorf("%s: exit code %d, %+v, %s", name, rc, a.Findings, msg)
			continue
		}
		got := a.FirstBadIndex
		if (got == nil) != (c.want == nil) || got != nil && *got != *c.want {
			t.Errorf("%s: first bad index %s instead of %s", name, show(got), show(c.want))
		}
	}
}

func ptr(i uint64) *uint64 { return &i }

func show(i *uint64) string {
	if i == nil {
		return "none"
	}
	return fmt.Sprint(*i)
}

// overwrite changes bytes of a file in place.
func overwrite(t *testing.T, path string, at int, b []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(b, int64(at)); err != nil {
		t.Fatal(err)
	}
}

// The database is changed under a server that has it open: the server hands
// out what is there, and who verifies sees it.
func TestVerifyBesideAServerFindsWhatWasChangedUnderIt(t *testing.T) {
	const index = 300 // in the second tile's entries
	dir := newLedger(t, 600)
	entry := entryOf(t, datadir.Database(dir), index)
	serveControl(t, dir)
	if rc, a, msg := verify(t, "--dir", dir); rc != exitDone {
		t.Fatalf("before any change: exit code %d, %+v, %s", rc, a, msg)
	}
	whole, err := os.ReadFile(datadir.Database(dir))
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.LastIndex(whole, entry)
	if at < 0 {
		t.Fatal("the entry is not in the file")
	}
	last := at + len(entry) - 1
	overwrite(t, datadir.Database(dir), last, []byte{whole[last] ^ 1})
	rc, a, msg := verify(t, "--dir", dir)
	if rc != exitNo || a.FirstBadIndex == nil || *a.FirstBadIndex != index {
		t.Errorf("one bit changed: exit code %d, first bad index %s, %+v, %s", rc, show(a.FirstBadIndex), a.Findings, msg)
	}
	overwrite(t, datadir.Database(dir), last, whole[last:last+1])
	if rc, a, msg := verify(t, "--dir", dir); rc != exitDone {
		t.Fatalf("changed back: exit code %d, %+v, %s", rc, a, msg)
	}

	// What the server cannot read is damage, and not a check that failed.
	page := at / os.Getpagesize() * os.Getpagesize()
	overwrite(t, datadir.Database(dir), page, make([]byte, os.Getpagesize()))
	rc, a, msg = verify(t, "--dir", dir)
	if rc != exitNo || a.FirstBadIndex == nil || *a.FirstBadIndex > index || *a.FirstBadIndex+20 < index {
		t.Errorf("a page of zeros: exit code %d, first bad index %s, %+v, %s", rc, show(a.FirstBadIndex), a.Findings, msg)
	}
	overwrite(t, datadir.Database(dir), page, whole[page:page+os.Getpagesize()])
}

func entryOf(t *testing.T, database string, index uint64) (entry []byte) {
	t.Helper()
	db, err := bbolt.Open(database, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.View(func(tx *bbolt.Tx) error {
		entry = bytes.Clone(tx.Bucket([]byte("entries")).Get(binary.BigEndian.AppendUint64(nil, index)))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return entry
}

// Every field of the head row is held against something: what the log and the
// keyring show without a key, what needs the root key by the deep check.
func TestEveryFieldOfTheHeadRowIsChecked(t *testing.T) {
	dir := newLedger(t, 20)
	whole, err := os.ReadFile(datadir.Database(dir))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		at      int
		without bool // a key
	}{
		"size": {7, true}, "root": {8, true}, "generation": {47, false}, "version": {55, false},
		"top page": {56, true}, "time": {95, true}, "MAC": {96, false},
	} {
		if err := os.WriteFile(datadir.Database(dir), whole, 0o600); err != nil {
			t.Fatal(err)
		}
		if rc, a, msg := verify(t, "--deep", "--dir", dir, "--accept-weak-root"); rc != exitDone {
			t.Fatalf("before any change: exit code %d, %+v, %s", rc, a, msg)
		}
		if err := os.WriteFile(datadir.Database(dir), whole, 0o600); err != nil {
			t.Fatal(err)
		}
		db, err := bbolt.Open(datadir.Database(dir), 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = db.Update(func(tx *bbolt.Tx) error {
			b := tx.Bucket([]byte("meta"))
			row := bytes.Clone(b.Get([]byte("head")))
			if name == "time" {
				// Earlier than the newest entry. Later is possible: a commit may write no entry.
				binary.BigEndian.PutUint64(row[88:], binary.BigEndian.Uint64(row[88:])-1)
			} else {
				row[c.at] ^= 1
			}
			return b.Put([]byte("head"), row)
		})
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
		want := exitDone
		if c.without {
			want = exitNo
		}
		if rc, a, msg := verify(t, "--dir", dir); rc != want {
			t.Errorf("%s: exit code %d instead of %d, %+v, %s", name, rc, want, a.Findings, msg)
		}
		if rc, a, msg := verify(t, "--deep", "--dir", dir, "--accept-weak-root"); rc != exitNo || len(a.Findings) == 0 {
			t.Errorf("%s, deep: exit code %d, %+v, %s", name, rc, a.Findings, msg)
		}
	}
}
