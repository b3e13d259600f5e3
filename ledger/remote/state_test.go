package remote

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func aState(t testing.TB) State {
	return State{Verified: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Whole: time.Date(2025, 12, 31, 23, 59, 59, 0, time.UTC), Checkpoint: newLog(t, 3).Head}
}

func TestEveryChangeOfAStateIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	if s, err := ReadState(path); s != nil || err != nil {
		t.Fatalf("no file: %v, %v", s, err)
	}
	want := aState(t)
	for range 2 { // a new one, and in the place of an old one
		if err := WriteState(path, want); err != nil {
			t.Fatal(err)
		}
	}
	got, err := ReadState(path)
	if err != nil || !got.Verified.Equal(want.Verified) || !got.Whole.Equal(want.Whole) || !bytes.Equal(got.Checkpoint, want.Checkpoint) {
		t.Fatalf("control: %+v, %v", got, err)
	}
	good := want.AppendTo(nil)
	for i := range good {
		for bit := range 8 {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << bit
			if _, err := ParseState(bad); !errors.Is(err, ErrState) {
				t.Errorf("bit %d of byte %d: %v", bit, i, err)
			}
		}
		if _, err := ParseState(good[:i]); !errors.Is(err, ErrState) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
	if _, err := ParseState(append(bytes.Clone(good), '\n')); !errors.Is(err, ErrState) {
		t.Errorf("a byte more: %v", err)
	}
	if files, err := os.ReadDir(filepath.Dir(path)); err != nil || len(files) != 1 {
		t.Errorf("what was written on the way is left: %v, %v", files, err)
	}
}

func TestAStateOfVersion1IsRead(t *testing.T) {
	want := aState(t)
	old := want.append1(nil)
	if !bytes.HasPrefix(old, []byte("consentledger verify state v1\nsha256 ")) || !bytes.HasSuffix(old, append([]byte("\nverified 2026-01-02T03:04:05Z\n\n"), want.Checkpoint...)) {
		t.Fatalf("version 1 was written otherwise:\n%s", old)
	}
	got, err := ParseState(old)
	if err != nil || !got.Verified.Equal(want.Verified) || !got.Whole.Equal(want.Verified) || !bytes.Equal(got.Checkpoint, want.Checkpoint) {
		t.Fatalf("%+v, %v", got, err)
	}
	for i := range old {
		bad := bytes.Clone(old)
		bad[i] ^= 1
		if _, err := ParseState(bad); !errors.Is(err, ErrState) {
			t.Errorf("byte %d: %v", i, err)
		}
	}
}

// FuzzState: what parses is written the same way again.
func FuzzState(f *testing.F) {
	good := aState(f).AppendTo(nil)
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add(aState(f).append1(nil))
	f.Add([]byte(stateMagic))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseState(b)
		if err == nil && !bytes.Equal(s.AppendTo(nil), b) && !bytes.Equal(s.append1(nil), b) {
			t.Errorf("%q parses and is written otherwise", b)
		}
		if err != nil && !errors.Is(err, ErrState) {
			t.Error(err)
		}
	})
}
