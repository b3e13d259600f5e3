package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

const origin = "ledger.example/consent"

var errNoEntropy = errors.New("no entropy")

// bodies draws mostly short bodies, and often one at the edge of a bucket.
func bodies() *rapid.Generator[[]byte] {
	edge := rapid.Custom(func(t *rapid.T) []byte {
		n := rapid.SampledFrom([]int{0, 1, 251, 252, 253, 508, 509, 1020, 1021, 4092, 4093, 4348, 4349, 8188, 8189, MaxBody}).Draw(t, "size")
		return bytes.Repeat([]byte{rapid.Byte().Draw(t, "fill")}, n)
	})
	return rapid.OneOf(rapid.SliceOfN(rapid.Byte(), 0, 600), edge)
}

func mustSeal(t interface{ Fatal(...any) }, box Box, version byte, k Key, tag Tag, body []byte) []byte {
	sealed, err := box.Seal(nil, rand.Reader, version, k, tag, body)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func TestWhatIsSealedOpens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k, body := keys().Draw(t, "k"), bodies().Draw(t, "body")
		version := rapid.Byte().Draw(t, "version")
		tag := Tag(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "tag"))
		box := NewBox(rapid.String().Draw(t, "origin"))
		before := rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "before")

		out, err := box.Seal(bytes.Clone(before), rand.Reader, version, k, tag, body)
		if err != nil {
			t.Fatal(err)
		}
		sealed, ok := bytes.CutPrefix(out, before)
		size, err := PaddedSize(len(body))
		if !ok || err != nil || len(sealed) != Overhead+size || !bytes.HasPrefix(sealed, tag[:]) {
			t.Fatalf("%d bytes for a body of %d, error %v", len(sealed), len(body), err)
		}
		kept := bytes.Clone(sealed)
		got, err := box.Open(bytes.Clone(before), version, k, sealed)
		if err != nil || !bytes.Equal(got, append(bytes.Clone(before), body...)) {
			t.Fatalf("Open: error %v, or not the body", err)
		}
		prk, err := PRK(k, sealed)
		if err != nil {
			t.Fatal(err)
		}
		got, err = box.OpenPRK(nil, version, prk, sealed)
		if err != nil || !bytes.Equal(got, body) {
			t.Fatalf("OpenPRK: error %v, or not the body", err)
		}
		if !bytes.Equal(sealed, kept) {
			t.Fatal("opening changed the record")
		}
	})
}

func TestWhatABufferHeldBeforeIsNotSealed(t *testing.T) {
	k, box, random := mustKey(t, stream("key", KeySize)), NewBox(origin), stream("random", 44)
	fresh, err := box.Seal(nil, bytes.NewReader(random), 1, k, Tag{}, []byte("body"))
	if err != nil {
		t.Fatal(err)
	}
	used, err := box.Seal(bytes.Repeat([]byte{0xA5}, 1000)[:0], bytes.NewReader(random), 1, k, Tag{}, []byte("body"))
	if err != nil || !bytes.Equal(used, fresh) {
		t.Errorf("error %v, or other bytes than in a fresh buffer", err)
	}
	body, err := box.Open(bytes.Repeat([]byte{0xA5}, 1000)[:0], 1, k, used)
	if err != nil || string(body) != "body" {
		t.Errorf("opened into a used buffer: %q, %v", body, err)
	}
}

func TestTheSameBodySealedTwiceSharesNothingButItsTag(t *testing.T) {
	k := mustKey(t, stream("key", KeySize))
	a := mustSeal(t, NewBox(origin), 1, k, Tag{}, make([]byte, 50))
	b := mustSeal(t, NewBox(origin), 1, k, Tag{}, make([]byte, 50))
	for part, at := range map[string][2]int{
		"salt": {saltAt, commitmentAt}, "commitment": {commitmentAt, nonceAt},
		"nonce": {nonceAt, ciphertextAt}, "ciphertext": {ciphertextAt, len(a) - 16}, "gcm tag": {len(a) - 16, len(a)},
	} {
		if bytes.Equal(a[at[0]:at[1]], b[at[0]:at[1]]) {
			t.Errorf("both have the same %s", part)
		}
	}
}

