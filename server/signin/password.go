package signin

import (
	"crypto/subtle"
	"fmt"
	"io"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"
)

// The parameters of argon2id that OWASP's password storage cheat sheet gives first of those for
// servers: 19 MiB, two passes, one lane. RFC 9106 has the function.
const (
	argonMemory  = 19 << 10 // KiB
	argonPasses  = 2
	argonLanes   = 1
	hashBytes    = 32
	saltBytes    = 16
	minRunes     = 12  // NIST SP 800-63B asks for 8 where there is a second factor
	maxBytes     = 256 // and for at least 64 to be taken
	hashesAtOnce = 2
)

// hashing bounds how much memory guesses can take: two times 19 MiB, whoever asks.
var hashing = make(chan struct{}, hashesAtOnce)

func argon(password string, salt []byte) []byte {
	hashing <- struct{}{}
	defer func() { <-hashing }()
	// The same characters are the same password, however a keyboard writes them (SP 800-63B 3.1.1.2).
	return argon2.IDKey([]byte(norm.NFKC.String(password)), salt, argonPasses, argonMemory, argonLanes, hashBytes)
}

// CheckPassword says whether a password may be chosen: it is long enough, and no rule says of what it
// is made.
func CheckPassword(p string) error {
	if !utf8.ValidString(p) || utf8.RuneCountInString(p) < minRunes || len(p) > maxBytes {
		return ErrPassword
	}
	return nil
}

func hashPassword(rand io.Reader, p string) (hash, salt []byte, err error) {
	if err := CheckPassword(p); err != nil {
		return nil, nil, err
	}
	salt = make([]byte, saltBytes)
	if _, err := io.ReadFull(rand, salt); err != nil {
		return nil, nil, fmt.Errorf("draw a salt: %w", err)
	}
	return argon(p, salt), salt, nil
}

var (
	nobody     [hashBytes]byte
	nobodySalt [saltBytes]byte
)

// Knows says whether a password is the record's. It takes the same time for a record that is nobody's,
// so that the time does not say who is there.
func (r *Record) Knows(password string) bool {
	hash, salt := nobody[:], nobodySalt[:]
	if r.Enrolled() {
		hash, salt = r.Password, r.Salt
	}
	if len(password) > maxBytes {
		password = ""
	}
	same := subtle.ConstantTimeCompare(argon(password, salt), hash) == 1
	return same && r.Enrolled()
}
