// Package signin is how a person proves who they are: a password and a code of an authenticator app,
// or a recovery code in place of the app's. It is pure: the time and randomness come from outside, and
// what it works on is kept by whoever calls it, as an entry that is sealed for the person.
//
// SIGNIN.md says what holds against which attack, and after which standard.
package signin

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
)

// A Record is what a person signs in with. It prints as "[key]".
type Record struct {
	Invitation      []byte   `cbor:"1,keyasint,omitempty"` // SHA-256 of the token, which is random
	InvitationUntil int64    `cbor:"2,keyasint,omitempty"` // Unix ms
	Password        []byte   `cbor:"3,keyasint,omitempty"` // argon2id
	Salt            []byte   `cbor:"4,keyasint,omitempty"`
	Secret          []byte   `cbor:"5,keyasint,omitempty"` // of the authenticator app
	Step            int64    `cbor:"6,keyasint,omitempty"` // the newest that was used; no older one is taken
	Recovery        [][]byte `cbor:"7,keyasint,omitempty"` // SHA-256 of the codes that are left, which are random
}

// Format prints no field.
func (Record) Format(s fmt.State, _ rune) { io.WriteString(s, "[key]") }

var encoding = func() cbor.EncMode {
	m, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		panic(err)
	}
	return m
}()

// Encode returns the record as bytes.
func (r *Record) Encode() ([]byte, error) { return encoding.Marshal(r) }

// ErrRecord says that bytes are no record.
var ErrRecord = errors.New("what is signed in with cannot be read")

// Decode reads what Encode wrote, and nothing else.
func Decode(b []byte) (*Record, error) {
	r := &Record{}
	if err := cbor.Unmarshal(b, r); err != nil {
		return nil, ErrRecord
	}
	if again, err := r.Encode(); err != nil || !bytes.Equal(again, b) {
		return nil, ErrRecord
	}
	return r, nil
}

var base = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// digest is enough for what is drawn at random: nobody can guess 80 bits and more.
func digest(s string) []byte {
	h := sha256.Sum256([]byte(s))
	return h[:]
}

const (
	// InvitationPrefix begins the tokens of invitations.
	InvitationPrefix = "cl_inv_"
	// InvitationFor is how long an invitation can be used.
	InvitationFor = 24 * time.Hour

	secretBytes     = 20 // RFC 4226 section 4, R6
	recoveryCodes   = 10
	recoveryBytes   = 10
	invitationBytes = 32
)

// Invite returns a new person's record and the token that opens it, once.
func Invite(rand io.Reader, now time.Time) (r *Record, token string, err error) {
	b := make([]byte, invitationBytes)
	if _, err := io.ReadFull(rand, b); err != nil {
		return nil, "", fmt.Errorf("draw an invitation: %w", err)
	}
	token = InvitationPrefix + base.EncodeToString(b)
	return &Record{Invitation: digest(token), InvitationUntil: now.Add(InvitationFor).UnixMilli()}, token, nil
}

// Invited says whether a token is the record's invitation, and can still be used.
func (r *Record) Invited(token string, now time.Time) bool {
	return len(r.Invitation) > 0 && subtle.ConstantTimeCompare(r.Invitation, digest(token)) == 1 && now.UnixMilli() < r.InvitationUntil
}

// NewSecret draws the secret of an authenticator app.
func NewSecret(rand io.Reader) ([]byte, error) {
	b := make([]byte, secretBytes)
	if _, err := io.ReadFull(rand, b); err != nil {
		return nil, fmt.Errorf("draw a secret: %w", err)
	}
	return b, nil
}

// SecretText is a secret as a person types it into an app: RFC 4648 base32 without padding.
func SecretText(secret []byte) string {
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(secret)
}

// SecretURI is a secret as a QR code holds it.
func SecretURI(secret []byte, operator string) string {
	return "otpauth://totp/consentledger:" + operator + "?secret=" + SecretText(secret) + "&issuer=consentledger&algorithm=SHA1&digits=6&period=30"
}

const (
	period = 30 // seconds; RFC 6238
	skew   = 1  // steps before and after now that are taken: clocks differ
)

// codeStep returns the step whose code a code is, around now and after a step that was used; 0 if it is none.
func codeStep(secret []byte, code string, after int64, now time.Time) (found int64) {
	if len(code) != 6 {
		return 0
	}
	at := now.Unix() / period
	for step := at - skew; step <= at+skew; step++ {
		want, err := hotp.GenerateCodeCustom(SecretText(secret), uint64(step), hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if err != nil {
			return 0
		}
		if subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 && step > after {
			found = step
		}
	}
	return found
}

// Enrol is the record once its person has chosen a password and shown a code of the app: the
// invitation is used, and the recovery codes are returned this once.
func (r *Record) Enrol(rand io.Reader, password string, secret []byte, code string, now time.Time) (next *Record, recovery []string, err error) {
	step := codeStep(secret, code, 0, now)
	if step == 0 {
		return nil, nil, ErrCode
	}
	next = &Record{Secret: secret, Step: step}
	if next.Password, next.Salt, err = hashPassword(rand, password); err != nil {
		return nil, nil, err
	}
	for range recoveryCodes {
		b := make([]byte, recoveryBytes)
		if _, err := io.ReadFull(rand, b); err != nil {
			return nil, nil, fmt.Errorf("draw a recovery code: %w", err)
		}
		c := base.EncodeToString(b)
		recovery = append(recovery, c[:4]+"-"+c[4:8]+"-"+c[8:12]+"-"+c[12:])
		next.Recovery = append(next.Recovery, digest(c))
	}
	return next, recovery, nil
}

// What is wrong with a sign-in or an enrolment.
var (
	ErrCode     = errors.New("the code is not one of now, or was used")
	ErrPassword = errors.New("the password may not be used")
)

// Use is the record after a code of the app was used, or nil if it may not be. The same code is
// never taken twice, nor one of a step before it.
func (r *Record) Use(code string, now time.Time) *Record {
	step := codeStep(r.Secret, code, r.Step, now)
	if step == 0 {
		return nil
	}
	next := *r
	next.Step = step
	return &next
}

// Recover is the record after a recovery code was used, or nil if it may not be: each is taken once.
func (r *Record) Recover(code string) *Record {
	d := digest(strings.ToLower(strings.ReplaceAll(code, "-", "")))
	at := -1
	for i, have := range r.Recovery {
		if subtle.ConstantTimeCompare(have, d) == 1 {
			at = i
		}
	}
	if at < 0 {
		return nil
	}
	next := *r
	next.Recovery = slices.Delete(slices.Clone(r.Recovery), at, at+1)
	return &next
}

// Enrolled says whether there is anything to sign in with.
func (r *Record) Enrolled() bool { return r != nil && len(r.Password) > 0 }
