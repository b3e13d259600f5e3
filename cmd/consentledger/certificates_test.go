package main

import (
	"encoding/json"
	"os"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdCertificate saves the certificate that the last answer has in it:
//
//	certificate FILE
//	! certificate FILE      there is none
func cmdCertificate(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: [!] certificate FILE")
	}
	var a struct {
		Certificate string `json:"certificate"`
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &a))
	switch {
	case neg && a.Certificate != "":
		ts.Fatalf("the answer has a certificate")
	case !neg && a.Certificate == "":
		ts.Fatalf("the answer has no certificate")
	case !neg:
		ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(a.Certificate), 0o600))
	}
}
