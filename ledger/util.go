package ledger

import "crypto/subtle"

func equalBytes(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }

func equal32(a, b [32]byte) bool { return subtle.ConstantTimeCompare(a[:], b[:]) == 1 }
