package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"consentledger/ledger/chain"
	"consentledger/ledger/remote/tilestest"
)

const origin = "ledger.example/consent"

var seed = [32]byte(bytes.Repeat([]byte{1}, 32))

func newLog(t testing.TB, n int) *tilestest.Log {
	t.Helper()
	l, err := tilestest.New(n, origin, seed, 0)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func verifier(t testing.TB) note.Verifier {
	t.Helper()
	_, vkey, err := chain.NewSigner(origin, seed)
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// check verifies the log at a URL, as the command does.
func check(t testing.TB, url string) ([]chain.Finding, error) {
	t.Helper()
	l, err := Open(t.Context(), url, Options{Connections: 4})
	if err != nil {
		return nil, err
	}
	defer l.Close()
	l.pause = time.Millisecond
	r, err := chain.Verify(t.Context(), l, chain.VerifyOptions{Verifier: verifier(t), Jobs: 4})
	if err != nil {
		return nil, err
	}
	found := append(r.Findings, l.Findings()...)
	if len(found) > 0 {
		return found, nil
	}
	_, found, err = l.CheckEdge(r.Edges)
	return found, err
}

func serve(t testing.TB, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// recorded remembers the paths that were answered with 200.
func recorded(h http.Handler) (http.Handler, func() []string) {
	var mu sync.Mutex
	var paths []string
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, r)
			if rec.Code == http.StatusOK {
				mu.Lock()
				paths = append(paths, r.URL.Path)
				mu.Unlock()
			}
			replay(w, rec)
		}), func() []string {
			mu.Lock()
			defer mu.Unlock()
			return paths
		}
}

func replay(w http.ResponseWriter, rec *httptest.ResponseRecorder) {
	w.Header().Set("Content-Type", rec.Header().Get("Content-Type"))
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes())
}

// changed serves one path otherwise.
func changed(h http.Handler, path string, change func(b []byte) []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		if r.URL.Path == path {
			b := change(bytes.Clone(rec.Body.Bytes()))
			rec.Body.Reset()
			rec.Body.Write(b)
		}
		replay(w, rec)
	})
}

func TestAWholeLogIsReadAtEverySizeThatBreaksPeople(t *testing.T) {
	for _, n := range []int{0, 1, 255, 256, 257, 512, 513, 65536, 65537} {
		h, paths := recorded(tilestest.Handler(newLog(t, n)))
		found, err := check(t, serve(t, h))
		if err != nil || len(found) > 0 {
			t.Errorf("%d entries: %v, %v", n, found, err)
		}
		// Each bundle, each full tile and each partial tile, once.
		want := 1 + (n+255)/256
		for level := 0; n>>(8*level) > 0; level++ {
			at := n >> (8 * level)
			want += (at + 255) / 256
		}
		if got := paths(); len(got) != want {
			t.Errorf("%d entries: %d files were read instead of %d", n, len(got), want)
		}
	}
}

func TestOneFlippedBitInAnyAnswerIsFound(t *testing.T) {
	log := tilestest.Handler(newLog(t, 600))
	h, paths := recorded(log)
	if found, err := check(t, serve(t, h)); err != nil || len(found) > 0 {
		t.Fatalf("control: %v, %v", found, err)
	}
	if len(paths()) != 1+3+3+1 {
		t.Fatalf("%d files were read", len(paths()))
	}
	for _, path := range paths() {
		for _, part := range []int{0, 1, 2, 3, 4} {
			bad := changed(log, path, func(b []byte) []byte {
				b[part*(len(b)-1)/4] ^= 1
				return b
			})
			if found, err := check(t, serve(t, bad)); err != nil || len(found) == 0 {
				t.Errorf("%s, %d of 4: found %v, %v", path, part, found, err)
			}
		}
		for name, change := range map[string]func(b []byte) []byte{
			"cut":     func(b []byte) []byte { return b[:len(b)-1] },
			"longer":  func(b []byte) []byte { return append(b, 0) },
			"empty":   func([]byte) []byte { return nil },
			"endless": func(b []byte) []byte { return append(b, make([]byte, maxBundle)...) },
		} {
			if found, err := check(t, serve(t, changed(log, path, change))); err != nil || len(found) == 0 {
				t.Errorf("%s, %s: found %v, %v", path, name, found, err)
			}
		}
	}
}

