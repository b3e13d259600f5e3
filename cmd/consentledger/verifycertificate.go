package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"golang.org/x/text/unicode/norm"

	"consentledger/ledger/chain"
	"consentledger/ledger/receipt"
)

// certificateSays is what a certificate of destruction says, beside where it stands in the log.
type certificateSays struct {
	Cause       string              `json:"cause"`
	Destroyed   receipt.Counts      `json:"destroyed"`
	Generations receipt.Generations `json:"generations"`
	Status      string              `json:"status"` // when it was made
	Grade       string              `json:"grade"`
	StillShown  string              `json:"still_shown"`
	Custodies   []string            `json:"custodies"`
	Kept        []receipt.Kept      `json:"kept"`
	Of          string              `json:"of"`            // what the subject is
	Theirs      bool                `json:"whose_checked"` // the subject was given, and it is theirs
}

func (c *verifyCmd) validateCertificate() error {
	switch {
	case len(c.Certificate) > 0 && len(c.Receipt) > 0:
		return errors.New("--certificate and --receipt are two kinds of files: verify them one after the other")
	case len(c.Certificate) > 0 && c.Key == "":
		return errors.New("--certificate shows something only to who knows the ledger's key: give --key with it, from where the key was published")
	}
	return nil
}

// verifyCertificate checks a certificate, and whose it is if a subject is given.
func verifyCertificate(name string, file []byte, k receipt.Keys, subject string) *paper {
	sum := receipt.Digest(file)
	p := &paper{kind: "certificate", File: name, SHA256: hex.EncodeToString(sum[:]), Cosigned: []paperCosignature{}, Unchecked: []string{}}
	r, checked, err := receipt.OpenCertificate(file, k)
	if err == nil && subject != "" {
		err = r.IsOf(norm.NFC.Bytes([]byte(subject))) // as a ledger takes ids; a terminal may write them in another way
	}
	if err != nil {
		p.fails(err)
		return p
	}
	p.Genuine = true
	p.Origin, p.Index, p.LeafHash, p.RecordedAt, p.IssuedAt, p.Size = r.Origin, &r.Index, r.LeafHash, &r.RecordedAt, &r.IssuedAt, checked.Size
	p.Certificate = &certificateSays{
		Cause: r.Cause, Destroyed: r.Destroyed, Generations: r.Generations, Status: r.Status, Grade: r.Grade,
		StillShown: r.StillShown, Custodies: r.Custodies, Kept: r.Kept, Of: r.Of, Theirs: subject != "",
	}
	for _, c := range checked.Cosigned {
		p.Cosigned = append(p.Cosigned, paperCosignature(c))
	}
	p.Unchecked = append(p.Unchecked, checked.Unchecked...)
	if proof, err := chain.ParseProof([]byte(r.Proof)); err == nil { // OpenCertificate has parsed it
		p.checkpoint = proof.Checkpoint
	}
	return p
}

// subjectWords are what the subject of a certificate is.
var subjectWords = map[string]string{receipt.SubjectID: "the member id", receipt.SubjectRef: "the member's ref, mbr_…,"}

func (p *paper) printCertificate(out func(format string, args ...any)) {
	c := p.Certificate
	out("destroyed %d keys, and with them %d entries, for %s", c.Destroyed.Keys, c.Destroyed.Entries, c.Cause)
	out("root key  generation %d was replaced by %d; how surely it is gone: %s", c.Generations.From, c.Generations.To, c.Grade)
	out("status    %s when this was made, at %s; the ledger's GET /v1/destructions/%d tells the present one", c.Status, p.IssuedAt.UTC().Format(time.RFC3339), *p.Index)
	for _, k := range c.Kept {
		until := "until " + k.Event
		if k.Until != nil {
			until = "until " + k.Until.UTC().Format(time.RFC3339)
		}
		out("kept      %s, %s: %s", k.Class, until, k.Basis)
	}
	out("shown     %s", c.StillShown)
	for _, s := range c.Custodies {
		out("custody   %s", s)
	}
	out("checked   the entry is in the log under a checkpoint of %d entries that the ledger has signed, opens with what the certificate discloses, and says this", p.Size)
	if c.Theirs {
		out("checked   whose it is: that of %s on stdin", subjectWords[c.Of])
	} else {
		out("unchecked whose it is: give --member -, and %s on stdin", subjectWords[c.Of])
	}
	p.printWitnesses(out)
	out("unchecked the status, how surely the root key is gone, what is kept and when the certificate was made: the ledger's word, under its signature")
	if c.Theirs {
		out("GENUINE: the ledger recorded that these keys died, and they were theirs")
	} else {
		out("GENUINE: the ledger recorded that these keys died")
	}
}

func (p *paper) printWitnesses(out func(format string, args ...any)) {
	for _, c := range p.Cosigned {
		out("checked   %s, a witness, had seen that log at %s", c.Name, c.At.Format(time.RFC3339))
	}
	for _, name := range p.Unchecked {
		out("unchecked the cosignature of %s: give its key with --witness", name)
	}
	if len(p.Cosigned) == 0 {
		out("unchecked whether the ledger shows everybody this log: no witness's key was given")
	}
}

// fails notes why a paper is not genuine.
func (p *paper) fails(err error) {
	p.What = err.Error()
	for _, f := range paperFaults {
		if errors.Is(err, f.is) {
			p.Why = f.word
		}
	}
}

// CertificateBad is the kind of a finding about a certificate.
const CertificateBad chain.Kind = "certificate_bad"

// paperFinding is what a log's report says of a paper that is not genuine.
func (p *paper) finding() (chain.Kind, string) {
	kind := ReceiptBad
	if p.kind == "certificate" {
		kind = CertificateBad
	}
	return kind, fmt.Sprintf("the %s %s: %s", p.kind, p.File, p.What)
}
