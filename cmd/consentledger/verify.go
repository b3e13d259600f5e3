package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/mod/sumdb/note"

	"consentledger/cmd/consentledger/datadir"
	"consentledger/ledger"
	"consentledger/ledger/chain"
	"consentledger/ledger/store"
)

type verifyCmd struct {
	place
	File        string        `placeholder:"ledger.db" help:"Check this database alone, without its directory."`
	URL         string        `name:"url" placeholder:"U" help:"Check the whole log that a server publishes at this URL: no directory, no database, no key of ours."`
	State       string        `placeholder:"FILE" help:"With --url and --key: remember in this file the head that was verified; the next time check that the log continues it, and read only what is new. Made if it is not there; changed only when all is well."`
	Full        bool          `help:"With --state: read all of the log again, not only what is new."`
	Key         string        `placeholder:"VKEY" help:"The ledger's public key, as a signed note has it, from where it was published. Without it the one in the database is taken."`
	TokenFile   string        `placeholder:"FILE" help:"With --url: a file with an API key of any role in its first line, for a log that is not public; - is stdin. The key goes to that host only, over TLS or on this machine."`
	Checkpoint  []string      `sep:"none" placeholder:"FILE" help:"A signed checkpoint that was kept elsewhere; can be given again. Only such a one shows that history was rewritten as a whole."`
	Receipt     []string      `sep:"none" placeholder:"FILE" help:"A receipt; can be given again. Needs --key and nothing else: no ledger, no connection. With --dir, --file or --url the log is checked, too, and that it has what the receipt shows."`
	Export      string        `placeholder:"FILE" help:"A member's export that was asked for with complete=true: checks that it has all entries of the member that are in the log. With --dir, --file or --url."`
	Certificate []string      `sep:"none" placeholder:"FILE" help:"A certificate of destruction; can be given again. Needs --key and nothing else, as --receipt does."`
	Witness     []string      `sep:"none" placeholder:"VKEY" help:"With --receipt or --certificate: the key of a witness that must have signed; can be given again."`
	Member      string        `placeholder:"-" help:"- to read from stdin whose it must be: with --receipt the member's ref, mbr_…; with --certificate the member's id, or the ref if it is of that."`
	Jobs        int           `placeholder:"N" help:"How many processors to use (default all); with --url, how many requests at a time (default 8)."`
	Deep        bool          `help:"With the root key: also open every entry that can still be opened, and account for all others."`
	Structure   bool          `help:"Also read every page of the database, whatever it holds, and compare the tag runs with the entries. Takes several times as long; --deep does it too."`
	Watch       bool          `help:"With --state: follow the log until SIGTERM, and end with exit code 1 and a JSON line at an alarm. VERIFY.md has them all."`
	Every       time.Duration `placeholder:"10s" default:"10s" help:"With --watch: how often to look (default ${default})."`
	Silence     time.Duration `placeholder:"1h" default:"1h" help:"With --watch: how long the log may be without a good answer; longer than a whole check takes (default ${default})."`
	looked      bool
	dirGiven    bool
	token       string
	JSON        bool `name:"json" help:"Print one JSON object."`
}

// maxJobs bounds the connections to a remote log.
const maxJobs = 256

// Validate is called by kong.
func (c *verifyCmd) Validate() error {
	switch {
	case c.Jobs < 0:
		return errors.New("--jobs: give a number of 1 or more")
	case c.URL != "" && c.Jobs > maxJobs:
		return fmt.Errorf("--jobs: give at most %d with --url", maxJobs)
	case c.Watch && c.State == "":
		return errors.New("--watch needs a file to remember in: give --state, --url and --key with it")
	case c.Watch && (c.Every < 100*time.Millisecond || c.Silence < c.Every):
		return errors.New("--every must be 100ms or more, and --silence no less than --every")
	case c.State != "" && (c.URL == "" || c.Key == ""):
		return errors.New("--state is for a remote log whose key is known: give --url and --key with it")
	case c.TokenFile != "" && c.URL == "":
		return errors.New("--token-file is the key for a log behind --url: give that too, or leave it out")
	case c.TokenFile == "-" && c.Member != "":
		return errors.New("--token-file - and --member - would both be read from stdin: put the key into a file")
	case c.Full && c.State == "":
		return errors.New("--full is for --state: without a state file all of the log is read in any case")
	case c.Watch && (len(c.Receipt)+len(c.Certificate) > 0 || c.Export != ""):
		return errors.New("--watch follows a log for as long as it runs: verify a receipt, a certificate or an export by itself, without --watch")
	case c.Export != "" && c.State != "" && !c.Full:
		return errors.New("--export is held against all of the log, and with --state only what is new is read: give --full with it, or leave --state out")
	case c.Export != "" && c.Key == "":
		return errors.New("--export is held against the log of a ledger whose key is known: give --key with it")
	case c.URL != "" && c.File != "":
		return errors.New("--url and --file are two logs: give one of them")
	case c.URL != "" && (c.Deep || c.Structure):
		return errors.New("--deep and --structure need the ledger's own files, which nobody has over HTTP: leave them out, or give --dir instead of --url")
	case c.File != "" && c.Deep:
		return errors.New("--deep needs the ledger's directory and root key: give --dir instead of --file")
	}
	return c.validateReceipt()
}

