package server

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// Sessions are what a person has after signing in: an opaque token, looked up by its hash. They are in
// memory alone, so a restart ends them all, and nothing of them outlives the process. A console will
// have the same session in a cookie.
const (
	sessionPrefix  = "cl_sess_"
	sessionIdle    = 15 * time.Minute
	sessionLongest = 12 * time.Hour
	sessionBytes   = 32
	maxSessions    = 8 // of one person; one more ends the one that was used least recently
)

type session struct {
	operator    string
	began, used time.Time
}

func (s *session) over(now time.Time) bool {
	return now.Sub(s.used) >= sessionIdle || now.Sub(s.began) >= sessionLongest
}

type sessions struct {
	mu  sync.Mutex
	all map[[32]byte]*session

	ends map[string]uint64 // by operator: how often theirs were ended
}

func isSession(token string) bool { return strings.HasPrefix(token, sessionPrefix) }

// errEnded says that an operator's sessions were ended while one was begun.
var errEnded = errors.New("the operator's sessions were ended meanwhile")

// moment is what begin is told: taken before it is looked at what somebody signs in with, so that an
// invitation that comes between that and the session ends it all the same. It asks for no place in
// memory, because anybody may ask it of any name.
func (t *sessions) moment(operator string) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ends[operator]
}

// begin makes a session of an operator and returns its token, unless theirs were ended since the moment.
func (t *sessions) begin(rand io.Reader, operator string, moment uint64, now time.Time) (token string, err error) {
	var raw [sessionBytes]byte
	if _, err := io.ReadFull(rand, raw[:]); err != nil {
		return "", fmt.Errorf("draw a session: %w", err)
	}
	token = sessionPrefix + requestIDs.EncodeToString(raw[:])
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ends[operator] != moment {
		return "", errEnded
	}
	var oldest [32]byte
	n := 0
	for k, s := range t.all {
		if s.over(now) {
			delete(t.all, k)
		} else if s.operator == operator {
			if n++; n == 1 || s.used.Before(t.all[oldest].used) {
				oldest = k
			}
		}
	}
	if n >= maxSessions {
		delete(t.all, oldest)
	}
	if t.all == nil {
		t.all = make(map[[32]byte]*session)
	}
	t.all[sha256.Sum256([]byte(token))] = &session{operator, now, now}
	return token, nil
}

// use says whose session a token is, if it is not over, and that it is being used.
func (t *sessions) use(token string, now time.Time) (operator string, ok bool) {
	k := sha256.Sum256([]byte(token))
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.all[k]
	if s == nil {
		return "", false
	}
	if s.over(now) {
		delete(t.all, k)
		return "", false
	}
	s.used = now
	return s.operator, true
}

// end ends the session of a token.
func (t *sessions) end(token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.all, sha256.Sum256([]byte(token)))
}

// endOf ends every session of an operator: they have ended, or what they may do or sign in with has changed.
func (t *sessions) endOf(operator string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ends == nil {
		t.ends = make(map[string]uint64)
	}
	t.ends[operator]++
	for k, s := range t.all {
		if s.operator == operator {
			delete(t.all, k)
		}
	}
}

// authenticateSession lets in whoever has a session that is not over, in the role of the register.
func (x *exchange) authenticateSession(token string) *problem {
	operator, ok := x.s.sessions.use(token, x.s.now())
	if ok {
		who, err := x.s.book.OperatorCaller(operator, withoutPort(x.r.RemoteAddr))
		if err == nil {
			x.caller, x.session = who, token
			return nil
		}
		x.s.sessions.end(token)
	}
	return keyIsNeeded()
}

// lives says whether the caller's key or session is still good; a long call asks again.
func (x *exchange) lives() bool {
	if x.session != "" {
		if _, ok := x.s.sessions.use(x.session, x.s.now()); !ok {
			return false
		}
	}
	return x.s.book.Lives(x.caller)
}
