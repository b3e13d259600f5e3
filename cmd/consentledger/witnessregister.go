package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"consentledger/server/api"
)

// The register of the witnesses that a ledger has its heads signed by.

type witnessAddCmd struct {
	place
	URL      string  `arg:"" help:"Where the witness takes checkpoints, such as https://witness.example."`
	Key      string  `arg:"" name:"vkey" help:"Its verifier key, as the witness prints it."`
	Required *uint64 `placeholder:"N" help:"From now on so many witnesses must have signed before a receipt is handed out (default: as it is)."`
	JSON     bool    `name:"json" help:"Print one JSON object."`
}

func (c *witnessAddCmd) Run(ctx context.Context, t *terminal) error {
	return changeWitnesses(ctx, t, c.place, api.NewWitness{URL: c.URL, Key: c.Key, Required: c.Required}, c.JSON)
}

type witnessRequireCmd struct {
	place
	Required uint64 `arg:"" name:"n" help:"So many witnesses must have signed before a receipt is handed out; 0: none."`
	JSON     bool   `name:"json" help:"Print one JSON object."`
}

func (c *witnessRequireCmd) Run(ctx context.Context, t *terminal) error {
	return changeWitnesses(ctx, t, c.place, api.NewWitness{Required: &c.Required}, c.JSON)
}

func changeWitnesses(ctx context.Context, t *terminal, p place, change api.NewWitness, asJSON bool) error {
	var a api.WitnessAnswer
	err := p.withControlUnasked(ctx, func(s *control) error {
		return s.call(ctx, http.MethodPost, "/v1/witnesses", change, &a)
	})
	switch {
	case err != nil:
		return err
	case asJSON:
		return printJSON(t.out, a)
	case a.ID != "":
		fmt.Fprintf(t.out, "id  %s\n", a.ID)
	}
	if change.Required != nil {
		fmt.Fprintf(t.out, "%d must sign before a receipt is handed out\n", *change.Required)
	}
	return nil
}

type witnessListCmd struct {
	place
	JSON bool `name:"json" help:"Print one JSON object."`
}

func (c *witnessListCmd) Run(ctx context.Context, t *terminal) error {
	var all api.Witnesses
	err := c.withControlUnasked(ctx, func(s *control) error {
		return s.call(ctx, http.MethodGet, "/v1/witnesses", nil, &all)
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(t.out, all)
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tSIGNED\tAWAY SINCE\tURL\tKEY")
	for _, one := range all.Witnesses {
		signed, away := "-", "-"
		if one.Size != nil {
			signed = fmt.Sprint(*one.Size)
		}
		if one.AwaySince != nil {
			away = one.AwaySince.Format(time.RFC3339)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", one.ID, signed, away, one.URL, one.Key)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(t.out, "%d of %d must sign before a receipt is handed out\n", all.Required, len(all.Witnesses))
	return nil
}

type witnessRemoveCmd struct {
	place
	ID   string `arg:"" help:"The witness's id, wit_…; witness list shows it."`
	JSON bool   `name:"json" help:"Print one JSON object."`
}

func (c *witnessRemoveCmd) Run(ctx context.Context, t *terminal) error {
	var a api.RemovedWitness
	err := c.withControlUnasked(ctx, func(s *control) error {
		return s.call(ctx, http.MethodDelete, "/v1/witnesses/"+url.PathEscape(c.ID), nil, &a)
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(t.out, a)
	}
	fmt.Fprintf(t.out, "%s is out of the register\n", c.ID)
	return nil
}