func (c *verifyCmd) Run(ctx context.Context, t *terminal) error {
	o, err := c.options()
	if err != nil {
		return err
	}
	if c.TokenFile != "" {
		if c.token, err = readToken(c.TokenFile); err != nil {
			return fmt.Errorf("--token-file: %w", err)
		}
	}
	collectSeldom()
	papers, err := c.receipts(o)
	if err != nil {
		return err
	}
	if c.alone() {
		if err := printPapers(t, papers, c.JSON); err != nil {
			return err
		}
		if !allGenuine(papers) {
			return no{}
		}
		return nil
	}
	export, err := c.export(&o)
	if err != nil {
		return err
	}
	for _, p := range papers {
		if p.Genuine {
			o.Checkpoints = append(o.Checkpoints, p.checkpoint)
		}
	}
	if c.Watch {
		return c.watch(ctx, t, o)
	}
	progress, done := newProgress(t.err, "verify", "entries")
	o.Progress = progress
	res, err := c.verify(ctx, o)
	done()
	if err != nil {
		return err
	}
	res.findReceipts(papers)
	if export != nil {
		if err := res.findExport(c.Export, export); err != nil {
			return err
		}
	}
	if c.Deep {
		if err := c.deep(ctx, t, res); err != nil {
			return err
		}
	}
	if err := res.print(t, c.JSON); err != nil {
		return err
	}
	if !res.Intact {
		return no{}
	}
	return nil
}

func (c *verifyCmd) options() (chain.VerifyOptions, error) {
	o := chain.VerifyOptions{Jobs: c.Jobs}
	if c.Key != "" {
		v, err := logKey(c.Key)
		if err != nil {
			return o, err
		}
		o.Verifier = v
	}
	for _, name := range c.Checkpoint {
		b, err := os.ReadFile(name)
		if err != nil {
			return o, fmt.Errorf("--checkpoint: %w", err)
		}
		// Whether it is this ledger's is for the report; what is no checkpoint says nothing of any ledger.
		if _, err := chain.OpenCheckpoint(b, note.VerifierList(), ""); errors.Is(err, chain.ErrCheckpoint) {
			return o, fmt.Errorf("--checkpoint %s: this file is no signed checkpoint, so nothing was checked: give one as GET /checkpoint answered it, unchanged: %w", name, err)
		}
		o.Checkpoints = append(o.Checkpoints, b)
	}
	return o, nil
}

// verify checks the log: through the server if one runs, else in the database itself.
func (c *verifyCmd) verify(ctx context.Context, o chain.VerifyOptions) (*result, error) {
	if c.URL != "" {
		return c.verifyURL(ctx, o)
	}
	if c.File != "" {
		return c.verifyFile(ctx, c.File, "", o)
	}
	server, err := findControl(ctx, c.Dir)
	if err != nil {
		return nil, err
	}
	if server != nil {
		return c.verifyRunning(ctx, server, o)
	}
	return c.verifyFile(ctx, datadir.Database(c.Dir), c.Dir, o)
}

