package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"consentledger/server/api"
)

type keyCmd struct {
	Create keyCreateCmd `cmd:"" help:"Make an API key; it is shown this once."`
	Revoke keyRevokeCmd `cmd:"" help:"End an API key, at once and for good."`
	List   keyListCmd   `cmd:"" help:"List the API keys, without their secrets."`
}

type keyCreateCmd struct {
	place
	Role string `required:"" enum:"writer,reader,dpo,auditor,admin" placeholder:"R" help:"${enum}."`
	Name string `required:"" placeholder:"N" help:"What tells it from the others, such as shop-backend."`
	JSON bool   `name:"json" help:"Print one JSON object."`

	Policy      []string `sep:"," placeholder:"ID" help:"The only policies that it may touch (default: all)."`
	Certificate string   `placeholder:"NAME" help:"A DNS name or URI in the client's certificate that stands for the key, instead of a token; needs serve --tls-client-ca."`
}

func (c *keyCreateCmd) Run(ctx context.Context, t *terminal) error {
	var k api.CreatedKey
	var all api.Keys
	err := c.withControl(ctx, func(s *control) error {
		err := s.call(ctx, http.MethodPost, "/v1/keys", api.NewKey{Role: c.Role, Name: c.Name, Policies: c.Policy, Certificate: c.Certificate}, &k)
		if err == nil && !c.JSON {
			_ = s.call(ctx, http.MethodGet, "/v1/keys", nil, &all) // the new key is there, whatever becomes of the hint
		}
		return err
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(t.out, k)
	}
	fmt.Fprintf(t.out, "id    %s\nrole  %s\nname  %s\n", k.ID, k.Role, k.Name)
	if len(k.Policies) > 0 {
		fmt.Fprintf(t.out, "for   %s\n", strings.Join(k.Policies, ", "))
	}
	if k.Certificate != "" {
		fmt.Fprintf(t.out, "whose certificate has the name %s\n", k.Certificate)
	} else {
		fmt.Fprintf(t.out, "key   %s  (shown this once)\n", k.Key)
	}
	for _, old := range all.Keys {
		if old.Name == k.Name && old.ID != k.ID && old.RevokedAt == nil {
			fmt.Fprintf(t.out, "it takes the place of %s: once nobody uses that one any more (key list says when it was last used), key revoke %[1]s\n", old.ID)
		}
	}
	return nil
}

type keyRevokeCmd struct {
	place
	ID   string `arg:"" help:"The key's id, key_…; a key itself is never given here."`
	JSON bool   `name:"json" help:"Print one JSON object."`
}

// Validate is called by kong.
func (c *keyRevokeCmd) Validate() error {
	if strings.HasPrefix(c.ID, "cl_live_") {
		return errors.New("that is a key and not its id: the id is key_ and the part between the second and third underscore; now that the key was in a command line, revoke it")
	}
	rest, ok := strings.CutPrefix(c.ID, "key_")
	if !ok || rest == "" || strings.Trim(rest, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		return errors.New("an id is key_ and letters and digits; `key list` shows them")
	}
	return nil
}

func (c *keyRevokeCmd) Run(ctx context.Context, t *terminal) error {
	var a api.RevokedKey
	err := c.withControl(ctx, func(s *control) error {
		return s.call(ctx, http.MethodDelete, "/v1/keys/"+c.ID, nil, &a)
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(t.out, a)
	}
	fmt.Fprintf(t.out, "%s is revoked since %s\n", c.ID, a.RecordedAt.Format(time.RFC3339))
	return nil
}

type keyListCmd struct {
	place
	JSON bool `name:"json" help:"Print one JSON object."`
}

func (c *keyListCmd) Run(ctx context.Context, t *terminal) error {
	var all api.Keys
	err := c.withControl(ctx, func(s *control) error {
		return s.call(ctx, http.MethodGet, "/v1/keys", nil, &all)
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(t.out, all)
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tROLE\tNAME\tFOR\tCERTIFICATE\tCREATED\tLAST USED\tREVOKED")
	for _, k := range all.Keys {
		revoked := "-"
		if k.RevokedAt != nil {
			revoked = k.RevokedAt.Format(time.RFC3339)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Role, k.Name,
			orDash(strings.Join(k.Policies, ",")), orDash(k.Certificate), k.CreatedAt.Format(time.RFC3339), orDash(k.LastUsed), revoked)
	}
	return w.Flush()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
