package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/mod/sumdb/note"

	"consentledger/ledger/receipt"
)

// cmdCertificate saves the certificate that the last answer has in it:
//
//	certificate FILE
//	! certificate FILE      there is none
func cmdCertificate(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: [!] certificate FILE")
	}
	var a struct {
		Certificate string `json:"certificate"`
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &a))
	switch {
	case neg && a.Certificate != "":
		ts.Fatalf("the answer has a certificate")
	case !neg && a.Certificate == "":
		ts.Fatalf("the answer has no certificate")
	case !neg:
		ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(a.Certificate), 0o600))
	}
}

// Who was not answered because the server was killed sends the withdrawal again, and gets the certificate
// of what had been destroyed by then.
func TestAKilledServerStillOwesTheCertificateAndGivesIt(t *testing.T) {
	dir := t.TempDir()
	s := startServer(t, dir, "--init")
	key, public := s.key, publicKeyIn(t, s)
	leave := func(id string) (certificate string, replayed bool, err error) {
		req, err := http.NewRequest(http.MethodPost, s.url+"/v1/withdrawals", strings.NewReader(`{"member_id":"`+id+`","scope":"membership"}`))
		if err != nil {
			return "", false, err
		}
		req.Header.Set("Authorization", "Bearer "+key)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", "leave-"+id)
		resp, err := s.client.Do(req)
		if err != nil {
			return "", false, err
		}
		defer resp.Body.Close()
		var a struct {
			Certificate string `json:"certificate"`
		}
		if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
			return "", false, err
		}
		if resp.StatusCode != http.StatusCreated {
			return "", false, fmt.Errorf("status %d", resp.StatusCode)
		}
		return a.Certificate, resp.Header.Get("Idempotent-Replayed") == "true", nil
	}
	owed := 0 // recorded, and not answered
	const rounds, each = 12, 24
	for round := 0; round < rounds && owed == 0; round++ {
		var ids []string
		for i := range each {
			id := fmt.Sprintf("killed-%d-%d", round, i)
			if _, err := s.call(http.MethodPost, "/v1/consents", key, consentCall(id, true), nil); err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
		}
		answered := make([]bool, each)
		var all sync.WaitGroup
		for i, id := range ids {
			all.Go(func() {
				certificate, _, err := leave(id)
				answered[i] = err == nil && certificate != ""
			})
		}
		time.Sleep(time.Duration(rand.IntN(15)) * time.Millisecond)
		s.stop(t, syscall.SIGKILL)
		all.Wait()
		s = startServer(t, dir)
		for i, id := range ids {
			certificate, replayed, err := leave(id)
			if err != nil || certificate == "" {
				t.Fatalf("round %d: sent again: %v", round, err)
			}
			if answered[i] && !replayed {
				t.Errorf("round %d: what was answered is recorded a second time", round)
			}
			if replayed && !answered[i] {
				owed++
			}
			v, err := note.NewVerifier(public)
			if err != nil {
				t.Fatal(err)
			}
			c, _, err := receipt.OpenCertificate([]byte(certificate), receipt.Keys{Log: v})
			if err != nil || c.IsOf([]byte(id)) != nil || c.Status != receipt.StatusFinal {
				t.Fatalf("round %d: the certificate is no good: %v", round, err)
			}
		}
	}
	if owed == 0 {
		t.Errorf("in %d rounds no call was recorded and not answered, so nothing was tested", rounds)
	}
	s.stop(t, syscall.SIGTERM)
	verifyDir(t, dir, true)
}

// publicKeyIn is what serve --init has printed.
func publicKeyIn(t *testing.T, s *process) string {
	t.Helper()
	b, err := os.ReadFile(s.out.Name())
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`public key +(\S+)`).FindSubmatch(b)
	if m == nil {
		t.Fatal("no public key is printed")
	}
	return string(m[1])
}
