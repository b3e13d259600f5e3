package server

import (
	"math"
	"strconv"
	"sync"

	"golang.org/x/time/rate"
)

// A RateLimit is how many requests one key may make. The zero value limits nothing.
type RateLimit struct {
	PerSecond float64 // requests a second, in the long run
	Burst     int     // requests at once
}

// limits holds a bucket for each key that has made a request. Keys are the register's, which is small, so
// the table is too; it is not for addresses, of which there is no end.
type limits struct {
	of     RateLimit
	policy []string

	mu   sync.Mutex
	keys map[string]*rate.Limiter
}

func (l *limits) init(of RateLimit) {
	l.of = of
	if of.PerSecond > 0 {
		window := seconds(float64(of.Burst) / of.PerSecond)
		l.policy = []string{`"key";q=` + strconv.Itoa(of.Burst) + `;w=` + strconv.FormatInt(window, 10)}
	}
}

func (l *limits) limiter(key string) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.keys == nil {
		l.keys = make(map[string]*rate.Limiter)
	}
	b := l.keys[key]
	if b == nil {
		b = rate.NewLimiter(rate.Limit(l.of.PerSecond), l.of.Burst)
		l.keys[key] = b
	}
	return b
}

// limit takes one request from what the caller's key may make, and says in the headers of
// draft-ietf-httpapi-ratelimit-headers how many are left.
func (x *exchange) limit() *problem {
	l := &x.s.limits
	if l.policy == nil {
		return nil
	}
	now := x.s.now()
	b := l.limiter(x.caller.KeyID)
	allowed := b.AllowN(now, 1)
	left := b.TokensAt(now)
	h := x.w.Header()
	h["Ratelimit-Policy"] = l.policy
	wait := seconds((1 - left) / l.of.PerSecond)
	if allowed {
		wait = seconds((float64(l.of.Burst) - left) / l.of.PerSecond)
	}
	h["Ratelimit"] = []string{`"key";r=` + strconv.Itoa(max(0, int(left))) + `;t=` + strconv.FormatInt(wait, 10)}
	if allowed {
		return nil
	}
	h["Retry-After"] = []string{strconv.FormatInt(wait, 10)}
	return newProblem("too_many_requests", "", "Nothing was recorded. Send it again after the time in Retry-After; RateLimit-Policy says how many requests this key may make.")
}

// seconds rounds up: who waits so long is not too early.
func seconds(s float64) int64 {
	return int64(min(max(1, math.Ceil(s-1e-9)), math.MaxInt32))
}