func TestEverySingleBitFlipIsRefused(t *testing.T) {
	k, box := mustKey(t, stream("key", KeySize)), NewBox(origin)
	sealed := mustSeal(t, box, 1, k, Tag{1}, stream("body", 40))
	prk, err := PRK(k, sealed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := box.Open(nil, 1, k, sealed); err != nil {
		t.Fatal(err)
	}
	for i := range sealed {
		for bit := range 8 {
			sealed[i] ^= 1 << bit
			want, wantPRK := ErrAltered, ErrAltered
			if i >= saltAt && i < nonceAt {
				want = ErrWrongKey
			}
			if i >= commitmentAt && i < nonceAt {
				wantPRK = ErrWrongKey
			}
			if _, err := box.Open(nil, 1, k, sealed); !errors.Is(err, want) {
				t.Errorf("byte %d, bit %d: %v, want %v", i, bit, err, want)
			}
			if _, err := box.OpenPRK(nil, 1, prk, sealed); !errors.Is(err, wantPRK) {
				t.Errorf("byte %d, bit %d, PRK: %v, want %v", i, bit, err, wantPRK)
			}
			sealed[i] ^= 1 << bit
		}
	}
	if _, err := box.Open(nil, 1, k, sealed); err != nil {
		t.Fatal(err)
	}
}

func TestAnAlteredRecordIsRefused(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k, body, box := keys().Draw(t, "k"), bodies().Draw(t, "body"), NewBox(origin)
		sealed := mustSeal(t, box, 1, k, Tag{}, body)
		altered := bytes.Clone(sealed)
		switch rapid.SampledFrom([]string{"flip", "cut", "extend", "version"}).Draw(t, "how") {
		case "flip":
			altered[rapid.IntRange(0, len(sealed)-1).Draw(t, "byte")] ^= byte(rapid.IntRange(1, 255).Draw(t, "with"))
		case "cut":
			altered = altered[:rapid.IntRange(0, len(sealed)-1).Draw(t, "length")]
		case "extend":
			altered = append(altered, make([]byte, rapid.IntRange(1, 300).Draw(t, "by"))...)
		case "version":
			v := byte(rapid.IntRange(2, 255).Draw(t, "version"))
			if _, err := box.Open(nil, v, k, sealed); !errors.Is(err, ErrAltered) {
				t.Fatalf("version %d: %v", v, err)
			}
			return
		}
		if _, err := box.Open(nil, 1, k, altered); !errors.Is(err, ErrAltered) && !errors.Is(err, ErrWrongKey) {
			t.Fatalf("error %v", err)
		}
	})
}

func TestAnotherKeyOrOriginIsRefusedByTheCommitment(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k, other := keys().Draw(t, "k"), keys().Draw(t, "other")
		if k.Equal(other) {
			t.Skip("the same key")
		}
		o, o2 := rapid.String().Draw(t, "origin"), rapid.String().Draw(t, "other origin")
		sealed := mustSeal(t, NewBox(o), 1, k, Tag{}, []byte("body"))
		if _, err := NewBox(o).Open(nil, 1, other, sealed); !errors.Is(err, ErrWrongKey) {
			t.Fatalf("another key: %v", err)
		}
		if _, err := NewBox(o).Open(nil, 1, k.Next(), sealed); !errors.Is(err, ErrWrongKey) {
			t.Fatalf("the ratchet's next key: %v", err)
		}
		if o == o2 {
			return
		}
		if _, err := NewBox(o2).Open(nil, 1, k, sealed); !errors.Is(err, ErrWrongKey) {
			t.Fatalf("another origin: %v", err)
		}
	})
}

func TestTheDisclosureOfOneRecordOpensNoOther(t *testing.T) {
	k, box := mustKey(t, stream("key", KeySize)), NewBox(origin)
	one, two := mustSeal(t, box, 1, k, Tag{}, []byte("one")), mustSeal(t, box, 1, k, Tag{}, []byte("two"))
	prk, err := PRK(k, one)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := box.OpenPRK(nil, 1, prk, one); err != nil || string(got) != "one" {
		t.Fatalf("its own record: %q, %v", got, err)
	}
	if _, err := box.OpenPRK(nil, 1, prk, two); !errors.Is(err, ErrWrongKey) {
		t.Errorf("another record of the same key: %v", err)
	}
}

