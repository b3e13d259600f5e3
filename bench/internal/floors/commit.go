package floors

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"consentledger/crypto/seal"
	"consentledger/ledger/chain"
)

// EntryBytes is how large an entry is that holds a usual consent.
const EntryBytes = chain.HeaderSize + seal.Overhead + 256

// GroupCommit writes entries of a size into a new bbolt file for some time:
// each of the callers waits until its own is durable, and whoever has come
// meanwhile is committed together. It returns how many became durable and how
// long that took. There is nothing else in it: no hash, no key, no order.
func GroupCommit(path string, entrySize, callers int, d time.Duration) (entries int, took time.Duration, err error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType, InitialMmapSize: 1 << 30, Timeout: time.Second})
	if err != nil {
		return 0, 0, fmt.Errorf("the database of the floor: %w", err)
	}
	defer db.Close()
	name := []byte("entries")
	if err := db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket(name); return err }); err != nil {
		return 0, 0, fmt.Errorf("the database of the floor: %w", err)
	}
	value := make([]byte, entrySize)
	_, _ = rand.Read(value) // never fails
	waiting := make(chan chan struct{}, callers)
	stop := make(chan struct{})
	var work sync.WaitGroup
	for range callers {
		work.Go(func() {
			done := make(chan struct{}, 1)
			for {
				select {
				case <-stop:
					return
				case waiting <- done:
					<-done
				}
			}
		})
	}
	go func() { work.Wait(); close(waiting) }()
	begin := time.Now()
	stopped := false
	var next uint64
	for first := range waiting {
		group := append(make([]chan struct{}, 0, callers), first)
		for more := true; more; {
			select {
			case w, open := <-waiting:
				if more = open; open {
					group = append(group, w)
				}
			default:
				more = false
			}
		}
		if err == nil {
			err = db.Update(func(tx *bbolt.Tx) error {
				b := tx.Bucket(name)
				b.FillPercent = 0.9
				for range group {
					if err := b.Put(binary.BigEndian.AppendUint64(nil, next), value); err != nil {
						return err
					}
					next++
				}
				return nil
			})
			took = time.Since(begin)
		}
		if !stopped && (err != nil || took >= d) {
			stopped = true
			close(stop)
		}
		for _, w := range group {
			w <- struct{}{}
		}
	}
	if err != nil {
		return 0, 0, fmt.Errorf("commit in the floor: %w", err)
	}
	return int(next), took, nil
}