func without(h http.Handler, has func(path string) bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if has(r.URL.Path) {
			http.NotFound(w, r)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func TestAPartialThatIsGoneIsReadFromTheFullOne(t *testing.T) {
	// The log has grown since its checkpoint, and dropped its partials.
	old := prefix(t, newLog(t, 600), 300)
	old.All = newLog(t, 600).All
	noPartials := func(path string) bool {
		return strings.Contains(path, ".p/") && !strings.HasPrefix(path, "/tile/1/")
	}
	if found, err := check(t, serve(t, without(tilestest.Handler(old), noPartials))); err != nil || len(found) > 0 {
		t.Errorf("found %v, %v", found, err)
	}
	// Control: without the full ones, too, entries are missing.
	all := func(path string) bool { return noPartials(path) || strings.HasSuffix(path, "/001") }
	if found, err := check(t, serve(t, without(tilestest.Handler(old), all))); err != nil || len(found) == 0 || found[0].Kind != chain.EntryMissing || found[0].Index != 256 {
		t.Errorf("nothing there: found %v, %v", found, err)
	}
}

// faulty answers every request wrongly so many times before it answers well.
func faulty(h http.Handler, times int, fault http.HandlerFunc) http.Handler {
	var mu sync.Mutex
	seen := map[string]int{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen[r.URL.Path]++
		n := seen[r.URL.Path]
		mu.Unlock()
		if n <= times && r.URL.Path != "/checkpoint" {
			fault(w, r)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func TestWhatPassesIsTriedAgainAndWhatStaysIsNoFinding(t *testing.T) {
	log := tilestest.Handler(newLog(t, 300))
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	for name, fault := range map[string]http.HandlerFunc{
		"500": status(500), "503": status(503), "429": status(429), "408": status(408),
		"broken off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("half"))
			panic(http.ErrAbortHandler)
		},
		"no answer": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		if found, err := check(t, serve(t, faulty(log, 2, fault))); err != nil || len(found) > 0 {
			t.Errorf("%s, twice: %v, %v", name, found, err)
		}
		if found, err := check(t, serve(t, faulty(log, 1000, fault))); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s, always: %v, %v", name, found, err)
		}
	}
	// What another attempt does not change is tried once.
	for name, fault := range map[string]http.HandlerFunc{
		"403": status(403), "206": status(206),
		"a web page": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprint(w, "please sign in")
		},
	} {
		if found, err := check(t, serve(t, faulty(log, 1, fault))); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: %v, %v", name, found, err)
		}
	}
}

func TestARedirectElsewhereIsNotFollowed(t *testing.T) {
	log := tilestest.Handler(newLog(t, 3))
	var asked atomic.Int32
	other := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		log.ServeHTTP(w, r)
	}))
	to := func(prefix string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if path, ok := strings.CutPrefix(r.URL.Path, "/moved"); ok {
				r.URL.Path = path
				log.ServeHTTP(w, r)
				return
			}
			http.Redirect(w, r, prefix+r.URL.Path, http.StatusFound)
		})
	}
	if _, err := check(t, serve(t, to(other))); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "redirects to another host") || asked.Load() != 0 {
		t.Errorf("to another host: %v; it was asked %d times", err, asked.Load())
	}
	if found, err := check(t, serve(t, to("/moved"))); err != nil || len(found) > 0 {
		t.Errorf("control: on the same host: %v, %v", found, err)
	}
	if found, err := check(t, other); err != nil || len(found) > 0 || asked.Load() == 0 {
		t.Errorf("control: the other host itself: %v, %v", found, err)
	}
}

func TestACheckpointOfAnAbsurdSizeEndsSoon(t *testing.T) {
	l := newLog(t, 300)
	signer, _, err := chain.NewSigner(origin, seed)
	if err != nil {
		t.Fatal(err)
	}
	if l.Head, err = (chain.Checkpoint{Origin: origin, Size: 1<<63 - 1}).Sign(signer); err != nil {
		t.Fatal(err)
	}
	if _, err := check(t, serve(t, tilestest.Handler(l))); !errors.Is(err, ErrNotServed) {
		t.Error(err)
	}
}

func TestCancellingEndsACheckThatWaits(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "30")
		w.WriteHeader(http.StatusServiceUnavailable)
		cancel()
	}))
	start := time.Now()
	if _, err := Open(ctx, url, Options{Connections: 1}); !errors.Is(err, context.Canceled) || time.Since(start) > 10*time.Second {
		t.Errorf("%v after %v", err, time.Since(start))
	}
}

func TestAURLThatIsNoneIsRefusedWithARemedy(t *testing.T) {
	for _, raw := range []string{"", "ledger.example", "ftp://ledger.example/", "http://", "https://u:p@ledger.example/", "https://ledger.example/?a=b", "https://ledger.example/#a", "http://\x00/"} {
		if _, err := Open(t.Context(), raw, Options{Connections: 1}); err == nil || errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "https://") && !strings.Contains(err.Error(), "leave") {
			t.Errorf("%q: %v", raw, err)
		}
	}
	for raw, want := range map[string]string{"https://a.example": "https://a.example/", "http://a.example/b//": "http://a.example/b/"} {
		if got, err := parseBase(raw); err != nil || got != want {
			t.Errorf("%q: %q, %v", raw, got, err)
		}
	}
}

func TestTheKeyOfAPrivateLogGoesToThatLogOnly(t *testing.T) {
	const token = "key-of-the-log"
	log := tilestest.Handler(newLog(t, 300))
	var strays atomic.Int32
	private := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+token {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		log.ServeHTTP(w, r)
	})
	other := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			strays.Add(1)
		}
	}))
	url := serve(t, private)
	l, err := Open(t.Context(), url, Options{Connections: 2, Token: token})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, l := range []*Log{l, l.Again()} {
		if r, err := chain.Verify(t.Context(), l, chain.VerifyOptions{Verifier: verifier(t)}); err != nil || !r.Intact {
			t.Errorf("%+v, %v", r.Findings, err)
		}
	}
	for want, o := range map[string]Options{"no key was given": {}, "does not take this key": {Token: "another"}} {
		if _, err := Open(t.Context(), url, o); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "another") {
			t.Errorf("%s: %v", want, err)
		}
	}
	moved := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other+r.URL.Path, http.StatusFound)
	}))
	if _, err := Open(t.Context(), moved, Options{Token: token}); !errors.Is(err, ErrUnavailable) || strays.Load() > 0 {
		t.Errorf("a redirect: %v, and the key was seen %d times elsewhere", err, strays.Load())
	}
	if _, err := Open(t.Context(), "http://ledger.example/", Options{Token: token}); err == nil || errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "https://") {
		t.Errorf("over plain HTTP: %v", err)
	}
	for base, want := range map[string]bool{
		"https://a.example/": true, "http://localhost:1/": true, "http://127.0.0.1:1/": true, "http://[::1]:1/": true,
		"http://a.example/": false, "http://127.0.0.1.a.example/": false, "http://localhost.a.example/": false, "http://192.0.2.1/": false,
	} {
		if mayCarryToken(base) != want {
			t.Errorf("%s: %v", base, !want)
		}
	}
}
