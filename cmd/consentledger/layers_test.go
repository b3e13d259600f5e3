package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestTheHouseStandsAsItsPlanSays reads the imports of every package. The plan is
// cmd → server → ledger → {consent, chain, store, keyring → {seal, rootkey}}, and nothing points back.
func TestTheHouseStandsAsItsPlanSays(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}|{{join .Imports ","}}|{{join .Deps ","}}`, "consentledger/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	imports, deps := map[string][]string{}, map[string][]string{}
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSpace(line), "|")
		pkg := strings.TrimPrefix(f[0], "consentledger/")
		imports[pkg] = strings.Split(f[1], ",")
		deps[pkg] = strings.Split(f[2], ",")
	}
	if len(deps) < 12 || !slices.Contains(deps["ledger"], "consentledger/ledger/chain") {
		t.Fatalf("only %d packages were listed, or their imports were not: the test sees nothing", len(deps))
	}
	// ours is what a package needs of this module, itself aside.
	ours := func(pkg string) (out []string) {
		for _, d := range deps[pkg] {
			if d, ok := strings.CutPrefix(d, "consentledger/"); ok {
				out = append(out, d)
			}
		}
		return out
	}
	only := func(pkg string, allowed ...string) {
		t.Helper()
		if _, ok := deps[pkg]; !ok {
			t.Errorf("there is no package %s", pkg)
		}
		for _, d := range ours(pkg) {
			if !slices.Contains(allowed, d) {
				t.Errorf("%s must not need %s", pkg, d)
			}
		}
	}
	only("crypto/digest")
	only("crypto/seal", "crypto/digest")
	only("crypto/rootkey", "crypto/digest", "crypto/seal")
	only("crypto/keyring", "crypto/digest", "crypto/seal")
	// digest picks an implementation of SHA-256 and knows no key: verifying needs no secret.
	only("ledger/chain", "crypto/digest")
	only("ledger/remote", "crypto/digest", "ledger/chain")
	only("ledger/consent")
	only("ledger/receipt", "crypto/digest", "crypto/seal", "ledger/chain", "ledger/consent")
	only("ledger/store")
	only("ledger/store/bolt", "ledger/store")
	only("ledger/tagindex")
	only("server/witness", "crypto/digest", "ledger/chain", "ledger/store")
	only("ledger", "crypto/digest", "crypto/keyring", "crypto/rootkey", "crypto/seal", "ledger/chain", "ledger/consent", "ledger/receipt", "ledger/store", "ledger/tagindex")

	for pkg, list := range imports {
		for _, d := range list {
			switch {
			case d == "consentledger/ledger/store/bolt" && !strings.HasPrefix(pkg, "cmd/") && !strings.HasPrefix(pkg, "bench"):
				t.Errorf("%s chooses bbolt, and only cmd may", pkg)
			case pkg == "server" && (strings.HasPrefix(d, "consentledger/crypto/") || strings.HasPrefix(d, "consentledger/ledger/store")):
				t.Errorf("server imports %s", d)
			}
		}
	}
	for _, d := range imports["ledger/consent"] {
		switch d {
		case "os", "net", "net/http", "syscall", "crypto/rand", "math/rand", "math/rand/v2", "log", "os/exec", "path/filepath":
			t.Errorf("consent imports %s: it is to be a pure function of what it is given", d)
		}
	}
}
