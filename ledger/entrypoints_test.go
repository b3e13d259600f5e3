package ledger

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What every way into a ledger must go through stands in the source of each of them, and is easily
// left out of the next. So it is read from the source: who asks is asked what they may do, a write can
// be sent again, and nothing of a member leaves before the look is recorded.

// An entryPoint is an exported method of a Ledger that is told who asks.
type entryPoint struct {
	look    bool            // it is told why
	writes  bool            // it answers what was written
	member  bool            // it answers with data of members
	reaches map[string]bool // all that it calls, and all that those call
}

// written are the types of what a write answers, and personal those that hold data of members.
var (
	written  = []string{"Written", "*Answer", "*Pending"}
	personal = []string{"consent.MemberView", "[]HistoryRow", "KeptData", "*consent.Export", "*receipt.Receipt", "[]DueRow", "func(BreachRow) error"}
)

// entryPoints reads them from source files.
func entryPoints(files []*ast.File) map[string]*entryPoint {
	calls := map[string]map[string]bool{}
	points := map[string]*entryPoint{}
	for _, f := range files {
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil || fn.Recv == nil || types.ExprString(fn.Recv.List[0].Type) != "*Ledger" {
				continue
			}
			// Calls of the ledger's own methods, and what the caller is asked: the rest has names of its own.
			called := map[string]bool{}
			ast.Inspect(fn.Body, func(n ast.Node) bool {
				if c, ok := n.(*ast.CallExpr); ok {
					if f, ok := c.Fun.(*ast.SelectorExpr); ok {
						if on, ok := f.X.(*ast.Ident); ok && (on.Name == "l" || on.Name == "who") {
							called[f.Sel.Name] = true
						}
					}
				}
				return true
			})
			calls[fn.Name.Name] = called
			if !fn.Name.IsExported() {
				continue
			}
			p, told := &entryPoint{}, false
			for _, param := range fn.Type.Params.List {
				t := types.ExprString(param.Type)
				told = told || t == "Caller"
				p.look = p.look || t == "Look"
				p.member = p.member || slices.Contains(personal, t)
			}
			if fn.Type.Results != nil {
				for _, result := range fn.Type.Results.List {
					t := types.ExprString(result.Type)
					p.writes = p.writes || slices.Contains(written, t)
					p.member = p.member || slices.Contains(personal, t)
				}
			}
			if told {
				points[fn.Name.Name] = p
			}
		}
	}
	for name, p := range points {
		p.reaches = map[string]bool{}
		for pending := []string{name}; len(pending) > 0; {
			next := pending[0]
			pending = pending[1:]
			for called := range calls[next] {
				if !p.reaches[called] {
					p.reaches[called] = true
					pending = append(pending, called)
				}
			}
		}
	}
	return points
}

// notSentAgain are writes without an idempotency key.
var notSentAgain = map[string]string{
	"ReleaseHold":   "a DELETE: when it is sent again there is no such hold",
	"RevokeAPIKey":  "a DELETE: a key that is revoked stays so",
	"EndOperator":   "a DELETE: who has ended has ended",
	"RemoveWitness": "a DELETE: when it is sent again there is no such witness",
}

// ofNobody are answers with entries that are no member's.
var ofNobody = map[string]string{
	"Notices":    "those of no member",
	"Anonymised": "disclosures that identify nobody",
}

// asksNothing may be asked by anybody.
var asksNothing = map[string]string{
	"Lives": "it says of the caller's own key whether it still is one",
}

// recordsWith are looks that something other than the ledger's own methods records.
var recordsWith = map[string]string{
	"Due": "a dueList records each member that it names, as it comes to them",
}

func amissIn(points map[string]*entryPoint) (out []string) {
	for _, name := range slices.Sorted(maps.Keys(points)) {
		p := points[name]
		if !p.reaches["May"] && !p.reaches["must"] && asksNothing[name] == "" {
			out = append(out, name+" does not ask what its caller may do")
		}
		if p.writes && !p.look && !p.reaches["once"] && notSentAgain[name] == "" {
			out = append(out, name+" writes, and cannot be sent again")
		}
		if p.member && !p.look && ofNobody[name] == "" {
			out = append(out, name+" shows data of members, and is not told why")
		}
		if p.look && !p.reaches["recordLook"] && recordsWith[name] == "" {
			out = append(out, name+" is told why, and records no look")
		}
	}
	return out
}

func TestEveryWayIntoALedgerAsksRecordsAndCanBeTakenTwice(t *testing.T) {
	set := token.NewFileSet()
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, name := range sources {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	points := entryPoints(files)
	looks, writes := 0, 0
	for name, p := range points {
		if p.look {
			looks++
		}
		if p.writes {
			writes++
		}
		for _, table := range []map[string]string{notSentAgain, ofNobody, asksNothing, recordsWith} {
			if why, listed := table[name]; listed && why == "" {
				t.Errorf("%s is excused without a reason", name)
			}
		}
	}
	if len(points) < 30 || looks < 6 || writes < 14 {
		t.Fatalf("only %d ways in, %d looks and %d writes were found: the test reads the source wrong", len(points), looks, writes)
	}
	for _, wrong := range amissIn(points) {
		t.Error(wrong)
	}
	for name := range notSentAgain {
		if points[name] == nil || !points[name].writes {
			t.Errorf("%s is excused, and is no write", name)
		}
	}
	// Controls: each rule finds the way in that breaks it.
	for rule, source := range map[string]string{
		"does not ask":    `func (l *Ledger) Peek(who Caller) (string, error) { return l.name(), nil }`,
		"be sent again":   `func (l *Ledger) Slip(who Caller) (Written, error) { if !who.May(0) { return Written{}, nil }; return l.put() }`,
		"is not told":     `func (l *Ledger) Show(who Caller) (v consent.MemberView, err error) { who.May(0); return }`,
		"records no look": `func (l *Ledger) Look(who Caller, lk Look) (v consent.MemberView, err error) { who.May(0); return }`,
	} {
		f, err := parser.ParseFile(set, "control.go", "package ledger\n"+source, 0)
		if err != nil {
			t.Fatal(err)
		}
		if wrong := amissIn(entryPoints([]*ast.File{f})); len(wrong) != 1 || !strings.Contains(wrong[0], rule) {
			t.Errorf("control %q: found %q", rule, wrong)
		}
	}
}
