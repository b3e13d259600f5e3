package server

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// ruleCodes reads from the source which codes refusals have, and with which
// statuses: the first string among the arguments of what makes a refusal.
func ruleCodes(t *testing.T) map[string][]string {
	t.Helper()
	statuses := map[string]string{"Invalid": "422", "Forbidden": "403", "Conflict": "409", "NotFound": "404"}
	makers := map[string]string{"refuse": "", "invalid": "422", "invalidf": "422", "forbid": "403", "fail": "422", "failAt": "422", "failf": "422", "failAtf": "422"}
	out := map[string][]string{}
	add := func(lit ast.Expr, status string) bool {
		b, ok := lit.(*ast.BasicLit)
		if !ok || b.Kind != token.STRING {
			return false
		}
		code, err := strconv.Unquote(b.Value)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(out[code], status) {
			out[code] = append(out[code], status)
		}
		return true
	}
	for _, dir := range []string{"../ledger/consent", "../ledger"} {
		for name, text := range sources(t, dir) {
			f, err := parser.ParseFile(token.NewFileSet(), name, text, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(f, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.CallExpr:
					callee := ""
					switch f := n.Fun.(type) {
					case *ast.Ident:
						callee = f.Name
					case *ast.SelectorExpr:
						callee = f.Sel.Name
					}
					status, makes := makers[callee]
					if !makes || len(n.Args) < 3 {
						return true
					}
					if callee == "refuse" {
						kind, ok := n.Args[0].(*ast.Ident)
						if !ok || statuses[kind.Name] == "" {
							return true
						}
						status = statuses[kind.Name]
					}
					for _, a := range n.Args {
						if add(a, status) {
							break
						}
					}
				case *ast.CompositeLit:
					var code ast.Expr
					status := ""
					for _, e := range n.Elts {
						kv, ok := e.(*ast.KeyValueExpr)
						if !ok {
							continue
						}
						key, _ := kv.Key.(*ast.Ident)
						if key == nil {
							continue
						}
						switch key.Name {
						case "Code":
							code = kv.Value
						case "Kind":
							switch k := kv.Value.(type) {
							case *ast.Ident:
								status = statuses[k.Name]
							case *ast.SelectorExpr:
								status = statuses[k.Sel.Name]
							}
						}
					}
					if code != nil && status != "" {
						add(code, status)
					}
				}
				return true
			})
		}
	}
	return out
}

func TestErrorsMDListsEveryCodeOfTheRulesAndNoOther(t *testing.T) {
	b, err := os.ReadFile("ERRORS.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rules, found := strings.Cut(string(b), "\n## Refusals by the rules\n")
	if !found {
		t.Fatal("ERRORS.md has no part on the rules")
	}
	listed := map[string][]string{}
	for _, row := range codeRow.FindAllStringSubmatch(rules, -1) {
		listed[row[1]] = append(listed[row[1]], row[2])
	}
	have := ruleCodes(t)
	if len(have) < 30 || !slices.Contains(have["no_effective_consent"], "403") {
		t.Fatalf("only %d codes were found in the source", len(have))
	}
	for _, code := range slices.Sorted(maps.Keys(have)) {
		slices.Sort(have[code])
		slices.Sort(listed[code])
		if !slices.Equal(have[code], listed[code]) {
			t.Errorf("%s has status %v in the source, and %v in ERRORS.md", code, have[code], listed[code])
		}
		delete(listed, code)
	}
	for code := range listed {
		t.Errorf("%s is listed, and no rule refuses with it", code)
	}
}