// HKDF takes no salt for a salt of zero bytes, so the PRK of a record with a zero
// salt, once disclosed, would give what Derive gives: the tag key. The control
// shows that it would.
func TestARecordWithAZeroSaltIsNeitherMadeNorOpenedNorDisclosed(t *testing.T) {
	k, box := mustKey(t, stream("key", KeySize)), NewBox(origin)
	s := newScratch()
	s.key = k.b
	s.extract(make([]byte, saltSize))
	s.expand(tagInfo, 1)
	if !bytes.Equal(s.okm[:KeySize], k.Derive(tagInfo).AppendTo(nil)) {
		t.Fatal("the PRK of a zero salt does not give the tag key: the rule has no reason")
	}
	s.free()

	if _, err := box.Seal(nil, bytes.NewReader(make([]byte, 44)), 1, k, Tag{}, nil); !errors.Is(err, errRandomness) {
		t.Errorf("Seal: %v", err)
	}
	sealed := mustSeal(t, box, 1, k, Tag{}, nil)
	clear(sealed[saltAt:commitmentAt])
	if _, err := box.Open(nil, 1, k, sealed); !errors.Is(err, ErrAltered) {
		t.Errorf("Open: %v", err)
	}
	if _, err := box.OpenPRK(nil, 1, [32]byte{1}, sealed); !errors.Is(err, ErrAltered) {
		t.Errorf("OpenPRK: %v", err)
	}
	if _, err := PRK(k, sealed); !errors.Is(err, ErrAltered) {
		t.Errorf("PRK: %v", err)
	}
}

