package signin

import (
	"net/netip"
	"sync"
	"time"
)

// A Throttle slows guessing down, and keeps nobody out.
//
// A source address (of IPv6 its /64) that has failed waits longer and longer: that hurts only who
// sits there. An account at which others fail answers sources that it does not know no more often
// than every half minute. Who signed in from their source before waits for neither, but only for what
// failed at their own account from there, half a minute at most: many people may sit behind one
// address. Nor does who has a recovery code, which cannot be guessed, wait longer. So there is no number of failures
// after which somebody else's account is closed. SIGNIN.md has the figures.
//
// It is in memory: a restart forgets it. The zero value is ready to use.
type Throttle struct {
	mu      sync.Mutex
	failing map[string]*failing
	known   map[string]time.Time // account and source that signed in
}

type failing struct {
	n    int
	last time.Time
}

const (
	sourceFree   = 5 // failures before a source waits
	sourceMost   = 15 * time.Minute
	accountFree  = 10
	accountMost  = 30 * time.Second
	forgetAfter  = time.Hour
	knownFor     = 30 * 24 * time.Hour
	maxThrottled = 100_000
)

func source(from string) string {
	a, err := netip.ParseAddr(from)
	if err != nil {
		return "source/" + from
	}
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits)
	return "source/" + p.String()
}

// accountKey has a bound: what is sent for an account may be anything, and is not to fill the memory.
func accountKey(account string) string {
	const most = 64
	return "account/" + account[:min(len(account), most)]
}

// wait is for how long a key still waits.
func (t *Throttle) wait(key string, free int, most time.Duration, now time.Time) time.Duration {
	f := t.failing[key]
	if f == nil || f.n <= free {
		return 0
	}
	delay := most
	if n := f.n - free; n < 20 {
		delay = min(most, time.Second<<(n-1))
	}
	return max(0, f.last.Add(delay).Sub(now))
}

// Try says for how long a try is not even looked at; 0, and it is counted as failed until Succeeded
// says otherwise, so that a hundred at once are not one. recovery says that a right recovery code was sent.
func (t *Throttle) Try(account, from string, recovery bool, now time.Time) (wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	src, acc := source(from), accountKey(account)
	pair := acc + " " + src
	switch {
	case t.knows(account, src, now):
		wait = t.wait(pair, accountFree, accountMost, now)
	case recovery:
		wait = min(t.wait(src, sourceFree, sourceMost, now), accountMost)
	default:
		wait = max(t.wait(src, sourceFree, sourceMost, now), t.wait(acc, accountFree, accountMost, now))
	}
	if wait > 0 {
		return wait
	}
	if t.failing == nil {
		t.failing = map[string]*failing{}
	}
	if len(t.failing) >= maxThrottled {
		t.forget(now)
	}
	for _, key := range []string{src, acc, pair} {
		f := t.failing[key]
		if f == nil || now.Sub(f.last) > forgetAfter {
			f = &failing{}
			t.failing[key] = f
		}
		f.n++
		f.last = now
	}
	return 0
}

// Known says whether somebody signed in at an account from a source before.
func (t *Throttle) Known(account, from string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.knows(account, source(from), now)
}

func (t *Throttle) knows(account, src string, now time.Time) bool {
	seen, ok := t.known[account+" "+src]
	return ok && now.Sub(seen) < knownFor
}

// forget makes room: what is old goes, and if all of it is new, all of it.
func (t *Throttle) forget(now time.Time) {
	for k, f := range t.failing {
		if now.Sub(f.last) > forgetAfter {
			delete(t.failing, k)
		}
	}
	if len(t.failing) >= maxThrottled {
		clear(t.failing)
	}
}

// Succeeded notes that somebody signed in: their source is known now, and is no longer slowed down.
// What others have failed at the account stays.
func (t *Throttle) Succeeded(account, from string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.known == nil || len(t.known) >= maxThrottled {
		t.known = map[string]time.Time{}
	}
	src := source(from)
	t.known[account+" "+src] = now
	delete(t.failing, src)
	delete(t.failing, accountKey(account)+" "+src)
	if f := t.failing[accountKey(account)]; f != nil && f.n > 0 {
		f.n--
	}
}
