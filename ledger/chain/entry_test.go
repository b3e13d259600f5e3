package chain

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func refused(t *testing.T, b []byte, field string) {
	t.Helper()
	e, err := Parse(b)
	if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), field) {
		t.Errorf("error is %v, want one about %s", err, field)
	}
	if e.Sealed != nil || e.RecordedAtUnixMs != 0 {
		t.Error("something was returned beside the error")
	}
}

func TestAnEntryWithTrailingOrMissingBytesIsRefused(t *testing.T) {
	for _, padded := range []int{256, 512, 1024, 2048, 4096, 4352, 63488} {
		e := newLog(t, 1, padded).entries[0]
		if _, err := Parse(e); err != nil {
			t.Fatalf("control: %v", err)
		}
		refused(t, append(slices.Clone(e), 0), "size")
		refused(t, e[:len(e)-1], "size")
		refused(t, e[1:], "size")
	}
	refused(t, nil, "size")
	refused(t, make([]byte, HeaderSize), "size")
	refused(t, make([]byte, MaxEntry+1), "size")
	refused(t, newLog(t, 1, 65386).entries[0], "size") // 65,535 bytes: fits, but no padding gives it
}

func TestAnEntryOfAnotherVersionIsRefused(t *testing.T) {
	e := newLog(t, 1).entries[0]
	for version := range 256 {
		if version != Version {
			e[0] = byte(version)
			refused(t, e, "version")
		}
	}
}

func TestAnAllZeroSaltIsRefused(t *testing.T) {
	e := newLog(t, 1).entries[0]
	salt := e[HeaderSize+tagSize:][:saltSize]
	clear(salt)
	refused(t, e, "salt")
	for i := range salt { // control: one bit of salt is enough
		salt[i] = 1
		if _, err := Parse(e); err != nil {
			t.Errorf("salt with byte %d set: %v", i, err)
		}
		salt[i] = 0
	}
}

func TestATimeBefore1970IsRefused(t *testing.T) {
	e := newLog(t, 1).entries[0]
	Complete(e, -1, Hash{})
	refused(t, e, "recorded_at")
	for _, at := range []int64{0, 1, 1<<63 - 1} {
		Complete(e, at, Hash{})
		if got, err := Parse(e); err != nil || got.RecordedAtUnixMs != at {
			t.Errorf("%d: %v", at, err)
		}
	}
}

func TestWhatIsBuiltParsesToWhatWentIn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		padded := paddedSize(rapid.IntRange(1, 63488).Draw(t, "plaintext"))
		rnd := rand.NewChaCha8([32]byte{byte(padded), 1})
		at := rapid.Int64Range(0, 1<<63-1).Draw(t, "recorded_at")
		prev := Hash(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "prev"))
		before := rapid.SliceOf(rapid.Byte()).Draw(t, "before")

		b := appendSealed(AppendHeader(slices.Clone(before)), rnd, padded)
		entry, ok := bytes.CutPrefix(b, before)
		if !ok {
			t.Fatal("AppendHeader changed what it appended to")
		}
		Complete(entry, at, prev)
		e, err := Parse(entry)
		if err != nil {
			t.Fatal(err)
		}
		if e.RecordedAtUnixMs != at || e.Prev != prev || !bytes.Equal(e.Sealed, entry[HeaderSize:]) || !bytes.Equal(e.Tag[:], e.Sealed[:16]) {
			t.Fatalf("parses to %+v", e)
		}
		if again := e.AppendTo(slices.Clone(before)); !bytes.Equal(again, b) {
			t.Fatal("encodes to other bytes")
		}
	})
}

func TestLeafHashIsTheStandardOneAtEverySize(t *testing.T) {
	b := make([]byte, 5000)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	for n := range b {
		if got, want := LeafHash(b[:n]), tlogRoot(t, []Hash{recordHash(b[:n])}); got != want {
			t.Fatalf("%d bytes: %x, tlog has %x", n, got, want)
		}
	}
}

func TestTheAppendPathDoesNotAllocate(t *testing.T) {
	e := newLog(t, 1).entries[0]
	big := newLog(t, 1, 4096).entries[0]
	LeafHash(big)
	buf := make([]byte, 0, len(e))
	for name, f := range map[string]func(){
		"LeafHash": func() { LeafHash(e); LeafHash(big) },
		"Parse":    func() { _, _ = Parse(e) },
		"Complete": func() { Complete(append(AppendHeader(buf), e[HeaderSize:]...), 1, Hash{}) },
	} {
		if n := testing.AllocsPerRun(100, f); n > 0.5 { // a GC may empty the pool once
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, padded := range []int{256, 512, 4096, 4352} {
		e := newLog(f, 1, padded).entries[0]
		f.Add(e)
		f.Add(append(slices.Clone(e), 0))
		f.Add(flip(e, 0, 2))
		f.Add(flip(e, 1, 0x80))
	}
	for _, e := range readVectors(f).Entries {
		f.Add([]byte(e.Entry))
	}
	f.Add([]byte{})
	f.Add(make([]byte, MinEntry))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := Parse(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("%v", err)
			}
			return
		}
		if again := e.AppendTo(nil); !bytes.Equal(again, b) {
			t.Fatalf("%x encodes to %x", b, again)
		}
		if len(b) < MinEntry || len(b) > MaxEntry || e.RecordedAtUnixMs < 0 || [16]byte(e.Sealed) != e.Tag {
			t.Fatalf("%x parses", b)
		}
	})
}
