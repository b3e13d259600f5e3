package receipt

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"consentledger/crypto/seal"
	"consentledger/ledger/chain"
)

// ErrNotComplete says that an export has nothing by which it could be checked.
var ErrNotComplete = errors.New("the export cannot be checked for completeness")

// The kinds of findings of an ExportCheck.
const (
	// ExportLacks: the log has an entry of the member's that the export lacks.
	ExportLacks chain.Kind = "export_lacks"
	// ExportStrange: the export has an entry that is not one of the member's in
	// the log, or is another one there.
	ExportStrange chain.Kind = "export_strange"
	// ExportGap: the log has not as many entries of a key as the export says.
	ExportGap chain.Kind = "export_gap"
)

const (
	// beyond is how many tags are looked for after the last that should be
	// there: a ledger numbers them without a gap, and one that hides some by
	// leaving out numbers must leave out that many.
	beyond = 1024
	// maxTags bounds the memory: some 100 bytes each.
	maxTags = 4 << 20
)

// MaxExportBytes bounds what is read as an export.
const MaxExportBytes = 256 << 20

// An ExportCheck compares an export that was asked for with complete=true with
// the log: that it has every entry of the keys that it names, as the log has
// it, and no other. That the member has no further keys is the ledger's word.
// Entry may be called from several goroutines at a time.
type ExportCheck struct {
	Member string
	Size   uint64 // of the log when the export was made

	keys    []exportKey
	tags    map[seal.Tag]numbered
	entries map[uint64]string // leaf hash by index

	mu    sync.Mutex
	found map[uint64]hit
}

type exportKey struct {
	Class   string `json:"class"`
	Policy  string `json:"policy"`
	TagKey  string `json:"tag_key"`
	Entries uint64 `json:"entries"`
	Expired uint64 `json:"expired"`
}

// numbered is a tag that is looked for: which key's, and which of its entries it is.
type numbered struct {
	key int
	n   uint64
}

type hit struct {
	numbered
	leaf string
}

// Format prints no field.
func (*ExportCheck) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[export]")) }

// NewExportCheck reads an export of the ledger of an origin. Its errors wrap
// ErrFile, ErrOtherLedger or ErrNotComplete.
func NewExportCheck(file []byte, origin string) (*ExportCheck, error) {
	if len(file) > MaxExportBytes {
		return nil, fmt.Errorf("%w: it has %d bytes, at most %d are read", ErrFile, len(file), MaxExportBytes)
	}
	var x struct {
		Origin  string `json:"origin"`
		Member  string `json:"member"`
		Entries []struct {
			Index    uint64 `json:"index"`
			LeafHash string `json:"leaf_hash"`
		} `json:"entries"`
		Completeness *struct {
			Size uint64      `json:"size"`
			Keys []exportKey `json:"keys"`
		} `json:"completeness"`
	}
	if err := json.Unmarshal(file, &x); err != nil || x.Member == "" {
		return nil, fmt.Errorf("%w: it is not the JSON of an export", ErrFile)
	}
	if !membersOnce(file) {
		return nil, fmt.Errorf("%w: it has a member twice, so that other programs read another export in it", ErrFile)
	}
	switch {
	case x.Origin != origin:
		return nil, fmt.Errorf("%w: it says %q, and the log is %s", ErrOtherLedger, x.Origin, origin)
	case x.Completeness == nil:
		return nil, fmt.Errorf("%w: it was asked for without complete=true", ErrNotComplete)
	}
	c := &ExportCheck{
		Member: x.Member, Size: x.Completeness.Size, keys: x.Completeness.Keys,
		tags: map[seal.Tag]numbered{}, entries: map[uint64]string{}, found: map[uint64]hit{},
	}
	for _, e := range x.Entries {
		c.entries[e.Index] = e.LeafHash
	}
	if len(c.entries) != len(x.Entries) {
		return nil, fmt.Errorf("%w: it has an entry twice", ErrFile)
	}
	seen := map[[seal.KeySize]byte]bool{} // a key named again costs all its tags again
	for i, k := range c.keys {
		tagKey, err := hex.DecodeString(k.TagKey)
		switch {
		case err != nil || len(tagKey) != seal.KeySize:
			return nil, fmt.Errorf("%w: completeness.keys[%d].tag_key is not 32 bytes in hex", ErrFile, i)
		case seen[[seal.KeySize]byte(tagKey)]:
			return nil, fmt.Errorf("%w: completeness.keys[%d].tag_key is that of another key, too", ErrFile, i)
		case k.Expired > k.Entries:
			return nil, fmt.Errorf("%w: completeness.keys[%d].expired is more than its entries", ErrFile, i)
		case k.Entries > maxTags || len(c.tags)+int(k.Entries)+beyond > maxTags:
			return nil, fmt.Errorf("%w: it has more than %d entries", ErrFile, maxTags)
		}
		seen[[seal.KeySize]byte(tagKey)] = true
		for n := range k.Entries + beyond {
			c.tags[seal.TagOf([seal.KeySize]byte(tagKey), n)] = numbered{i, n}
		}
	}
	return c, nil
}

