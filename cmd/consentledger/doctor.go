package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"consentledger/cmd/consentledger/datadir"
)

// doctorCmd says what is unsafe about an installation. It mends nothing.
type doctorCmd struct {
	place
	listening
	MinFree uint64 `name:"min-free-bytes" placeholder:"N" default:"268435456" help:"As serve has it (default ${default})."`
	JSON    bool   `name:"json" help:"Print one JSON object."`
}

// Help is called by kong.
func (c *doctorCmd) Help() string {
	return "Run it as the user that runs the server, with the flags that serve has. " +
		"Exit code 0: nothing is in danger, though there may be advice; 1: something is; 2: it could not look. DOCTOR.md lists what it looks for."
}

// An ailment is one thing that is unsafe.
type ailment struct {
	Code   string `json:"code"`
	Level  string `json:"level"`
	What   string `json:"what"`
	Remedy string `json:"remedy"`
}

// What is in danger is so now; what is advised would be safer.
const (
	danger = "danger"
	advice = "advice"
)

// diagnosis is what the doctor prints with --json.
type diagnosis struct {
	Safe     bool      `json:"safe"` // nothing is in danger
	Findings []ailment `json:"findings"`
	Unknown  []string  `json:"unknown"` // what could not be looked at, and why
}

func (c *doctorCmd) Run(ctx context.Context, t *terminal) error {
	if err := datadir.Exists(c.Dir); err != nil {
		if errors.Is(err, datadir.ErrMissing) {
			return err
		}
		return fmt.Errorf("look at the installation: %w", err)
	}
	d := diagnose(c.look(ctx))
	if c.JSON {
		if err := printJSON(t.out, d); err != nil {
			return err
		}
	} else {
		d.print(t)
	}
	if !d.Safe {
		return no{}
	}
	return nil
}

func diagnose(f *facts) diagnosis {
	d := diagnosis{Safe: true, Findings: examine(f), Unknown: append([]string{}, f.unknown...)}
	for _, one := range d.Findings {
		d.Safe = d.Safe && one.Level != danger
	}
	return d
}

func (d *diagnosis) print(t *terminal) {
	counts := map[string]int{}
	for _, f := range d.Findings {
		counts[f.Level]++
		fmt.Fprintf(t.out, "%-7s %s: %s\n        %s\n", f.Level, f.Code, f.What, f.Remedy)
	}
	for _, u := range d.Unknown {
		fmt.Fprintf(t.out, "unknown %s\n", u)
	}
	switch {
	case counts[danger] > 0:
		fmt.Fprintf(t.out, "%d in danger, %d pieces of advice\n", counts[danger], counts[advice])
	case counts[advice] > 0:
		fmt.Fprintf(t.out, "nothing is in danger; %d pieces of advice\n", counts[advice])
	default:
		fmt.Fprintln(t.out, "nothing unsafe was found")
	}
}

// A fileFact is a file or directory of the installation.
type fileFact struct {
	path string
	mode uint32 // permission bits
	uid  uint32
}

// facts are what the doctor goes by. What is not known is left at its zero
// value and named in unknown.
type facts struct {
	now     time.Time
	unknown []string

	files []fileFact // the first one is the data directory
	users []uint32   // who runs the server, or would

	rootInside bool   // the root-key file lies in the data directory
	rootBeside bool   // on the same filesystem
	rootGrade  string // of package rootkey

	lastEntry time.Time
	notReady  string // the code that /readyz answers with
	notOpened string // why the ledger could not be opened
	keys      []keyFact
	unsynced  bool     // nobody sets the clock
	swaps     []string // where memory may be written to in the clear
	free      map[string]room
	minFree   uint64

	open        string // an address that other machines reach without TLS
	certExpires time.Time
	certError   string
	tlsKey      *fileFact

	witnesses []witnessFact
	required  int // of them, how many must sign

	dumpable bool // others of the server's user may read its memory
	cores    bool // it may leave a core file
}

type room struct{ free, total uint64 }

