package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestNothingAcknowledgedIsLostToSIGKILL kills the real server under load, again and again, and
// holds every start after it against what the clients were told.
func TestNothingAcknowledgedIsLostToSIGKILL(t *testing.T) {
	rounds := 6
	if long {
		rounds = 50
	}
	dir := t.TempDir()
	s := startServer(t, dir, "--init")
	key, admin := s.key, s.admin
	type told struct {
		leaf map[uint64]string
		id   string
		gone bool
	}
	var mu sync.Mutex
	var all []told
	checked := 0
	for round := range rounds {
		var wg sync.WaitGroup
		var acked []told
		for c := range 24 {
			wg.Go(func() {
				for i := 0; ; i++ {
					id := fmt.Sprintf("kill-%d-%d-%d", round, c, i)
					var w consentAnswer
					if _, err := s.call(http.MethodPost, "/v1/consents", key, consentCall(id, true), &w); err != nil {
						return
					}
					one := told{leaf: map[uint64]string{}, id: id}
					for _, e := range w.Entries {
						one.leaf[e.Index] = e.LeafHash
					}
					if i%5 == 4 {
						if _, err := s.call(http.MethodPost, "/v1/withdrawals", key, map[string]any{"member_id": id, "scope": "membership"}, &w); err == nil {
							one.gone = true
							for _, e := range w.Entries {
								one.leaf[e.Index] = e.LeafHash
							}
						} else {
							// Nobody knows whether it left: its entries count, its state does not.
							one.id = ""
						}
					}
					mu.Lock()
					acked = append(acked, one)
					mu.Unlock()
				}
			})
		}
		time.Sleep(time.Duration(50+rand.IntN(400)) * time.Millisecond)
		s.stop(t, syscall.SIGKILL)
		wg.Wait()
		all = append(all, acked...)
		if len(acked) == 0 {
			t.Logf("round %d: killed before anything was acknowledged", round)
		}
		s = startServer(t, dir)
		// All of this round, and some of every round before.
		check := acked
		for range min(50, len(all)) {
			check = append(check, all[rand.IntN(len(all))])
		}
		for _, one := range check {
			for index, leaf := range one.leaf {
				var e struct {
					LeafHash string `json:"leaf_hash"`
				}
				if _, err := s.call(http.MethodGet, fmt.Sprintf("/v1/entries/%d", index), key, nil, &e); err != nil {
					t.Fatalf("round %d: an acknowledged entry: %v", round, err)
				}
				if e.LeafHash != leaf {
					t.Fatalf("round %d: acknowledged entry %d has another leaf hash", round, index)
				}
				checked++
			}
			if one.id == "" {
				continue
			}
			status, err := s.call(http.MethodPost, "/v1/lookups", key, map[string]any{"member_id": one.id}, nil)
			if want := map[bool]int{true: http.StatusNotFound, false: http.StatusOK}[one.gone]; status != want {
				t.Fatalf("round %d: a lookup answers %d, want %d: %v", round, status, want, err)
			}
		}
	}
	if checked < rounds*20 {
		t.Errorf("only %d acknowledged entries were checked in %d rounds", checked, rounds)
	}
	// Control: the check sees an entry that is not there.
	if status, err := s.call(http.MethodGet, "/v1/entries/99999999", admin, nil, nil); status != http.StatusNotFound {
		t.Errorf("control: an entry that was never written answers %d, %v", status, err)
	}
	s.stop(t, syscall.SIGTERM)
	verifyDir(t, dir, false)
	verifyDir(t, dir, true)
	t.Logf("%d rounds, %d calls acknowledged, %d entries checked", rounds, len(all), checked)
}
