package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/alecthomas/kong"
	"golang.org/x/mod/sumdb/note"

	"consentledger/ledger/chain"
	"consentledger/ledger/consent"
	"consentledger/ledger/receipt"
)

// A paper is what verify says of a receipt or a certificate.
type paper struct {
	File        string             `json:"file"`
	SHA256      string             `json:"sha256"` // of the file
	Genuine     bool               `json:"genuine"`
	Why         string             `json:"why,omitempty"`  // one word of paperFaults, if not genuine
	What        string             `json:"what,omitempty"` // the same in a sentence
	Origin      string             `json:"origin,omitempty"`
	Index       *uint64            `json:"index,omitempty"`
	LeafHash    string             `json:"leaf_hash,omitempty"`
	RecordedAt  *time.Time         `json:"recorded_at,omitempty"`
	IssuedAt    *time.Time         `json:"issued_at,omitempty"`
	Member      string             `json:"member,omitempty"`
	Class       string             `json:"class,omitempty"`
	Event       *consent.EventView `json:"event,omitempty"`
	Certificate *certificateSays   `json:"certificate,omitempty"`
	Size        uint64             `json:"checkpoint_size,omitempty"`
	Cosigned    []paperCosignature `json:"cosigned"`
	Unchecked   []string           `json:"unchecked"`
	checkpoint  []byte
	kind        string // receipt or certificate
}

type paperCosignature struct {
	Name string    `json:"name"`
	At   time.Time `json:"at"`
}

// paperFaults are what does not fit, in a word.
var paperFaults = []struct {
	is   error
	word string
}{
	{receipt.ErrFile, "file"},
	{receipt.ErrSignature, "signature"},
	{receipt.ErrOtherLedger, "other_ledger"},
	{receipt.ErrEntry, "entry"},
	{receipt.ErrProof, "proof"},
	{receipt.ErrPRK, "prk"},
	{receipt.ErrContent, "content"},
	{receipt.ErrCosignature, "cosignature"},
	{receipt.ErrOtherMember, "member"},
}

// AfterApply is called by kong. With a receipt no log is read unless one is named.
func (c *verifyCmd) AfterApply(ctx *kong.Context) error {
	for _, p := range ctx.Path {
		if p.Flag != nil && p.Flag.Name == "dir" {
			c.dirGiven = true
		}
	}
	return nil
}

// alone says whether only files are to be verified, and no log.
func (c *verifyCmd) alone() bool {
	return len(c.Receipt)+len(c.Certificate) > 0 && c.URL == "" && c.File == "" && !c.dirGiven
}

func (c *verifyCmd) validateReceipt() error {
	switch {
	case len(c.Receipt)+len(c.Certificate) == 0 && (len(c.Witness) > 0 || c.Member != ""):
		return errors.New("--witness and --member are for a receipt or a certificate: give --receipt or --certificate with them")
	case len(c.Receipt) > 0 && c.Key == "":
		return errors.New("--receipt shows something only to who knows the ledger's key: give --key with it, from where the key was published")
	case c.Member != "" && c.Member != "-":
		return errors.New("--member: give -, and write the member's ref, mbr_…, to stdin; of a certificate of destruction the member's id, or the ref if it is of that")
	}
	return c.validateCertificate()
}

// receipts verifies the receipts or certificates that were given. An error is about what was asked; what
// is wrong with one stands in its paper.
func (c *verifyCmd) receipts(o chain.VerifyOptions) ([]*paper, error) {
	if len(c.Receipt)+len(c.Certificate) == 0 {
		return nil, nil
	}
	k := receipt.Keys{Log: o.Verifier}
	for _, vkey := range c.Witness {
		w, err := chain.ParseWitnessKey(vkey)
		if err != nil {
			return nil, fmt.Errorf("--witness: %w", err)
		}
		k.Witnesses = append(k.Witnesses, w)
	}
	member := ""
	if c.Member != "" {
		var err error
		if member, err = stdinLine("the member's ref, or of a certificate the id"); err != nil {
			return nil, err
		}
		if len(c.Receipt) > 0 && !strings.HasPrefix(member, "mbr_") {
			return nil, errors.New("--member: what was written to stdin is no member's ref, mbr_…: a receipt names its member by that, and the shop's own id stands nowhere in it")
		}
	}
	var papers []*paper
	for _, name := range c.Receipt {
		b, err := readUpTo(name, receipt.MaxFileBytes)
		if err != nil {
			return nil, fmt.Errorf("--receipt: %w", err)
		}
		papers = append(papers, verifyReceipt(name, b, k, member))
	}
	for _, name := range c.Certificate {
		b, err := readUpTo(name, receipt.MaxFileBytes)
		if err != nil {
			return nil, fmt.Errorf("--certificate: %w", err)
		}
		papers = append(papers, verifyCertificate(name, b, k, member))
	}
	return papers, nil
}

