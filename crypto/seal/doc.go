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
// # Cryptography from the standard library
//
// HMAC-SHA-256, AES-256-GCM and constant-time comparison come from crypto/hmac,
// crypto/aes, crypto/cipher and crypto/subtle: maintained with the language and
// part of its FIPS 140-3 module. HKDF is written out here over crypto/hmac, in
// about twenty lines, rather than called from crypto/hkdf: that returns each
// intermediate secret in a fresh slice of its own and takes six more allocations a
// record, where this keeps all of them in one buffer that is cleared after use.
// The tests compare it with crypto/hkdf and with the vectors of RFC 5869.
//
// What cannot be cleared is what those packages keep on the heap: HMAC's padded
// key and AES's key schedule live until the garbage collector reuses their memory.
//
// # Concurrency
//
// [Key] and [Box] are values and may be used from several goroutines at once. A
// [Tagger] may not.
package seal
