package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// TestNoMemberIDOrBodyStandsInTheClear runs the real server with a thousand members, living and
// gone, and searches every file it has written, and its log, for anything they sent.
func TestNoMemberIDOrBodyStandsInTheClear(t *testing.T) {
	const members = 1000
	dir := t.TempDir()
	s := startServer(t, dir, "--init")
	id := func(i int) string { return fmt.Sprintf("zebra-%04d@privat.example", i) }
	street := func(i int) string { return fmt.Sprintf("Quince Alley %05d, Xylotown", i) }
	var wg sync.WaitGroup
	jobs := make(chan int)
	for range 32 {
		wg.Go(func() {
			for i := range jobs {
				if _, err := s.call(http.MethodPost, "/v1/consents", s.key, consentCall(id(i), true), nil); err != nil {
					t.Error(err)
				}
				if i%5 == 0 {
					change := map[string]any{"member_id": id(i), "changes": []any{map[string]any{"item": "email", "old": street(i), "new": street(i + 50000)}}}
					if _, err := s.call(http.MethodPost, "/v1/corrections", s.key, change, nil); err != nil {
						t.Error(err)
					}
				}
				if i%7 == 0 {
					if _, err := s.call(http.MethodPost, "/v1/withdrawals", s.key, map[string]any{"member_id": id(i), "scope": "membership"}, nil); err != nil {
						t.Error(err)
					}
				}
				// Bad calls too: an error must not repeat what it was sent.
				bad := consentCall(id(i)+"\u202e", true)
				if _, err := s.call(http.MethodPost, "/v1/consents", s.key, bad, nil); err == nil || strings.Contains(err.Error(), "zebra-") {
					t.Errorf("a bad member id: the answer repeats it, or there is none")
				}
				odd := consentCall(id(i), true)
				odd["policy"] = street(i)
				if _, err := s.call(http.MethodPost, "/v1/consents", s.key, odd, nil); err == nil || strings.Contains(err.Error(), "Quince") {
					t.Errorf("a bad policy: the answer repeats it, or there is none")
				}
			}
		})
	}
	for i := range members {
		jobs <- i
	}
	close(jobs)
	wg.Wait()

	var needles []string
	for _, plain := range []string{"zebra-", "privat.example", "Quince Alley", "Xylotown", "terms_of_use", "checkbox"} {
		needles = append(needles, plain, hex.EncodeToString([]byte(plain)))
		// base64 at each of its three alignments, without the ends that depend on the neighbours
		for pad := range 3 {
			enc := base64.StdEncoding.EncodeToString(append(make([]byte, pad), plain...))
			if inner := enc[4 : len(enc)-4]; len(inner) >= 8 {
				needles = append(needles, inner)
			}
		}
	}
	search := func(when string) (files int) {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() || filepath.Base(path) == "stdout" {
				return err // what serve --init prints holds the three sample calls
			}
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			files++
			for _, n := range needles {
				// The policies are sealed too: not even the name of a purpose stands in a file.
				if bytes.Contains(b, []byte(n)) {
					t.Errorf("%s: %s holds something that a member sent", when, filepath.Base(path))
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return files
	}
	// What an operator sees is searched with the files.
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.key)
	res, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil || res.StatusCode != http.StatusOK || !bytes.Contains(metrics, []byte(`route="/v1/consents"`)) {
		t.Fatalf("/metrics: %d %v %.300s", res.StatusCode, err, metrics)
	}
	if err := os.WriteFile(filepath.Join(dir, "metrics"), metrics, 0o600); err != nil {
		t.Fatal(err)
	}
	if n := search("while the server runs"); n < 5 {
		t.Errorf("only %d files were searched", n)
	}
	s.stop(t, syscall.SIGTERM)
	search("after a stop")
	verifyDir(t, dir, true)

	// Control: what stands there in the clear is found.
	if err := os.WriteFile(filepath.Join(dir, "planted"), []byte("… "+id(1)+" …"), 0o600); err != nil {
		t.Fatal(err)
	}
	found := false
	b, err := os.ReadFile(filepath.Join(dir, "planted"))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range needles {
		found = found || bytes.Contains(b, []byte(n))
	}
	if !found {
		t.Error("control: a planted member id is not found")
	}
}
