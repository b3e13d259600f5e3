// Package chain is the log as anybody can check it: how an entry is laid out,
// how entries are chained and hashed into a Merkle tree, how the tree is cut
// into tiles, how its head is signed, and how all of that is verified.
//
// It holds no key that decrypts, no storage and no clock. What an entry's
// sealed part says is none of its business; it knows only its size. The byte
// formats are written down in ledger/FORMAT.md, from which a verifier in
// another language can be written; they are RFC 6962 (tree), C2SP tlog-tiles,
// C2SP tlog-checkpoint and C2SP signed-note.
//
// Functions and values are safe for concurrent use unless they say otherwise.
package chain
