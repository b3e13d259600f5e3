package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"consentledger/cmd/consentledger/datadir"
	"consentledger/ledger/consent"
)

type initCmd struct {
	place
	Origin string   `required:"" placeholder:"NAME" help:"The ledger's public name, a URL without its scheme, such as ledger.example/consent. It can never be changed."`
	Policy []string `required:"" sep:"," placeholder:"FILE" help:"A policy file; several for several policies of one controller."`
	JSON   bool     `name:"json" help:"Print one JSON object."`
}

func (c *initCmd) Run(t *terminal) error {
	policies, err := readPolicies(c.Policy)
	if err != nil {
		return refused(err)
	}
	made, err := datadir.Create(c.Dir, c.root(), datadir.Genesis{Origin: c.Origin, Policies: policies}, c.options(nil))
	if err != nil {
		return refused(err)
	}
	if c.JSON {
		return printJSON(t.out, struct {
			Origin    string `json:"origin"`
			PublicKey string `json:"public_key"`
			AdminKey  string `json:"admin_key"`
			Dir       string `json:"dir"`
			Root      string `json:"root"`
			Grade     string `json:"grade"`
		}{made.Origin, made.PublicKey, made.AdminKey, c.Dir, c.root(), made.Grade})
	}
	fmt.Fprintf(t.out, "a new ledger %s in %s\n", made.Origin, c.Dir)
	fmt.Fprintf(t.out, "root key    %s  (%s; in no backup of %s, and never lost)\n", c.root(), made.Grade, c.Dir)
	fmt.Fprintf(t.out, "public key  %s\n", made.PublicKey)
	fmt.Fprintf(t.out, "admin key   %s  (shown this once)\n", made.AdminKey)
	fmt.Fprintf(t.out, "next        consentledger serve --dir %s\n", c.Dir)
	return nil
}

// refused makes a rule's refusal the answer "no"; every other error stays one.
func refused(err error) error {
	var r *consent.Refusal
	if errors.As(err, &r) {
		return no{err}
	}
	return err
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
