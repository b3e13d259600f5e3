package chain

import "golang.org/x/mod/sumdb/note"

// Source is a log to be verified. Its methods are called from several
// goroutines at a time.
type Source interface {
	// Size returns the number of entries. It may grow later.
	Size() (uint64, error)
	// Entries calls f for each entry from index from on, ascending, and
	// stops with f's error when f returns one. An entry that is not there is
	// left out. The bytes are good until f returns.
	Entries(from uint64, f func(index uint64, entry []byte) error) error
	// Tile returns a full tile as it is stored, nil if it is not stored. The
	// bytes are good until the next call from the same goroutine.
	Tile(level int, n uint64) ([]byte, error)
	// Checkpoint returns the newest published checkpoint, nil if none is.
	Checkpoint() ([]byte, error)
}

// A LeafSource is a Source that has its entries as they are hashed, which saves
// copying each. Verify calls Leaves instead of Entries.
type LeafSource interface {
	Source
	// Leaves is Entries, with the byte 0x00 before each entry.
	Leaves(from uint64, f func(index uint64, leaf []byte) error) error
}

// VerifyOptions say what to verify a log against.
type VerifyOptions struct {
	// Verifier is the log's public key. Without it signatures are not
	// checked, and the report says so.
	Verifier note.Verifier
	// Checkpoints are heads of the log that came from outside it: kept by a
	// member, an auditor, a witness. Only these show that a history was
	// rewritten as a whole.
	Checkpoints [][]byte
	// Start, if set, is a part of the log that was verified before. Verify
	// does not read it again, and reports nothing that is wrong in it.
	Start *Start
	// Jobs is how many goroutines hash; 0 is one for each processor.
	Jobs int
	// Each, if set, is told every entry that parses, with its leaf hash, in no
	// order and from several goroutines at a time, so that who looks for
	// entries need not read the log again. The bytes are good until it returns.
	Each func(index uint64, entry []byte, leaf Hash)
	// Progress, if set, is told from time to time how many of the entries
	// are done. Calls do not overlap.
	Progress func(done, total uint64)
}

// Start is the first entries of a log, which were verified before. That they
// are those of this log is for its maker to know: Verify takes its word, and
// still compares the root hash of every checkpoint that is not smaller.
type Start struct {
	// Size is how many entries they are, a multiple of TileHashes.
	Size uint64
	// Edges are as in a Report on them.
	Edges [][]byte
	// Continues says whether they begin with all entries of a smaller head. It
	// is asked for checkpoints that are smaller than Size and not empty.
	Continues func(Checkpoint) (bool, error)
}

// Kind says what a Finding found. The names are stable.
type Kind string

// Kinds of findings.
const (
	EntryMalformed      Kind = "entry_malformed"         // an entry does not parse
	EntryMissing        Kind = "entry_missing"           // an entry is not there
	EntryAltered        Kind = "entry_altered"           // an entry is not the one that was logged in its place
	ChainBroken         Kind = "chain_broken"            // two entries are not linked, and nothing proves which is wrong; the likelier is named
	TimeWentBack        Kind = "time_went_back"          // an entry was recorded before the one before it
	TileDiffers         Kind = "tile_differs"            // a stored tile is not the one that the entries give
	TileMissing         Kind = "tile_missing"            // a full tile is not stored
	Truncated           Kind = "truncated"               // a checkpoint or tile covers more entries than there are
	CheckpointRoot      Kind = "checkpoint_root_differs" // a checkpoint's root is not the one that the entries give
	Fork                Kind = "fork"                    // two checkpoints cannot both be of one log
	CheckpointMalformed Kind = "checkpoint_malformed"    // a checkpoint does not parse
	CheckpointSignature Kind = "checkpoint_signature"    // a checkpoint is not signed by the log
	CheckpointOrigin    Kind = "checkpoint_origin"       // a checkpoint is another log's
)

// Finding is one thing that is wrong with a log.
type Finding struct {
	Kind Kind `json:"kind"`
	// Index is the entry that it is about: for a tile, the first that a wrong
	// hash covers; for a truncation, the first that is missing; for a
	// checkpoint's root and for a fork, the last that the checkpoint covers
	// (any of them may be the one); 0 where a checkpoint itself is no good.
	Index uint64 `json:"index"`
	// What says it in a sentence.
	What string `json:"what"`
}

// Report is what Verify found.
type Report struct {
	// Entries is how many entries there are, and Root the root hash that
	// they give.
	Entries uint64
	Root    Hash
	// Edges are the hashes at the right edge of each tile level, from the
	// entries, that are in no full tile: what its partial tile holds.
	Edges [][]byte
	// Intact is whether there is no finding.
	Intact bool
	// Findings are sorted by index, those about a checkpoint itself last. The
	// first is the first bad place. There are at most MaxFindings, and one
	// for each tile or run of entries: a log can be wrong in more places than
	// are listed.
	Findings []Finding
	// Checked and Unchecked say in words what was checked, and what could
	// not be with what was given.
	Checked, Unchecked []string
	// The times of the first and last entry that were read and parse; 0 if
	// there is none.
	FirstRecordedAtUnixMs, LastRecordedAtUnixMs int64
	// Hash names the implementation of SHA-256 that ran.
	Hash string
}

// MaxFindings bounds the findings of a report.
const MaxFindings = 100
