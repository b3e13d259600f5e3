package main

import (
	"context"
	"fmt"
	"net/http"
	"text/tabwriter"

	"consentledger/server/api"
)

type policyCmd struct {
	Add  policyAddCmd  `cmd:"" help:"Add a version of a policy."`
	List policyListCmd `cmd:"" help:"List every version of every policy."`
}

type policyAddCmd struct {
	place
	PolicyFile string `arg:"" name:"file" help:"The policy file; texts that it names are read beside it."`
	JSON       bool   `name:"json" help:"Print one JSON object."`
}

func (c *policyAddCmd) Run(ctx context.Context, t *terminal) error {
	src, err := readPolicy(c.PolicyFile)
	if err != nil {
		return refused(err)
	}
	var a api.PolicyAnswer
	err = c.withControl(ctx, func(s *control) error {
		return s.call(ctx, http.MethodPost, "/v1/policies", yaml(src), &a)
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(t.out, a)
	}
	fmt.Fprintf(t.out, "policy %s %s is recorded\n", a.Policy, a.Version)
	return nil
}

type policyListCmd struct {
	place
	JSON bool `name:"json" help:"Print one JSON object."`
}

func (c *policyListCmd) Run(ctx context.Context, t *terminal) error {
	var all api.Policies
	err := c.withControl(ctx, func(s *control) error {
		return s.call(ctx, http.MethodGet, "/v1/policies", nil, &all)
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(t.out, all)
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "POLICY\tVERSION\tANNOUNCED\tREASON")
	for _, p := range all.Policies {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", p.Policy, p.Version, dash(p.Announced), dash(p.Reason))
	}
	return w.Flush()
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
