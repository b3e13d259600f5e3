// Package witness is a witness of transparency logs, of C2SP tlog-witness
// v1.0.0: it cosigns the heads of the logs that it knows, each the
// continuation of the one before, and so can never be made to vouch for two
// histories of one log. WITNESS.md says what it promises.
//
// It serves any log that follows the specification, not only ours.
package witness

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"

	"golang.org/x/mod/sumdb/note"

	"consentledger/ledger/chain"
)

// A Log is one that a witness knows: its origin line, and the key that signs
// its checkpoints. Several with one origin are several keys of one log.
type Log struct {
	Origin   string
	Verifier note.Verifier
}

// ParseLog takes a log's verifier key. Its name is the origin.
func ParseLog(vkey string) (Log, error) {
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return Log{}, fmt.Errorf("%.300q is no verifier key of a log (type 0x01): copy the whole line, name+id+key, that the log's operator publishes", vkey)
	}
	if _, err := chain.ParseOrigin(v.Name()); err != nil {
		return Log{}, fmt.Errorf("the name in the verifier key: %w", err)
	}
	return Log{Origin: v.Name(), Verifier: v}, nil
}

// sizeType is the media type of an answer that names the size that was cosigned
// last.
const sizeType = "text/x.tlog.size"

// advancer is what a witness needs of its memory.
type advancer interface {
	advance(origin string, decide func(chain.Checkpoint) (chain.Checkpoint, error)) error
}

// A Witness answers POST /add-checkpoint.
type Witness struct {
	heads  advancer
	signer note.Signer
	logs   map[string][]note.Verifier
	log    *slog.Logger
}

// New makes a witness that signs with signer, which chain.NewCosigner makes,
// and knows these logs. A nil logger logs nothing.
func New(h *Heads, signer note.Signer, logs []Log, log *slog.Logger) (*Witness, error) {
	return newWitness(h, signer, logs, log)
}

func newWitness(h advancer, signer note.Signer, logs []Log, log *slog.Logger) (*Witness, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	w := &Witness{heads: h, signer: signer, logs: make(map[string][]note.Verifier), log: log}
	for _, l := range logs {
		known := w.logs[l.Origin]
		if slices.ContainsFunc(known, func(v note.Verifier) bool {
			return v.Name() == l.Verifier.Name() && v.KeyHash() == l.Verifier.KeyHash()
		}) {
			return nil, fmt.Errorf("the log %s was given twice with the same key", l.Origin)
		}
		w.logs[l.Origin] = append(known, l.Verifier)
	}
	return w, nil
}

// A refusal is an answer that is not 200.
type refusal struct {
	status int
	why    string
	latest uint64 // with 409
}

func (r *refusal) Error() string { return r.why }

func refuse(status int, why string) error { return &refusal{status: status, why: why} }

// ServeHTTP answers POST /add-checkpoint, and nothing else.
func (w *Witness) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	h := rw.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	if r.URL.Path != "/add-checkpoint" {
		http.Error(rw, "a witness answers POST /add-checkpoint", http.StatusNotFound)
		return
	}
	if r.Method != http.MethodPost {
		h.Set("Allow", http.MethodPost)
		http.Error(rw, "a witness answers POST /add-checkpoint", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, MaxRequest))
	if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
		http.Error(rw, fmt.Sprintf("the body has more than %d bytes", MaxRequest), http.StatusRequestEntityTooLarge)
		return
	}
	if err != nil {
		http.Error(rw, "the body could not be read", http.StatusBadRequest)
		return
	}
	line, err := w.add(body)
	var no *refusal
	switch {
	case err == nil:
		h.Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = rw.Write(line) // who is gone asks again, and gets it
	case !errors.As(err, &no):
		w.log.Error("a head could not be remembered, so it was not signed", "error", err.Error())
		http.Error(rw, "the head could not be remembered, so it is not signed", http.StatusInternalServerError)
	case no.status == http.StatusConflict:
		h.Set("Content-Type", sizeType)
		rw.WriteHeader(no.status)
		_, _ = rw.Write(strconv.AppendUint(nil, no.latest, 10))
		_, _ = rw.Write([]byte("\n"))
	default:
		http.Error(rw, no.why, no.status)
	}
}

// add is add-checkpoint: it returns the line of the cosignature.
func (w *Witness) add(body []byte) ([]byte, error) {
	r, err := ParseRequest(body)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, err.Error())
	}
	keys := w.logs[r.head.Origin]
	if keys == nil {
		return nil, refuse(http.StatusNotFound, "this witness does not know the log")
	}
	// A signature that a known key rejects fails, too.
	n, err := note.Open(r.Note, note.VerifierList(keys...))
	if err != nil {
		return nil, refuse(http.StatusForbidden, "the checkpoint has no good signature of the log")
	}
	var line []byte
	err = w.heads.advance(r.head.Origin, func(have chain.Checkpoint) (chain.Checkpoint, error) {
		if err := w.follows(have, r); err != nil {
			return have, err
		}
		// Signed while nobody else can move the head, so that times and sizes
		// rise together; it leaves only when the head is durable.
		line, err = w.cosign(n.Text)
		return r.head, err
	})
	if err != nil {
		return nil, err
	}
	return line, nil
}

// follows refuses a checkpoint that does not continue the head that was
// cosigned last.
func (w *Witness) follows(have chain.Checkpoint, r Request) error {
	switch {
	case r.Old != have.Size:
		return &refusal{status: http.StatusConflict, latest: have.Size, why: "another size was cosigned last"}
	case r.head.Size == have.Size && have.Size > 0 && r.head.Root != have.Root:
		w.log.Error("a log has signed two heads of one size: its history was written twice", "log", r.head.Origin, "size", have.Size,
			"cosigned", base64.StdEncoding.EncodeToString(have.Root[:]), "offered", base64.StdEncoding.EncodeToString(r.head.Root[:]))
		return &refusal{status: http.StatusConflict, latest: have.Size, why: "another head of this size was cosigned"}
	}
	if err := chain.CheckConsistency(have, r.head, r.Proof); err != nil {
		w.log.Warn("a signed checkpoint was not shown to continue the last one", "log", r.head.Origin, "from", have.Size, "to", r.head.Size)
		return refuse(http.StatusUnprocessableEntity, err.Error())
	}
	return nil
}

// cosign returns a signature line of a note.
func (w *Witness) cosign(text string) ([]byte, error) {
	sig, err := w.signer.Sign([]byte(text))
	if err != nil {
		return nil, err
	}
	raw := binary.BigEndian.AppendUint32(nil, w.signer.KeyHash())
	raw = append(raw, sig...)
	return []byte("— " + w.signer.Name() + " " + base64.StdEncoding.EncodeToString(raw) + "\n"), nil
}
