package client

import "fmt"

// A Secret is an API key. It prints and marshals as [key], so that it ends in no log by mistake.
type Secret struct {
	// A pointer, because package fmt asks no method of what lies in an unexported field, and prints only its address.
	text *string
}

// NewSecret makes a secret of a key as the server gave it, cl_live_….
func NewSecret(key string) Secret { return Secret{&key} }

// Reveal returns the key itself, to be put where keys are kept.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsZero says whether there is no key.
func (s Secret) IsZero() bool { return s.Reveal() == "" }

const hidden = "[key]"

func (s Secret) String() string { return hidden }

// Format hides the key from every verb, %#v and %x too.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(hidden)) }

// MarshalText hides the key from encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// UnmarshalText reads a key, as in the answer that shows a new one.
func (s *Secret) UnmarshalText(b []byte) error {
	*s = NewSecret(string(b))
	return nil
}