func (c *verifyCmd) verifyRunning(ctx context.Context, server *control, o chain.VerifyOptions) (*result, error) {
	src := &controlSource{ctx: ctx, c: server}
	in, err := src.info()
	if err != nil {
		return nil, err
	}
	res := &result{Via: viaServer, Where: c.Dir, Origin: in.Origin, PublicKey: in.PublicKey}
	if err := res.log(ctx, src, o); err != nil {
		return nil, err
	}
	if src.damaged != "" {
		res.findOther(ledger.StoreDamaged, "the server could not read "+src.damaged+": see its log")
	}
	res.Unchecked = append(res.Unchecked, "the head row, the tag runs and the database's structure: a server has them open; stop it to have them checked")
	return res.finish(), nil
}

// verifyFile checks a database that no server has open. dir is empty if the
// database is all there is.
func (c *verifyCmd) verifyFile(ctx context.Context, database, dir string, o chain.VerifyOptions) (*result, error) {
	res := &result{Via: viaDatabase, Where: database}
	s, err := datadir.OpenReadOnly(database)
	if errors.Is(err, store.ErrCorrupt) {
		if dir == "" {
			return nil, fmt.Errorf("%w: if it is a ledger's, it is damaged beyond reading", err)
		}
		return res.unreadable(err), nil
	}
	if err != nil {
		return nil, err
	}
	defer s.Close() // read-only: nothing can be lost
	src, id, err := ledger.NewLogSource(s, dir)
	if isDamage(err) {
		return res.unreadable(err), nil
	}
	if err != nil {
		return nil, err
	}
	res.Origin, res.PublicKey = id.Origin, id.PublicKey
	if err := res.log(ctx, src, o); isDamage(err) {
		return res.unreadable(err), nil
	} else if err != nil {
		return nil, err
	}
	b, err := src.CheckBeside(ctx, res.report, c.Structure || c.Deep)
	if err != nil {
		return nil, err
	}
	res.Checked = append(res.Checked, b.Checked...)
	res.Unchecked = append(res.Unchecked, b.Unchecked...)
	res.find(b.Findings...)
	for _, f := range b.Other {
		res.findOther(f.Kind, f.What)
	}
	return res.finish(), nil
}

func isDamage(err error) bool {
	return errors.Is(err, store.ErrCorrupt) || errors.Is(err, ledger.ErrCorrupt)
}

// log verifies the log itself. Without a key from outside, the ledger's own
// word for its key is taken, and the report says so.
func (r *result) log(ctx context.Context, src chain.Source, o chain.VerifyOptions) error {
	if o.Verifier == nil {
		v, err := note.NewVerifier(r.PublicKey)
		if err != nil {
			r.findOther(PublicKeyDiffers, fmt.Sprintf("the public key in the database cannot be read: %v", err))
		} else {
			o.Verifier = v
			r.Unchecked = append(r.Unchecked, "whose ledger it is: the public key was taken from the ledger itself, give the published one with --key")
		}
	} else if given := o.Verifier; !isKey(given, r.PublicKey) {
		r.findOther(PublicKeyDiffers, fmt.Sprintf("the ledger says its public key is %s, which is not the one given with --key", r.PublicKey))
	} else {
		r.Checked = append(r.Checked, "the public key in the database: it is the one given")
	}
	return r.verifyLog(ctx, src, o)
}

// verifyLog verifies what chain.Verify does, with the key in o.
func (r *result) verifyLog(ctx context.Context, src chain.Source, o chain.VerifyOptions) error {
	report, err := chain.Verify(ctx, src, o)
	if err != nil {
		return err
	}
	r.report = report
	r.Entries, r.Root, r.SHA256 = report.Entries, base64.StdEncoding.EncodeToString(report.Root[:]), report.Hash
	r.FirstRecordedAt, r.LastRecordedAt = rfc3339(report.FirstRecordedAtUnixMs), rfc3339(report.LastRecordedAtUnixMs)
	r.Checked = append(r.Checked, report.Checked...)
	r.Unchecked = append(r.Unchecked, report.Unchecked...)
	r.Outside = len(o.Checkpoints) > 0
	r.find(report.Findings...)
	return nil
}

// PublicKeyDiffers is the kind of a finding about the ledger's public key.
const PublicKeyDiffers chain.Kind = "public_key_differs"

func isKey(v note.Verifier, vkey string) bool {
	own, err := note.NewVerifier(vkey)
	return err == nil && own.Name() == v.Name() && own.KeyHash() == v.KeyHash()
}
