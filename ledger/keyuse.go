package ledger

import (
	"context"
	"slices"
	"sync"
	"time"
)

// keyUse is on which day each API key was last used. It is kept to the day, so that a key nobody needs
// is found without recording when everybody worked; and it is written by the sweep, never by a request.
type keyUse struct {
	mu     sync.RWMutex
	days   map[string]int64 // by key id: days of the Unix epoch
	stored map[string]int64 // what is on disk of it
}

const secondsPerDay = 24 * 60 * 60

// note is called for every request.
func (u *keyUse) note(id string, at time.Time) {
	day := at.Unix() / secondsPerDay
	u.mu.RLock()
	known := u.days[id] >= day
	u.mu.RUnlock()
	if known {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.days == nil {
		u.days = make(map[string]int64)
	}
	u.days[id] = max(u.days[id], day)
}

// loaded takes in an entry.
func (u *keyUse) loaded(ids []string, at time.Time) {
	for _, id := range ids {
		u.note(id, at)
	}
	u.written(ids, at)
}

func (u *keyUse) written(ids []string, at time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.stored == nil {
		u.stored = make(map[string]int64)
	}
	for _, id := range ids {
		u.stored[id] = max(u.stored[id], at.Unix()/secondsPerDay)
	}
}

// last is the day on which a key was last used, zero if it never was.
func (u *keyUse) last(id string) time.Time {
	u.mu.RLock()
	defer u.mu.RUnlock()
	if day, ok := u.days[id]; ok {
		return time.Unix(day*secondsPerDay, 0).UTC()
	}
	return time.Time{}
}

// news are the keys of whose use on a day nothing is on disk, in order.
func (u *keyUse) news(now time.Time) (ids []string) {
	day := now.Unix() / secondsPerDay
	u.mu.RLock()
	defer u.mu.RUnlock()
	for id, used := range u.days {
		if used == day && u.stored[id] < day {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// maxUsedAtOnce is how many keys one entry names.
const maxUsedAtOnce = 1000

// recordKeyUse writes down which keys were used today, each once a day.
func (l *Ledger) recordKeyUse(ctx context.Context) error {
	for ids := range slices.Chunk(l.keyUse.news(l.now()), maxUsedAtOnce) {
		w, err := l.writeRegister(ctx, Caller{KeyID: localKeyID}, nil, registerBody{Kind: kindKeysUsed, Used: ids})
		if err != nil {
			return err
		}
		l.keyUse.written(ids, w.RecordedAt)
	}
	return nil
}