// membersOnce says whether the object of an export has each member once. To
// encoding/json a name in other letters is the same, to others it is not.
func membersOnce(file []byte) bool {
	dec := json.NewDecoder(bytes.NewReader(file))
	if _, err := dec.Token(); err != nil {
		return false
	}
	seen := map[string]bool{}
	for dec.More() {
		t, err := dec.Token()
		name, ok := t.(string)
		name = strings.ToLower(strings.ToUpper(name))
		var value json.RawMessage
		if err != nil || !ok || seen[name] || dec.Decode(&value) != nil {
			return false
		}
		seen[name] = true
	}
	return true
}

// Entry takes an entry of the log. It is what chain.VerifyOptions' Each is for.
func (c *ExportCheck) Entry(index uint64, entry []byte, leaf chain.Hash) {
	at, ok := c.tags[seal.Tag(entry[chain.HeaderSize:])]
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.found[index] = hit{at, hex.EncodeToString(leaf[:])}
}

// Expired is how many entries the export leaves out because they have run out:
// the log has them, and that nobody can open them any more is the ledger's word.
func (c *ExportCheck) Expired() (n uint64) {
	for _, k := range c.keys {
		n += k.Expired
	}
	return n
}

// Findings are what does not fit once all entries of the log were taken, in
// order of their index, and how many of the member's entries came after the
// export was made.
func (c *ExportCheck) Findings() (found []chain.Finding, newer int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	add := func(kind chain.Kind, index uint64, format string, args ...any) {
		found = append(found, chain.Finding{Kind: kind, Index: index, What: fmt.Sprintf(format, args...)})
	}
	counts := make([]uint64, len(c.keys)) // of those that the export should have
	for index, h := range c.found {
		k := c.keys[h.key]
		leaf, has := c.entries[index]
		switch {
		case index >= c.Size && !has:
			newer++
			continue
		case !has && h.n >= k.Expired:
			add(ExportLacks, index, "the log has an entry of this member, of class %s, and the export does not", k.Class)
		case has && leaf != h.leaf:
			add(ExportStrange, index, "the entry in the export has another leaf hash than in the log")
		}
		if h.n < k.Entries {
			counts[h.key]++
		}
	}
	for index := range c.entries {
		if _, ok := c.found[index]; !ok {
			add(ExportStrange, index, "the export has this entry, and in the log it is not one of this member's")
		}
	}
	for i, k := range c.keys {
		if counts[i] != k.Entries {
			add(ExportGap, 0, "the log has %d entries of class %s by their key, and the export says %d", counts[i], k.Class, k.Entries)
		}
	}
	slices.SortFunc(found, func(a, b chain.Finding) int {
		return cmp.Or(cmp.Compare(a.Index, b.Index), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.What, b.What))
	})
	return found, newer
}
