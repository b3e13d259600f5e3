// Package seal seals one record under one key, opens it again, and derives
// everything that hangs on such a key.
//
// # A sealed record
//
//	tag [16] | salt [32] | commitment [32] | nonce [12] | ciphertext | gcm tag [16]
//
//	PRK       = HKDF-Extract-SHA-256(salt, key)                                    RFC 5869
//	K_e | C_e = HKDF-Expand-SHA-256(PRK, "consentledger/entry/v1" | origin, 64)
//	commitment = C_e
//	ciphertext | gcm tag = AES-256-GCM(K_e, nonce, plaintext, AAD)                 NIST SP 800-38D
//	AAD       = version [1] | tag | salt | commitment
//	plaintext = body length, u32 big endian | body | zero bytes
//
// The origin is the public name of the ledger, so a record of one ledger never
// opens in another. The salt is fresh for each record: (K_e, nonce) stays unique
// even when an old copy of a ledger is restored and written to again. A salt of
// 32 zero bytes is refused, because HKDF takes a missing salt for 32 zero bytes
// (RFC 5869, 2.2), which is what [Key.Derive] uses: the PRK of such a record,
// once disclosed, would give away what is derived from the key.
//
// AES-GCM does not commit to its key: one ciphertext can be made that opens under
// two keys to two texts (Grubbs, Lu, Ristenpart, "Message Franking via Committing
// Authenticated Encryption", CRYPTO 2017). C_e does commit. It is compared, in
// constant time, before anything is decrypted, so nobody can show another content
// for a record under another key. To prove what one record says, disclose its
// [PRK]: that opens this record and no other, and gives neither the key nor any
// tag.
//
// # Padding
//
// The plaintext is padded to 256, 512, 1024, 2048 or 4096 bytes, and beyond that
// to PADMÉ lengths (Nikitin, Barman, Lueks, Underwood, Hubaux, Ford, "Reducing
// Metadata Leakage from Encrypted Files and Communication with PURBs", PETS
// 2019), so that a size says little about a content. There is one way to pad a
// body: another one is [ErrPadding], even under the right key.
//
// # Cryptography
//
// AES-256-GCM and constant-time comparison come from crypto/aes, crypto/cipher and
// crypto/subtle, SHA-256 from crypto/digest. HMAC and HKDF are written out here over
// it, in about forty lines: every key is used once, and crypto/hmac and crypto/hkdf
// would allocate two digests and a slice for each, a quarter of all allocations of an
// append and three times the time. The tests compare both with the standard library's
// and with vectors that OpenSSL made.
//
// What cannot be cleared is what AES keeps on the heap: its key schedule lives until
// the garbage collector reuses its memory.
//
// # Concurrency
//
// [Key] and [Box] are values, and they and a [Tagger] may be used from several
// goroutines at once.
package seal
