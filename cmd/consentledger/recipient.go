package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"text/tabwriter"
	"time"

	"consentledger/server/api"
)

type recipientCmd struct {
	Add  recipientAddCmd  `cmd:"" help:"Announce a change of who gets data, between two versions of a policy."`
	List recipientListCmd `cmd:"" help:"List every recipient, with from when until when it gets what."`
}

type recipientAddCmd struct {
	place
	ChangeFile string   `arg:"" optional:"" name:"file" help:"The change as JSON, as POST /v1/recipients takes it; in place of the flags."`
	Policy     string   `placeholder:"P" help:"The policy."`
	ID         string   `name:"id" placeholder:"ID" help:"The recipient's id in the policy, such as parcel-co."`
	Name       string   `placeholder:"N" help:"Its name."`
	Business   string   `placeholder:"B" help:"Its main business."`
	Kind       string   `placeholder:"K" help:"processor, third_party or authority."`
	Country    string   `placeholder:"C" help:"Where it is."`
	Purpose    []string `placeholder:"P" help:"A purpose that it gets data for; can be given again."`
	Item       []string `placeholder:"I" help:"An item that it gets; can be given again."`
	From       string   `placeholder:"DATE" help:"The day from which the change applies, YYYY-MM-DD."`
	Ended      bool     `help:"From that day on it gets nothing more."`
	Announced  string   `placeholder:"DATE" help:"The day on which members were or will be told."`
	Reason     string   `placeholder:"R" help:"Why it changes."`
	JSON       bool     `name:"json" help:"Print one JSON object."`
}

// Validate is called by kong.
func (c *recipientAddCmd) Validate() error {
	flags := c.Policy != "" || c.ID != "" || c.From != ""
	if (c.ChangeFile != "") == flags {
		return errors.New("give a file, or the change by --policy, --id, --from and the other flags")
	}
	return nil
}

func (c *recipientAddCmd) Run(ctx context.Context, t *terminal) error {
	var change any = api.RecipientChange{
		Policy: c.Policy, ID: c.ID, Announced: c.Announced, Reason: c.Reason,
		Recipient: api.Recipient{
			Name: c.Name, Business: c.Business, Kind: c.Kind, Country: c.Country, Purposes: c.Purpose, Items: c.Item, From: c.From, Ended: c.Ended,
		},
	}
	if c.ChangeFile != "" {
		b, err := os.ReadFile(c.ChangeFile)
		if err != nil {
			return fmt.Errorf("read the change: %w", err)
		}
		change = rawJSON(b)
	}
	var a api.RecipientAnswer
	err := c.withControl(ctx, func(s *control) error {
		return s.call(ctx, http.MethodPost, "/v1/recipients", change, &a)
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(t.out, a)
	}
	fmt.Fprintf(t.out, "the change of %s in policy %s is recorded\n", a.ID, a.Policy)
	return nil
}

type recipientListCmd struct {
	place
	JSON bool `name:"json" help:"Print one JSON object."`
}

func (c *recipientListCmd) Run(ctx context.Context, t *terminal) error {
	var all api.Recipients
	err := c.withControl(ctx, func(s *control) error {
		return s.call(ctx, http.MethodGet, "/v1/recipients", nil, &all)
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(t.out, all)
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "POLICY\tRECIPIENT\tKIND\tCOUNTRY\tFROM\tUNTIL\tNAME")
	for _, r := range all.Recipients {
		kind, until := r.Kind, "-"
		if r.Ended {
			kind = "ended"
		}
		if r.Until != nil {
			until = r.Until.Format(time.RFC3339)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Policy, r.ID, kind, dash(r.Country), r.From.Format(time.RFC3339), until, r.Name)
	}
	return w.Flush()
}