// readUpTo reads a file that somebody may have sent to fill this machine's memory.
func readUpTo(name string, most int) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() // read-only: nothing can be lost
	b, err := io.ReadAll(io.LimitReader(f, int64(most)+1))
	if err == nil && len(b) > most {
		err = fmt.Errorf("%s has more than %d bytes, which no such file has: look whether it is the one that was meant", name, most)
	}
	return b, err
}

func verifyReceipt(name string, file []byte, k receipt.Keys, member string) *paper {
	sum := receipt.Digest(file)
	p := &paper{kind: "receipt", File: name, SHA256: hex.EncodeToString(sum[:]), Cosigned: []paperCosignature{}, Unchecked: []string{}}
	r, checked, err := receipt.Open(file, k)
	if err == nil && member != "" && r.Member != member {
		err = fmt.Errorf("%w: it names another ref than the one on stdin", receipt.ErrOtherMember)
	}
	if err != nil {
		p.fails(err)
		return p
	}
	p.Genuine = true
	p.Origin, p.Index, p.LeafHash, p.RecordedAt, p.IssuedAt = r.Origin, &r.Index, r.LeafHash, &r.RecordedAt, &r.IssuedAt
	p.Member, p.Class, p.Event, p.Size = r.Member, r.Class, &r.Event, checked.Size
	for _, c := range checked.Cosigned {
		p.Cosigned = append(p.Cosigned, paperCosignature(c))
	}
	p.Unchecked = append(p.Unchecked, checked.Unchecked...)
	if proof, err := chain.ParseProof([]byte(r.Proof)); err == nil { // Open has parsed it
		p.checkpoint = proof.Checkpoint
	}
	return p
}

// ofKind are the receipts, or the certificates, among papers.
func ofKind(papers []*paper, kind string) (of []*paper) {
	for _, p := range papers {
		if p.kind == kind {
			of = append(of, p)
		}
	}
	return of
}

func allGenuine(papers []*paper) bool {
	for _, p := range papers {
		if !p.Genuine {
			return false
		}
	}
	return true
}

// printPapers prints what there is to say when no log is verified.
func printPapers(t *terminal, papers []*paper, asJSON bool) error {
	if asJSON {
		return printJSON(t.out, struct {
			Genuine      bool     `json:"genuine"` // all of them
			Receipts     []*paper `json:"receipts,omitempty"`
			Certificates []*paper `json:"certificates,omitempty"`
		}{allGenuine(papers), ofKind(papers, "receipt"), ofKind(papers, "certificate")})
	}
	for _, p := range papers {
		if err := p.print(t); err != nil {
			return err
		}
	}
	return nil
}

func (p *paper) print(t *terminal) error {
	// What a receipt says is not ours: nothing of it is to move a cursor or hide a letter.
	out := func(format string, args ...any) { fmt.Fprintln(t.out, visible(fmt.Sprintf(format, args...))) }
	out("%-9s %s", p.kind, p.File)
	out("sha256    %s", p.SHA256)
	if !p.Genuine {
		out("NOT GENUINE: %s", p.What)
		return nil
	}
	out("ledger    %s", p.Origin)
	out("entry     %d, recorded %s, leaf hash %s", *p.Index, p.RecordedAt.UTC().Format(time.RFC3339Nano), p.LeafHash)
	if p.Certificate != nil {
		p.printCertificate(out)
		return nil
	}
	out("member    %s", p.Member)
	out("class     %s", p.Class)
	var says strings.Builder
	if err := printJSON(&says, p.Event); err != nil {
		return err
	}
	out("says      %s", strings.TrimSpace(says.String()))
	out("checked   the entry is in the log under a checkpoint of %d entries that the ledger has signed, opens with what the receipt discloses, and says this", p.Size)
	p.printWitnesses(out)
	out("unchecked the member's ref, the class and when the receipt was made: the ledger's word, under its signature")
	out("GENUINE: the ledger recorded this")
	return nil
}

// visible writes what cannot be seen by its number.
func visible(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD") // a file's name has any bytes
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unicode.IsGraphic(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "\\u%04x", r)
		}
	}
	return b.String()
}

// findReceipts adds to what is said of a log what was found of receipts, whose heads the log was held
// against.
func (r *result) findReceipts(papers []*paper) {
	if len(papers) == 0 {
		return
	}
	r.Receipts, r.Certificates = ofKind(papers, "receipt"), ofKind(papers, "certificate")
	for _, p := range papers {
		if !p.Genuine {
			r.findOther(p.finding())
		}
	}
	r.finish()
}

// ReceiptBad is the kind of a finding about a receipt.
const ReceiptBad chain.Kind = "receipt_bad"

// logKey is the verifier of --key.
func logKey(vkey string) (note.Verifier, error) {
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, fmt.Errorf("--key: %w: give the whole verifier key, such as ledger.example/consent+24389b90+AYqI…", err)
	}
	return v, nil
}
