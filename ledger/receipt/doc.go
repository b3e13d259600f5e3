// Package receipt makes and checks the files that show somebody one thing that
// a ledger holds, without the ledger: receipts of entries, and certificates of
// destruction. Such a file and the ledger's public key are all that is needed,
// for ever, also after the keys are gone and the ledger, too.
//
// Each is a signed note (C2SP signed-note v1.0.0) under the log's key. Its
// first line says what it is, the rest of its text is indented JSON. There is
// one way to write it: no byte can be changed unseen. FORMAT.md has the bytes,
// and RECEIPTS.md in this folder what a person does with the file.
//
// The signature makes the ledger answer for what the file says. It is not what
// the file rests on: that the entry is in the log, that the disclosed PRK opens
// it, and that it says what the file says is checked by itself, so that a
// ledger cannot sign for one what it shows differently to others.
package receipt
