package ledger

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"consentledger/ledger/store"
	"consentledger/ledger/store/bolt"
)

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

func copyDir(t testing.TB, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// loseNewestMeta wipes the meta page of bbolt that was written last.
func loseNewestMeta(t testing.TB, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var newest, at uint64
	for i := range uint64(2) {
		b := make([]byte, pageSize)
		if _, err := f.ReadAt(b, int64(i*pageSize)); err != nil {
			t.Fatal(err)
		}
		// page header 16, magic 4, version 4, page size 4, flags 4, root 16, freelist 8, high water mark 8, txid 8
		if txid := binary.LittleEndian.Uint64(b[16+48:]); txid >= newest {
			newest, at = txid, i
		}
	}
	if _, err := f.WriteAt(make([]byte, pageSize), int64(at*pageSize)); err != nil {
		t.Fatal(err)
	}
}

// lazyStore leaves step 3 out.
type lazyStore struct{ store.Store }

func (lazyStore) Settle() error { return nil }

func afterDestructionLoseMeta(t *testing.T, wrap func(store.Store) store.Store) error {
	w := newWorld(t)
	w.wrap = wrap
	l := w.create(t)
	mustDo(t, l, enrolment(t, "stays@shop.example", w))
	mustDo(t, l, enrolment(t, "leaves@shop.example", w))
	if err := l.publish(0); err != nil {
		t.Fatal(err)
	}
	mustDo(t, l, leave(t, "leaves@shop.example"))
	// The process ends here, before anything else is committed or published.
	copyDir(t, w.dir, w.dir+"-after")
	copyFile(t, w.root, w.root+"-after")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	w.dir, w.root = w.dir+"-after", w.root+"-after"
	if err := os.Chmod(w.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	loseNewestMeta(t, filepath.Join(w.dir, "ledger.db"))
	l, err := w.open()
	if err != nil {
		return err
	}
	defer l.Close()
	for i := range 2 { // the lost meta page is written again by the commit after next
		mustDo(t, l, enrolment(t, memberName(i), w))
	}
	verifyAll(t, l)
	if _, _, err := l.Lookup(t.Context(), writer, memberID(t, "leaves@shop.example")); !errors.Is(err, ErrUnknownMember) {
		t.Errorf("who left is back: %v", err)
	}
	if d := decide(t, l, "stays@shop.example", "membership"); !d.Allowed {
		t.Errorf("who stayed: %+v", d)
	}
	return nil
}

func TestLosingTheNewestMetaPageAfterADestructionLosesNothing(t *testing.T) {
	if err := afterDestructionLoseMeta(t, nil); err != nil {
		t.Error(err)
	}
}

func TestLosingTheMetaPageWithoutTheSecondTransactionWouldLoseTheLedger(t *testing.T) {
	if err := afterDestructionLoseMeta(t, func(s store.Store) store.Store { return lazyStore{s} }); err == nil {
		t.Error("control: step 3 is left out, the newest meta page is lost, and nothing is amiss")
	}
}

func TestAnOldDatabaseBesideANewRootAndTheOtherWayRoundAreRefused(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	mustDo(t, l, enrolment(t, "stays@shop.example", w))
	mustDo(t, l, enrolment(t, "leaves@shop.example", w))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	copyDir(t, w.dir, w.dir+"-old")
	copyFile(t, w.root, w.root+"-old")
	l, err := w.open()
	if err != nil {
		t.Fatal(err)
	}
	mustDo(t, l, leave(t, "leaves@shop.example"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	check := func(what, dir, root, says string) {
		t.Helper()
		// On copies: a refusal must not change anything, and that is shown by what comes after.
		v := newWorld(t)
		copyDir(t, dir, filepath.Join(filepath.Dir(v.dir), "copy"))
		v.dir = filepath.Join(filepath.Dir(v.dir), "copy")
		v.root = filepath.Join(filepath.Dir(v.dir), "root.key")
		copyFile(t, root, v.root)
		before, err := os.ReadFile(v.root)
		if err != nil {
			t.Fatal(err)
		}
		l, err := v.open()
		if err == nil {
			l.Close()
			t.Errorf("%s: it opens", what)
			return
		}
		if !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want it to say %q", what, err, says)
		}
		after, err := os.ReadFile(v.root)
		if err != nil {
			t.Fatal(err)
		}
		if string(before) != string(after) {
			t.Errorf("%s: the refusal changed the root file", what)
		}
	}
	check("an old database and an old head file beside a new root", w.dir+"-old", w.root, "generation")
	check("a new database beside an old root", w.dir, w.root+"-old", "generation")
	copyFile(t, filepath.Join(w.dir+"-old", "ledger.db"), filepath.Join(w.dir, "ledger.db.old"))
	if err := os.Rename(filepath.Join(w.dir, "ledger.db"), filepath.Join(w.dir, "ledger.db.new")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(w.dir, "ledger.db.old"), filepath.Join(w.dir, "ledger.db")); err != nil {
		t.Fatal(err)
	}
	check("an old database beside a newer published head", w.dir, w.root+"-old", "was published")
	if err := os.Rename(filepath.Join(w.dir, "ledger.db.new"), filepath.Join(w.dir, "ledger.db")); err != nil {
		t.Fatal(err)
	}
	// Control: the right pair opens.
	if l, err = w.open(); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	verifyAll(t, l)
}

// editDB changes one value in a closed ledger's database.
func editDB(t testing.TB, w *world, f func(w store.Writer) error) {
	t.Helper()
	s, err := bolt.Open(filepath.Join(w.dir, "ledger.db"), bolt.Options{Maps: boltMaps(map[store.Map]bolt.MapOptions{})})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Update(f); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func pagesOf(t testing.TB, w *world) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	editDB(t, w, func(x store.Writer) error {
		return x.Scan(mapKeyring, nil, nil, func(k, v []byte) error {
			out[string(k)] = append([]byte(nil), v...)
			return nil
		})
	})
	return out
}

// deepFindings opens a ledger and says what verify --deep finds, or why it does not open.
func deepFindings(t testing.TB, w *world) string {
	t.Helper()
	l, err := w.open()
	if err != nil {
		return err.Error()
	}
	defer l.Close()
	r, err := l.VerifyDeep(t.Context(), admin, nil)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, f := range r.Findings {
		out.WriteString(f.Kind + ": " + f.What + "\n")
	}
	return out.String()
}

func TestAKeyringPagePutBackAlteredOrRemovedIsNamed(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	for i := range 40 {
		mustDo(t, l, enrolment(t, memberName(i), w))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	old := pagesOf(t, w)
	l, err := w.open()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		mustDo(t, l, leave(t, memberName(i)))
	}
	for i := 40; i < 60; i++ {
		mustDo(t, l, enrolment(t, memberName(i), w))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if found := deepFindings(t, w); found != "" {
		t.Fatalf("control: the untouched ledger has findings: %s", found)
	}
	now := pagesOf(t, w)
	replayed := 0
	for pos, page := range now {
		pos := []byte(pos)
		try := func(what string, put func(x store.Writer) error) {
			t.Helper()
			editDB(t, w, put)
			if found := deepFindings(t, w); !strings.Contains(found, "page") {
				t.Errorf("page %x %s: found %q", pos, what, found)
			}
			editDB(t, w, func(x store.Writer) error { return x.Put(mapKeyring, pos, page) })
		}
		if before := old[string(pos)]; before != nil && string(before) != string(page) {
			replayed++
			try("replaced by its older version", func(x store.Writer) error { return x.Put(mapKeyring, pos, before) })
		}
		flipped := append([]byte(nil), page...)
		flipped[len(flipped)/2] ^= 1
		try("with a bit flipped", func(x store.Writer) error { return x.Put(mapKeyring, pos, flipped) })
		try("removed", func(x store.Writer) error { return x.Delete(mapKeyring, pos) })
	}
	if replayed < 3 {
		t.Errorf("only %d pages had an older version to put back", replayed)
	}
	if found := deepFindings(t, w); found != "" {
		t.Errorf("after putting everything right: %s", found)
	}
}
