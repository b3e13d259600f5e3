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

	"consentledger/server/api"
)

type operatorCmd struct {
	Add      operatorAddCmd      `cmd:"" help:"Add a person; the name is read from stdin."`
	List     operatorListCmd     `cmd:"" help:"List the people, and who handed over to whom."`
	Handover operatorHandoverCmd `cmd:"" help:"Record that the responsibility for customer information passed on."`
	Invite   operatorInviteCmd   `cmd:"" help:"Make an invitation to sign in; it is shown this once, and ends what the person signed in with before."`
	End      operatorEndCmd      `cmd:"" help:"End a person's right to anything, at once and for good."`
}

// operatorID is an operator's id as an argument.
type operatorID string

// Validate is called by kong.
func (id operatorID) Validate() error {
	rest, ok := strings.CutPrefix(string(id), "opr_")
	if !ok || len(rest) != 26 || strings.Trim(rest, "abcdefghijklmnopqrstuvwxyz234567") != "" {
		return errors.New("an id is opr_ and 26 letters and digits; `operator list` shows them")
	}
	return nil
}

type operatorAddCmd struct {
	place
	Role        string `required:"" enum:"dpo,reader,admin,auditor" placeholder:"R" help:"${enum}."`
	Name        string `required:"" enum:"-" placeholder:"-" help:"- to read the person's name from stdin, one line."`
	Responsible bool   `help:"The person is responsible for customer information."`
	JSON        bool   `name:"json" help:"Print one JSON object."`
}

func (c *operatorAddCmd) Run(ctx context.Context, t *terminal) error {
	name, err := stdinLine("the person's name")
	if err != nil {
		return err
	}
	var a api.CreatedOperator
	err = c.withControl(ctx, func(s *control) error {
		return s.call(ctx, http.MethodPost, "/v1/operators", api.NewOperator{Name: name, Role: c.Role, Responsible: c.Responsible}, &a)
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(t.out, a)
	}
	fmt.Fprintf(t.out, "id           %s\nrole         %s\nresponsible  %t\n", a.ID, a.Role, a.Responsible)
	return nil
}

// stdinLine reads one line from stdin: what must not stand in a command line.
func stdinLine(what string) (string, error) {
	b, err := io.ReadAll(io.LimitReader(os.Stdin, 4<<10))
	if err != nil {
		return "", fmt.Errorf("read %s from stdin: %w", what, err)
	}
	line := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	if line == "" || strings.ContainsAny(line, "\r\n") {
		return "", fmt.Errorf("write %s to stdin, one line and nothing else", what)
	}
	return line, nil
}

type operatorListCmd struct {
	place
	JSON bool `name:"json" help:"Print one JSON object."`
}

func (c *operatorListCmd) Run(ctx context.Context, t *terminal) error {
	var all api.Operators
	err := c.withControl(ctx, func(s *control) error {
		return s.call(ctx, http.MethodGet, "/v1/operators", nil, &all)
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(t.out, all)
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tROLE\tRESPONSIBLE\tADDED\tENDED\tNAME")
	for _, o := range all.Operators {
		ended, responsible, name := "-", "-", o.Name
		if o.EndedAt != nil {
			ended = o.EndedAt.Format(time.RFC3339)
		}
		if o.Responsible {
			responsible = "yes"
		}
		if name == "" {
			name = "(destroyed)"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", o.ID, o.Role, responsible, o.AddedAt.Format(time.RFC3339), ended, name)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, h := range all.Handovers {
		fmt.Fprintf(t.out, "%s handed over to %s at %s, recorded %s\n", h.From, h.To, h.At.Format(time.RFC3339), h.RecordedAt.Format(time.RFC3339))
	}
	return nil
}

type operatorHandoverCmd struct {
	place
	ID   operatorID `arg:"" help:"Who hands over, opr_…."`
	To   operatorID `required:"" placeholder:"opr_…" help:"Who takes over."`
	At   string     `required:"" placeholder:"T" help:"When, such as 2026-03-01T09:00:00+09:00."`
	JSON bool       `name:"json" help:"Print one JSON object."`
}

func (c *operatorHandoverCmd) Run(ctx context.Context, t *terminal) error {
	var a api.Recorded
	err := c.withControl(ctx, func(s *control) error {
		return s.call(ctx, http.MethodPost, "/v1/operators/"+string(c.ID)+"/handover", api.HandoverOf{To: string(c.To), At: c.At}, &a)
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(t.out, a)
	}
	fmt.Fprintf(t.out, "%s is responsible, recorded %s\n", c.To, a.RecordedAt.Format(time.RFC3339))
	return nil
}

type operatorEndCmd struct {
	place
	ID   operatorID `arg:"" help:"The person's id, opr_…."`
	JSON bool       `name:"json" help:"Print one JSON object."`
}

func (c *operatorEndCmd) Run(ctx context.Context, t *terminal) error {
	var a api.Recorded
	err := c.withControl(ctx, func(s *control) error {
		return s.call(ctx, http.MethodDelete, "/v1/operators/"+string(c.ID), nil, &a)
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(t.out, a)
	}
	fmt.Fprintf(t.out, "%s has ended since %s\n", c.ID, a.RecordedAt.Format(time.RFC3339))
	return nil
}

type operatorInviteCmd struct {
	place
	ID   operatorID `arg:"" help:"The person's id, opr_…."`
	JSON bool       `name:"json" help:"Print one JSON object."`
}

func (c *operatorInviteCmd) Run(ctx context.Context, t *terminal) error {
	var a api.Invitation
	err := c.withControl(ctx, func(s *control) error {
		return s.call(ctx, http.MethodPost, "/v1/operators/"+string(c.ID)+"/invitations", nil, &a)
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(t.out, a)
	}
	fmt.Fprintf(t.out, "operator    %s\ninvitation  %s  (shown this once)\nuntil       %s\n", a.Operator, a.Invitation, a.ExpiresAt.Format(time.RFC3339))
	return nil
}