type keyFact struct {
	id, role          string
	created, lastUsed time.Time // lastUsed zero: never
}

type witnessFact struct {
	id, name  string
	awaySince time.Time // zero: it signs
}

const day = 24 * time.Hour

// examine says what is unsafe. It is a function of the facts alone.
func examine(f *facts) []ailment {
	found := []ailment{}
	add := func(level, code, remedy, what string, args ...any) {
		found = append(found, ailment{code, level, fmt.Sprintf(what, args...), remedy})
	}
	examineFiles(f, add)
	examineRoot(f, add)
	examineMachine(f, add)
	examineService(f, add)
	return found
}

type adder func(level, code, remedy, what string, args ...any)

func examineFiles(f *facts, add adder) {
	for i, file := range f.files {
		if file.mode&0o077 != 0 {
			add(danger, "file_open", "chmod go= "+quoted(file.path)+"; if others could read it, take every API key and the root key for known to them",
				"%s is open to other users (mode %04o)", file.path, file.mode)
		}
		if i > 0 && file.uid != f.files[0].uid {
			add(danger, "file_owner", fmt.Sprintf("find out who made it, then chown %d %s", f.files[0].uid, quoted(file.path)),
				"%s belongs to user %d, and the data directory to user %d", file.path, file.uid, f.files[0].uid)
		}
	}
	for _, uid := range f.users {
		if uid == 0 {
			add(danger, "runs_as_root", "give the ledger a user of its own, who owns both directories; systemd/README.md shows it",
				"the server runs, or would run, as root, and a mistake in it is one in everything")
			return
		}
	}
}

