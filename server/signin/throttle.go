package signin

import (
	"hash/maphash"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// A Throttle slows guessing down, and keeps nobody out.
//
// A source address (of IPv6 its /64) that has failed waits longer and longer: that hurts only who
// sits there. An account at which others fail answers sources that it does not know no more often
// than every half minute. Who signed in from their source before waits for neither, but only for what
// failed at their own account from there, half a minute at most: many people may sit behind one
// address. Nor does who has a recovery code, which cannot be guessed, wait longer. What comes from this
// machine is slowed down by account alone. So there is no number of failures after which somebody else's
// account is closed. SIGNIN.md has the figures.
//
// It is in memory: a restart forgets it. The zero value is ready to use.
type Throttle struct {
	mu      sync.Mutex
	failing map[string]*failing  // by source, by account and the source where it is known, and by account of who was sure
	known   map[string]time.Time // account and source that signed in

	// Anything may be sent for an account, so accounts share a table that does not grow: what is failed at
	// elsewhere neither fills the memory nor makes room by forgetting.
	seed     maphash.Seed
	accounts []failing
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
	accountTable = 1 << 16
)

// nearby is what comes from this machine, over loopback or a Unix socket: mostly from a proxy, and then it is
// everybody. It is a place that one may be known from, but no failure is counted against it as a whole.
const nearby = "source/nearby"

func source(from string) string {
	a, err := netip.ParseAddr(from)
	a = a.Unmap().WithZone("")
	if err != nil || a.IsLoopback() {
		return nearby
	}
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits)
	return "source/" + p.String()
}

// accountKey has a bound: what is sent for an account may be anything.
func accountKey(account string) string {
	const most = 64
	return "account/" + account[:min(len(account), most)]
}

func (t *Throttle) account(account string) *failing {
	if t.accounts == nil {
		t.seed, t.accounts = maphash.MakeSeed(), make([]failing, accountTable)
	}
	return &t.accounts[maphash.String(t.seed, account)%accountTable]
}

// wait is for how long one still waits who has failed so often.
func (f *failing) wait(free int, most time.Duration, now time.Time) time.Duration {
	if f == nil || f.n <= free {
		return 0
	}
	delay := most
	if n := f.n - free; n < 20 {
		delay = min(most, time.Second<<(n-1))
	}
	return max(0, f.last.Add(delay).Sub(now))
}

func (f *failing) count(now time.Time) {
	if now.Sub(f.last) > forgetAfter {
		f.n = 0
	}
	f.n++
	f.last = now
}

func (f *failing) uncount() {
	if f != nil && f.n > 0 {
		f.n--
	}
}

// sureKey is of who tries with what cannot be guessed: with one that leaked, guesses at the rest are as
// slow as any.
func sureKey(account string) string { return "sure/" + account }

// Try says for how long a try is not even looked at; 0, and it is counted as failed until Succeeded
// or Undone says otherwise, so that a hundred at once are not one. sure says that what was sent cannot be
// guessed, and is right: a recovery code or an invitation.
func (t *Throttle) Try(account, from string, sure bool, now time.Time) (wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	src := source(from)
	pair := accountKey(account) + " " + src
	switch {
	case sure:
		wait = max(t.failing[src].wait(sourceFree, accountMost, now),
			t.failing[sureKey(account)].wait(accountFree, accountMost, now))
	case t.knows(account, src, now):
		wait = t.failing[pair].wait(accountFree, accountMost, now)
	default:
		wait = max(t.failing[src].wait(sourceFree, sourceMost, now), t.account(account).wait(accountFree, accountMost, now))
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
	for _, key := range t.keys(account, src, sure) {
		f := t.failing[key]
		if f == nil {
			if key == pair && !t.knows(account, src, now) {
				continue // nobody asks for it
			}
			f = &failing{}
			t.failing[key] = f
		}
		f.count(now)
	}
	if !sure {
		t.account(account).count(now)
	}
	return 0
}

// keys are those that a try is counted under, beside its account.
func (t *Throttle) keys(account, src string, sure bool) []string {
	key := accountKey(account) + " " + src
	if sure {
		key = sureKey(account)
	}
	if src == nearby {
		return []string{key}
	}
	return []string{key, src}
}

// Undone takes back that a try was counted: it was right and nobody signed in with it, or it was not
// looked at.
func (t *Throttle) Undone(account, from string, sure bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, key := range t.keys(account, source(from), sure) {
		t.failing[key].uncount()
	}
	if !sure {
		t.account(account).uncount()
	}
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

// forget makes room: what is old goes, and if all of it is new, all sources. Whoever has so many needs
// none of them twice, so that costs nothing. What is counted beside them is as much as people have signed in.
func (t *Throttle) forget(now time.Time) {
	for k, f := range t.failing {
		if now.Sub(f.last) > forgetAfter {
			delete(t.failing, k)
		}
	}
	if len(t.failing) >= maxThrottled {
		for k := range t.failing {
			if strings.HasPrefix(k, "source/") {
				delete(t.failing, k)
			}
		}
	}
}

// Succeeded notes that somebody signed in: their source is known now, and is no longer slowed down.
// What others have failed at the account stays.
func (t *Throttle) Succeeded(account, from string, sure bool, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.known == nil || len(t.known) >= maxThrottled {
		t.known = map[string]time.Time{}
	}
	src := source(from)
	t.known[account+" "+src] = now
	delete(t.failing, src)
	delete(t.failing, accountKey(account)+" "+src)
	delete(t.failing, sureKey(account))
	if !sure {
		t.account(account).uncount()
	}
}