func TestTheZeroKeyNeitherSealsNorOpens(t *testing.T) {
	box := NewBox(origin)
	sealed := mustSeal(t, box, 1, mustKey(t, stream("key", KeySize)), Tag{}, nil)
	_, sealErr := box.Seal(nil, rand.Reader, 1, Key{}, Tag{}, nil)
	_, openErr := box.Open(nil, 1, Key{}, sealed)
	_, prkErr := PRK(Key{}, sealed)
	for what, err := range map[string]error{"Seal": sealErr, "Open": openErr, "PRK": prkErr} {
		if !errors.Is(err, ErrNoKey) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestABodyOverTheLimitIsRefused(t *testing.T) {
	k, box := mustKey(t, stream("key", KeySize)), NewBox(origin)
	sealed := mustSeal(t, box, 1, k, Tag{}, make([]byte, MaxBody))
	if entry := 41 + len(sealed); entry > 65_535 {
		t.Errorf("the largest entry has %d bytes", entry)
	}
	for _, n := range []int{-1, MaxBody + 1, 1 << 30} {
		if size, err := PaddedSize(n); !errors.Is(err, ErrTooLarge) || size != 0 {
			t.Errorf("PaddedSize(%d) = %d, %v", n, size, err)
		}
	}
	if _, err := box.Seal(nil, rand.Reader, 1, k, Tag{}, make([]byte, MaxBody+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Seal: %v", err)
	}
	if entry := 41 + Overhead + padme(MaxBody+1+lengthSize); entry <= 65_535 {
		t.Errorf("the limit is too low: one byte more makes an entry of %d bytes", entry)
	}
	if _, err := box.Open(nil, 1, k, append(sealed, make([]byte, 2048)...)); !errors.Is(err, ErrAltered) {
		t.Errorf("Open of a record over the limit: %v", err)
	}
}

func TestPaddingWastesAtMostAnEighthBeyondTheDoubledBuckets(t *testing.T) {
	last, sizes := 0, map[int]bool{}
	for n := range MaxBody + 1 {
		size, err := PaddedSize(n)
		if err != nil || size < n+lengthSize || size < last {
			t.Fatalf("PaddedSize(%d) = %d, %v", n, size, err)
		}
		if n > lastDoubledBucket && 8*(size-n-lengthSize) > n {
			t.Errorf("PaddedSize(%d) = %d wastes more than an eighth", n, size)
		}
		last, sizes[size] = size, true
	}
	if last != maxPlaintext {
		t.Errorf("the largest size is %d, not %d", last, maxPlaintext)
	}
	if len(sizes) > 70 {
		t.Errorf("%d different sizes say too much about a length", len(sizes))
	}
}

// A source that gives out a, then fails.
func TestAFailingSourceOfRandomnessIsAnError(t *testing.T) {
	k, box := mustKey(t, stream("key", KeySize)), NewBox(origin)
	for n := range 44 {
		source := io.MultiReader(bytes.NewReader(stream("random", n)), iotest.ErrReader(errNoEntropy))
		dst := []byte("before")
		out, err := box.Seal(dst, source, 1, k, Tag{}, []byte("body"))
		if !errors.Is(err, errNoEntropy) || out != nil || string(dst) != "before" {
			t.Errorf("after %d bytes: %q, %v", n, out, err)
		}
	}
}

func TestSealTakesExactly44RandomBytes(t *testing.T) {
	source := bytes.NewReader(stream("random", 100))
	if _, err := NewBox(origin).Seal(nil, source, 1, mustKey(t, stream("key", KeySize)), Tag{}, nil); err != nil {
		t.Fatal(err)
	}
	if source.Len() != 56 {
		t.Errorf("%d bytes of 100 are left", source.Len())
	}
}

// What a cleared buffer promises: the pool never hands a secret on.
func TestScratchIsClearedBeforeItIsUsedAgain(t *testing.T) {
	s := newScratch()
	s.key, s.prk = [KeySize]byte{1}, [sha256.Size]byte{2}
	s.okm[63], s.salt[0], s.aad[0] = 3, 4, 5
	s.msg = append(s.msg, "a member id"...)
	s.out[95] = 6
	s.free()
	if s.key != ([KeySize]byte{}) || s.prk != ([sha256.Size]byte{}) || s.okm != ([64]byte{}) || s.out != ([96]byte{}) || !isZero(s.msg[:cap(s.msg)]) {
		t.Error("a freed scratch holds secrets")
	}
}

func TestSealAllocatesOnlyWhatTheCiphersNeed(t *testing.T) {
	k, box, body := mustKey(t, stream("key", KeySize)), NewBox(origin), make([]byte, 200)
	random, salt := bytes.NewReader(nil), stream("random", 44)
	dst := make([]byte, 0, 512)
	// What AES-GCM costs by itself.
	floor := testing.AllocsPerRun(200, func() {
		block, _ := aes.NewCipher(salt[:32])
		cipher.NewGCM(block)
	})
	got := testing.AllocsPerRun(200, func() {
		random.Reset(salt)
		if _, err := box.Seal(dst, random, 1, k, Tag{}, body); err != nil {
			t.Fatal(err)
		}
	})
	if got > floor {
		t.Errorf("%v allocations, and the ciphers by themselves need %v", got, floor)
	}
	sealed := mustSeal(t, box, 1, k, Tag{}, body)
	if got := testing.AllocsPerRun(200, func() {
		if _, err := box.Open(dst, 1, k, sealed); err != nil {
			t.Fatal(err)
		}
	}); got > floor {
		t.Errorf("Open: %v allocations, and the ciphers by themselves need %v", got, floor)
	}
}

func TestABoxServesManyGoroutinesAtOnce(t *testing.T) {
	box, errs := NewBox(origin), make(chan error, 4)
	for g := range cap(errs) {
		go func() {
			k, err := NewKey(rand.Reader)
			for i := range 200 {
				body := bytes.Repeat([]byte{byte(g)}, i)
				var sealed, got []byte
				if err == nil {
					sealed, err = box.Seal(nil, rand.Reader, 1, k, Tag{}, body)
				}
				if err == nil {
					got, err = box.Open(nil, 1, k, sealed)
				}
				if err == nil && !bytes.Equal(got, body) {
					err = errors.New("another body came back")
				}
			}
			errs <- err
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// FuzzOpen: whatever opens is exactly what Seal makes of that body.
func FuzzOpen(f *testing.F) {
	key := [KeySize]byte(stream("key", KeySize))
	for _, v := range loadVectors(f).Records {
		if v.Sealed != nil {
			f.Add([]byte(v.Key), v.Version, []byte(v.Sealed))
		}
	}
	f.Add(key[:], byte(1), []byte{})
	f.Fuzz(func(t *testing.T, keyBytes []byte, version byte, sealed []byte) {
		k, err := KeyFromBytes(keyBytes)
		if err != nil {
			return
		}
		before := bytes.Clone(sealed)
		body, err := NewBox(origin).Open(nil, version, k, sealed)
		if !bytes.Equal(sealed, before) {
			t.Fatal("Open changed its input")
		}
		if err != nil {
			if body != nil {
				t.Fatal("a refused record gave a body")
			}
			if !errors.Is(err, ErrWrongKey) && !errors.Is(err, ErrAltered) && !errors.Is(err, ErrPadding) {
				t.Fatalf("an error without a name: %v", err)
			}
			return
		}
		again, err := NewBox(origin).Seal(nil, bytes.NewReader(append(bytes.Clone(sealed[saltAt:commitmentAt]), sealed[nonceAt:ciphertextAt]...)), version, k, Tag(sealed[:16]), body)
		if err != nil || !bytes.Equal(again, sealed) {
			t.Fatalf("what opened is not what Seal makes: %v", err)
		}
	})
}

// FuzzUnpad: whatever unpads is exactly what pad makes of that body. Fuzzing Open
// cannot get here, since it would have to forge GCM.
func FuzzUnpad(f *testing.F) {
	for _, n := range []int{0, 1, 252, 253, 508, 4092, 4093} {
		size, err := PaddedSize(n)
		if err != nil {
			f.Fatal(err)
		}
		plaintext := make([]byte, size)
		pad(plaintext, bytes.Repeat([]byte{0xA5}, n))
		f.Add(plaintext)
	}
	f.Add(bytes.Repeat([]byte{0xFF}, 256))
	f.Fuzz(func(t *testing.T, plaintext []byte) {
		if len(plaintext) < minPlaintext || len(plaintext) > maxPlaintext {
			return // checkShape's
		}
		in := bytes.Clone(plaintext)
		n, err := unpad(in)
		if err != nil {
			if !errors.Is(err, ErrPadding) {
				t.Fatal(err)
			}
			return
		}
		if !isZero(in[n:]) {
			t.Fatal("unpad left bytes behind the body")
		}
		again := make([]byte, len(plaintext))
		pad(again, in[:n])
		if !bytes.Equal(again, plaintext) {
			t.Fatal("two plaintexts unpad to one body")
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	for _, n := range []int{200, 1000, 60_000} {
		b.Run(fmt.Sprintf("body=%d", n), func(b *testing.B) {
			k, err := NewKey(rand.Reader)
			if err != nil {
				b.Fatal(err)
			}
			box, body := NewBox(origin), make([]byte, n)
			dst := make([]byte, 0, 1<<16)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := box.Seal(dst, rand.Reader, 1, k, Tag{}, body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, n := range []int{200, 1000, 60_000} {
		b.Run(fmt.Sprintf("body=%d", n), func(b *testing.B) {
			k, err := NewKey(rand.Reader)
			if err != nil {
				b.Fatal(err)
			}
			box := NewBox(origin)
			sealed := mustSeal(b, box, 1, k, Tag{}, make([]byte, n))
			dst := make([]byte, 0, 1<<16)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := box.Open(dst, 1, k, sealed); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkOpenWithTheWrongKey(b *testing.B) {
	k, err := NewKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	box := NewBox(origin)
	sealed := mustSeal(b, box, 1, k, Tag{}, make([]byte, 200))
	other := k.Next()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := box.Open(nil, 1, other, sealed); !errors.Is(err, ErrWrongKey) {
			b.Fatal(err)
		}
	}
}