func quoted(path string) string { return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'" }

func examineRoot(f *facts, add adder) {
	switch {
	case f.rootInside:
		add(danger, "root_in_data", "stop the server, move the file out of the data directory, give its place with --root, and destroy the backups that hold both",
			"the root-key file lies in the data directory: every backup of that one opens what was destroyed after it")
	case f.rootBeside:
		add(advice, "root_same_disk", "put the root-key file on a filesystem of its own, and in no image or snapshot",
			"the root-key file is on the same filesystem as the data: an image of that disk holds both, and opens what was destroyed after it")
	}
	switch grade := f.rootGrade; {
	case grade == "" || strings.HasPrefix(grade, "overwritten-in-place/read-back-direct"):
	case grade == "memory":
		add(danger, "root_in_memory", "put it on ext4 or XFS; when the machine restarts, nothing of the ledger can be read again",
			"the root-key file is on a filesystem in memory")
	case strings.HasPrefix(grade, "overwritten-in-place/"):
		add(advice, "root_read_back", "put it on a local disk with ext4 or XFS", "that an old root key is gone is read back through the cache only (%s)", grade)
	default:
		add(danger, "root_not_overwritten", "put it on ext4 or XFS, on a disk of its own if need be; then have everything destroyed taken for readable until old blocks are gone",
			"where the root-key file is, old keys may survive being overwritten (%s)", grade)
	}
}

func examineMachine(f *facts, add adder) {
	if !f.lastEntry.IsZero() && f.now.Before(f.lastEntry.Add(-time.Minute)) {
		add(danger, "clock_behind", "set the clock; until it has caught up every entry gets the time of the newest one",
			"the clock says %s, and the newest entry is of %s", f.now.UTC().Format(time.RFC3339), f.lastEntry.UTC().Format(time.RFC3339))
	}
	if f.unsynced {
		add(advice, "clock_not_set", "run chrony or systemd-timesyncd: what is in force, and what is due, goes by this clock",
			"nobody sets this machine's clock")
	}
	if len(f.swaps) > 0 {
		add(danger, "swap", "swapoff, or encrypt it with a key that is random at each start, or run the service with MemorySwapMax=0 (systemd/ does)",
			"memory with keys may be written to %s, where it outlives them", strings.Join(f.swaps, ", "))
	}
	for _, path := range slices.Sorted(maps.Keys(f.free)) {
		switch r := f.free[path]; {
		case r.free < f.minFree:
			add(danger, "disk_full", "make room; the server takes nothing but withdrawals", "%s has %d bytes left, and the server wants %d", path, r.free, f.minFree)
		case r.free < 4*f.minFree || r.free < r.total/20:
			add(advice, "disk_fills", "make room, or move to a larger disk", "%s has %d bytes left of %d", path, r.free, r.total)
		}
	}
}

// How old a key may grow, and how long it may lie about.
const (
	keyAge  = 365 * day
	keyIdle = 90 * day
	certEnd = 14 * day
)

func examineService(f *facts, add adder) {
	if f.notOpened != "" {
		add(danger, "not_opened", "mend what it says; verify tells more", "the ledger cannot be opened: %s", f.notOpened)
	}
	if f.notReady != "" {
		add(danger, "not_ready", "ERRORS.md says what to do about this code", "the server is not ready: %s", f.notReady)
	}
	if f.dumpable || f.cores {
		add(danger, "core_dumps", "run this release's own binary; it closes its memory and forbids core files when it starts",
			"the server's memory, with its keys, may be read or written to a core file")
	}
	for _, k := range f.keys {
		switch {
		case k.lastUsed.IsZero() && f.now.Sub(k.created) > keyIdle:
			add(advice, "key_never_used", "key revoke "+k.id+", unless it is kept for an emergency", "the %s key %s was made %d days ago and never used", k.role, k.id, int(f.now.Sub(k.created)/day))
		case !k.lastUsed.IsZero() && f.now.Sub(k.lastUsed) > keyIdle:
			add(advice, "key_idle", "key revoke "+k.id, "the %s key %s was last used %d days ago", k.role, k.id, int(f.now.Sub(k.lastUsed)/day))
		case f.now.Sub(k.created) > keyAge:
			add(advice, "key_old", "key create with the same name, give the new one to whoever uses it, then key revoke "+k.id, "the %s key %s is %d days old", k.role, k.id, int(f.now.Sub(k.created)/day))
		}
	}
	examineWitnesses(f, add)
	if f.open != "" {
		add(danger, "no_tls", "give serve --tls-cert and --tls-key, or listen on 127.0.0.1 behind a proxy that speaks TLS and limits sign-ins by address, because all that it passes on has its own",
			"%s is reached by other machines, and API keys and personal data cross the network in the clear", f.open)
	}
	if f.certError != "" {
		add(danger, "tls_cert", "give a certificate and the key that belongs to it", "the certificate cannot be used: %s", f.certError)
	}
	if !f.certExpires.IsZero() && f.certExpires.Sub(f.now) < certEnd {
		add(danger, "tls_cert_ends", "renew it, and see to it that it renews itself", "the certificate ends at %s", f.certExpires.UTC().Format(time.RFC3339))
	}
	if k := f.tlsKey; k != nil && k.mode&0o077 != 0 {
		add(danger, "tls_key_open", "chmod go= "+quoted(k.path)+", and have a new certificate made if others could read it", "%s is open to other users (mode %04o)", k.path, k.mode)
	}
}

// awayLong is when a witness that is away is not only being restarted.
const awayLong = time.Hour

func examineWitnesses(f *facts, add adder) {
	there := len(f.witnesses)
	for _, w := range f.witnesses {
		if !w.awaySince.IsZero() && f.now.Sub(w.awaySince) > awayLong {
			there--
		}
	}
	if there < f.required {
		add(danger, "witnesses_too_few", "have the witnesses mended, or add others; witness require says how many must sign",
			"%d of %d witnesses sign and %d must: no receipt is handed out", there, len(f.witnesses), f.required)
		return
	}
	for _, w := range f.witnesses {
		if !w.awaySince.IsZero() && f.now.Sub(w.awaySince) > awayLong {
			add(advice, "witness_away", "ask who runs it; the server's log says why it does not sign. If it is gone for good: witness remove "+w.id,
				"the witness %s has not signed since %s", w.name, w.awaySince.UTC().Format(time.RFC3339))
		}
	}
}
