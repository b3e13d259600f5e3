// Package leaks searches what a program has said for what it was told in confidence.
// Tests hand it both; it is no part of the program.
package leaks

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// A Search collects secrets and what was said. The zero value is ready to use, by many at once.
type Search struct {
	mu      sync.Mutex
	secrets map[string]string // to what kind of thing it is
	said    map[string]string // to where
}

// Secrets that are shorter stand in other words by chance; up to wholeWord they count as words of their own only.
const (
	shortest  = 4
	wholeWord = 8
)

// Secret adds something that must not be said. What is too short to be searched for is not taken.
func (s *Search) Secret(kind, secret string) {
	if len(strings.TrimSpace(secret)) < shortest {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.secrets == nil {
		s.secrets = map[string]string{}
	}
	s.secrets[secret] = kind
}

// confidential are the fields of a call that hold what members, officers and operators wrote.
var confidential = regexp.MustCompile(`"(member_id|old|new|reason|ground|birth_date|responsible_name|password|code|secret|key)"\s*:\s*("(?:[^"\\]|\\.)*")`)

// Body adds every secret in the JSON of a call, well-formed or not.
func (s *Search) Body(b []byte) {
	for _, m := range confidential.FindAllSubmatch(b, -1) {
		var text string
		if json.Unmarshal(m[2], &text) == nil {
			s.Secret(string(m[1]), text)
		}
	}
}

var (
	names    = regexp.MustCompile(`\b(?:mbr|opr)_[a-z2-7]{26}\b`)
	tokens   = regexp.MustCompile(`\bcl_[a-z]+_[a-z2-7]+_[a-z2-7]{20,}\b`)
	changing = regexp.MustCompile(`req_[a-z2-7]+|time=\S+|duration_ms=\d+|"request_id":"[^"]*"|trace_id=\S+|0x[0-9a-f]+|\+0x\S+|goroutine \d+`)
)

// Answer adds the refs and keys of an answer, which only its caller may see.
func (s *Search) Answer(b []byte) {
	for _, m := range names.FindAll(b, -1) {
		s.Secret("ref", string(m))
	}
	for _, m := range tokens.FindAll(b, -1) {
		s.Secret("key", string(m))
	}
}

// Said adds something that was said: a line of a log, a problem, a metric. What differs from one time
// to the next, such as request ids, is left out, so that the same is kept once.
func (s *Search) Said(where, text string) {
	for line := range strings.Lines(text) {
		line = changing.ReplaceAllString(strings.TrimSpace(line), "…")
		s.mu.Lock()
		if s.said == nil {
			s.said = map[string]string{}
		}
		s.said[line] = where
		s.mu.Unlock()
	}
}

// Counts says how much there is to search for, and in how much.
func (s *Search) Counts() (secrets, lines int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.secrets), len(s.said)
}

// Found names everything that was said and should not have been. Secrets that are words of vocabulary
// are passed over: a test that sends such a word cannot tell it from the program's own.
func (s *Search) Found(vocabulary string) (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	byStart := map[string][]string{}
	for secret := range s.secrets {
		if !strings.Contains(vocabulary, secret) {
			byStart[secret[:shortest]] = append(byStart[secret[:shortest]], secret)
		}
	}
	for line, where := range s.said {
		for i := 0; i+shortest <= len(line); i++ {
			for _, secret := range byStart[line[i:i+shortest]] {
				if strings.HasPrefix(line[i:], secret) && (len(secret) >= wholeWord || apart(line, i, i+len(secret))) {
					out = append(out, fmt.Sprintf("%s holds a %s that was sent: %.300s", where, s.secrets[secret], line))
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func apart(line string, from, to int) bool {
	return (from == 0 || !inWord(line[from-1])) && (to == len(line) || !inWord(line[to]))
}

func inWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}
