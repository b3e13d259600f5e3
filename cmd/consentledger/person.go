package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"consentledger/ledger"
	"consentledger/server/api"
)

// person is whom a command is about. A member's id is personal data: it comes
// from stdin and never from the command line, where ps and the shell's history
// would show it.
type person struct {
	Ref    string `placeholder:"mbr_…" help:"The member's ref."`
	Member string `placeholder:"-" help:"- to read the member's id from stdin, one line."`
}

// Validate is called by kong.
func (p person) Validate() error {
	switch {
	case (p.Ref == "") == (p.Member == ""):
		return errors.New("say who: --ref mbr_…, or --member - with the member's id on stdin")
	case p.Member != "" && p.Member != "-":
		return errors.New("--member: a member's id is never given in the command line, where others can see it: give --member - and write it to stdin")
	case p.Ref != "":
		if _, err := ledger.ParseRef(p.Ref); err != nil {
			return errors.New("--ref: a ref is mbr_ and 26 letters and digits, as POST /v1/lookups tells it")
		}
	}
	return nil
}

// id reads the member's id.
func (p person) id() (string, error) {
	b, err := io.ReadAll(io.LimitReader(os.Stdin, 4<<10))
	if err != nil {
		return "", fmt.Errorf("read the member's id from stdin: %w", err)
	}
	id := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	if id == "" || strings.ContainsAny(id, "\r\n") {
		return "", errors.New("--member -: write the member's id to stdin, one line and nothing else")
	}
	return id, nil
}

// ref gives the member's ref, which the server is asked for if it was not given.
func (p person) ref(ctx context.Context, s *control) (string, error) {
	if p.Ref != "" {
		return p.Ref, nil
	}
	id, err := p.id()
	if err != nil {
		return "", err
	}
	var a api.LookupAnswer
	err = s.call(ctx, http.MethodPost, "/v1/lookups", api.Lookup{MemberID: id}, &a)
	return a.Member, err
}

type exportCmd struct {
	place
	person
	Reason string `required:"" placeholder:"R" help:"Why: the look at the member's data is recorded with it."`
	LD     bool   `name:"ld" help:"As JSON-LD: consent records of ISO/IEC TS 27560."`
}

func (c *exportCmd) Run(ctx context.Context, t *terminal) error {
	accept := "application/json"
	if c.LD {
		accept = "application/ld+json"
	}
	return c.withControl(ctx, func(s *control) error {
		ref, err := c.ref(ctx, s)
		if err != nil {
			return err
		}
		b, err := s.do(ctx, http.MethodGet, "/v1/members/"+ref+"/export", "", nil, "Access-Reason", c.Reason, "Accept", accept)
		var r *refusal
		if errors.As(err, &r) {
			return r.answer()
		}
		if err != nil {
			return err
		}
		if len(b) > 0 && b[len(b)-1] != '\n' {
			b = append(b, '\n')
		}
		if _, err := t.out.Write(b); err != nil {
			return fmt.Errorf("write the export: %w", err)
		}
		return nil
	})
}

type withdrawCmd struct {
	place
	person
	Membership  bool     `help:"The whole membership: what only it justified is destroyed, and cannot be brought back."`
	Purpose     []string `placeholder:"P" help:"A purpose; can be given again."`
	Item        []string `placeholder:"I" help:"Only this optional item of the purposes; can be given again."`
	Method      string   `placeholder:"M" help:"How the member asked, such as phone."`
	Certificate string   `placeholder:"FILE" help:"Write the certificate of destruction to this new file, for the member: it can be had this once, and --json has it, too."`
	JSON        bool     `name:"json" help:"Print one JSON object."`
}

// Validate is called by kong.
func (c *withdrawCmd) Validate() error {
	if err := c.person.Validate(); err != nil {
		return err
	}
	if c.Membership == (len(c.Purpose) > 0) {
		return errors.New("say what: --membership, or --purpose once or several times")
	}
	return nil
}

func (c *withdrawCmd) Run(ctx context.Context, t *terminal) error {
	scope := ""
	if c.Membership {
		scope = "membership"
	}
	// First the file: what cannot be written afterwards would be lost for good.
	save, err := newCertificateFile(c.Certificate)
	if err != nil {
		return err
	}
	var a api.WithdrawalAnswer
	err = c.withControl(ctx, func(s *control) error {
		if c.Ref != "" {
			return s.call(ctx, http.MethodPost, "/control/members/"+c.Ref+"/withdrawals",
				api.ControlWithdrawal{Purposes: c.Purpose, Items: c.Item, Scope: scope, Method: c.Method}, &a)
		}
		id, err := c.id()
		if err != nil {
			return err
		}
		return s.call(ctx, http.MethodPost, "/v1/withdrawals",
			api.Withdrawal{MemberID: id, Purposes: c.Purpose, Items: c.Item, Scope: scope, Method: c.Method}, &a)
	})
	if err := errors.Join(err, save.keep(a.Certificate)); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(t.out, a)
	}
	fmt.Fprintf(t.out, "withdrawn; destroyed for good: %d keys, and with them %d entries\n", a.Destroyed.Keys, a.Destroyed.Entries)
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	for _, k := range a.Kept {
		until := "until " + k.Event
		if k.Until != nil {
			until = "until " + k.Until.Format(time.RFC3339)
		}
		fmt.Fprintf(w, "kept\t%s\t%s\t%s\n", k.Class, until, k.Basis)
	}
	for _, n := range a.Notify {
		fmt.Fprintf(w, "to be told\t%s\t%s\n", n.Recipient, strings.Join(n.Items, ", "))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	switch {
	case a.Certificate == "" && c.Certificate != "":
		fmt.Fprintln(t.out, "no certificate: nothing was destroyed, or too few witnesses have signed")
	case c.Certificate != "":
		fmt.Fprintf(t.out, "certificate of destruction in %s: give it to the member, and keep no copy\n", c.Certificate)
	}
	return nil
}

// certificateFile is a file that waits for its certificate; nil if none was asked for.
type certificateFile struct{ f *os.File }

func newCertificateFile(name string) (*certificateFile, error) {
	if name == "" {
		return nil, nil
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("--certificate: %w: name a new file in a folder that can be written to; nothing was withdrawn", err)
	}
	return &certificateFile{f}, nil
}

// keep writes the certificate, or takes the file away again if there is none.
func (c *certificateFile) keep(certificate string) error {
	if c == nil {
		return nil
	}
	if certificate == "" {
		return errors.Join(c.f.Close(), os.Remove(c.f.Name()))
	}
	_, err := c.f.WriteString(certificate)
	if err = errors.Join(err, c.f.Sync(), c.f.Close()); err != nil {
		return fmt.Errorf("the withdrawal is recorded, and its certificate could not be written: %w", err)
	}
	return nil
}
