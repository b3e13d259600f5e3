package consent

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A made is a refusal that the source makes: what its code and message are.
type made struct {
	file    string
	line    int
	code    string // empty: not a literal
	message string // empty: not a literal
	format  bool   // the message is a format
}

func (m made) at() string { return fmt.Sprintf("%s:%d", m.file, m.line) }

// A maker is a function whose calls make refusals: where its code and message
// stand among the arguments. before is put before the message.
type maker struct {
	code, message int
	format        bool
	constant      string // code of all its refusals
	before        string
	args          int // it has at least so many arguments
}

var makers = map[string]maker{
	"refuse":   {code: 1, message: 3, args: 4},
	"invalid":  {code: 0, message: 2, args: 3},
	"forbid":   {code: 0, message: 2, args: 3},
	"invalidf": {code: 0, message: 2, format: true, args: 3},
	"fail":     {code: 0, message: 2, args: 3},
	"failAt":   {code: 1, message: 3, args: 4},
	"failf":    {code: 0, message: 2, format: true, args: 3},
	"failAtf":  {code: 1, message: 3, format: true, args: 4},
	"missing":  {constant: "missing_field", message: 1, before: "missing; add ", args: 2},
}

// refusalsInSource reads from the source, tests left out, every refusal that
// this package and the ledger make.
func refusalsInSource(t *testing.T) []made {
	t.Helper()
	var all []made
	for _, dir := range []string{".", ".."} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no source in %s: %v", dir, err)
		}
		set := token.NewFileSet()
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(set, name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, refusalsIn(set, f, filepath.ToSlash(name))...)
		}
	}
	return all
}

func refusalsIn(set *token.FileSet, f *ast.File, name string) []made {
	var all []made
	for _, decl := range f.Decls {
		fn, isFunc := decl.(*ast.FuncDecl)
		if isFunc {
			if _, own := makers[fn.Name.Name]; own || fn.Name.Name == "require" {
				continue // what it passes on is its caller's
			}
		}
		ast.Inspect(decl, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				m, ok := makers[calleeOf(n)]
				if !ok || len(n.Args) < m.args {
					if calleeOf(n) == "require" {
						all = append(all, required(set, n, name)...)
					}
					return true
				}
				one := made{file: name, line: set.Position(n.Pos()).Line, code: m.constant, format: m.format}
				if m.constant == "" {
					one.code = literal(n.Args[m.code])
				}
				if s := literal(n.Args[m.message]); s != "" {
					one.message = m.before + s
				}
				all = append(all, one)
			case *ast.CompositeLit:
				one := made{file: name, line: set.Position(n.Pos()).Line}
				for _, e := range n.Elts {
					if kv, ok := e.(*ast.KeyValueExpr); ok {
						if key, ok := kv.Key.(*ast.Ident); ok && key.Name == "Code" {
							one.code = literal(kv.Value)
						} else if ok && key.Name == "Message" {
							one.message = literal(kv.Value)
						}
					}
				}
				if typeName(n.Type) == "Refusal" {
					all = append(all, one)
				}
			}
			return true
		})
	}
	return all
}

// required reads the pairs of require: a key and what to add.
func required(set *token.FileSet, n *ast.CallExpr, name string) []made {
	var all []made
	for i := 3; i < len(n.Args); i += 2 {
		one := made{file: name, line: set.Position(n.Args[i].Pos()).Line, code: "missing_field"}
		if s := literal(n.Args[i]); s != "" {
			one.message = "missing; add " + s
		}
		all = append(all, one)
	}
	return all
}

func calleeOf(n *ast.CallExpr) string { return typeName(n.Fun) }

func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

// literal returns the text of a literal or of literals joined by +, or "".
func literal(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind == token.STRING {
			s, _ := strconv.Unquote(e.Value)
			return s
		}
	case *ast.BinaryExpr:
		if a, b := literal(e.X), literal(e.Y); e.Op == token.ADD && a != "" && b != "" {
			return a + b
		}
	}
	return ""
}

// codesInSource returns every code that a rule refuses with.
func codesInSource(t *testing.T) []string {
	t.Helper()
	seen := map[string]bool{}
	for _, m := range refusalsInSource(t) {
		if m.code != "" {
			seen[m.code] = true
		}
	}
	codes := slices.Sorted(maps.Keys(seen))
	for _, control := range []string{"no_effective_consent", "under_age", "duplicate_field", "missing_field", "purpose_not_stated", "nothing_to_withdraw", "invalid_name", "notice_too_short"} {
		if !seen[control] {
			t.Fatalf("the search does not find %s, so it proves nothing", control)
		}
	}
	return codes
}
