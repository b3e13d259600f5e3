package server

import (
	"sync"
	"time"
)

// denials logs who was turned away (ASVS 16.3.1, 16.3.2): the route, the code and, if there is one, the
// key's id. Whoever has no key could fill a disk with such lines, so there are at most so many a
// minute; the first one of a later minute says how many were left out.
type denials struct {
	mu             sync.Mutex
	minute         time.Time
	logged, silent int
}

const denialsPerMinute = 60

// may says whether one more is logged, and how many before it were not.
func (d *denials) may(now time.Time) (yes bool, silent int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if minute := now.Truncate(time.Minute); !minute.Equal(d.minute) {
		d.minute, d.logged = minute, 0
	}
	if d.logged == denialsPerMinute {
		d.silent++
		return false, 0
	}
	d.logged++
	silent, d.silent = d.silent, 0
	return true, silent
}

func (x *exchange) denied(code string) {
	yes, silent := x.s.denials.may(x.s.now())
	if !yes {
		return
	}
	args := []any{"request_id", x.id, "route", x.rt.label, "method", x.rt.method, "code", code}
	if x.caller.KeyID != "" {
		id := x.caller.KeyID
		if x.session != "" {
			id = "a person's session" // a log outlives people; who it was stands in no log
		}
		args = append(args, "key_id", id)
	}
	if silent > 0 {
		args = append(args, "left_out", silent)
	}
	x.s.log.Warn("turned away", args...)
}
