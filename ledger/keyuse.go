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
	over   map[string]int64 // the last day of use before that: of a key that is never idle it is what can be written
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
	if old, ok := u.days[id]; ok && old < day {
		u.set(&u.over, id, old)
	}
	u.set(&u.days, id, day)
}

func (*keyUse) set(m *map[string]int64, id string, day int64) {
	if *m == nil {
		*m = make(map[string]int64)
	}
	(*m)[id] = max((*m)[id], day)
}

// loaded takes in what is on disk of a day.
func (u *keyUse) loaded(ids []string, day int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, id := range ids {
		u.set(&u.days, id, day)
		u.set(&u.stored, id, day)
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

// news are the keys of whose last use before a day nothing is on disk, by the day of that use.
func (u *keyUse) news(before int64) map[int64][]string {
	u.mu.RLock()
	defer u.mu.RUnlock()
	out := make(map[int64][]string)
	for id, day := range u.days {
		if day >= before {
			day = u.over[id]
		}
		if u.stored[id] < day {
			out[day] = append(out[day], id)
		}
	}
	return out
}

// maxUsedAtOnce is how many keys one entry names.
const maxUsedAtOnce = 1000

// recordKeyUse writes down which keys were last used on days that are over, and at the end also today.
func (l *Ledger) recordKeyUse(ctx context.Context, today bool) error {
	before := l.now().Unix() / secondsPerDay
	if today {
		before++
	}
	for day, all := range l.keyUse.news(before) {
		slices.Sort(all)
		for ids := range slices.Chunk(all, maxUsedAtOnce) {
			if _, err := l.writeRegister(ctx, Caller{KeyID: localKeyID}, nil, registerBody{Kind: kindKeysUsed, Used: ids, UsedDay: day}); err != nil {
				return err
			}
			l.keyUse.loaded(ids, day)
		}
	}
	return nil
}
