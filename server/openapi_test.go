package server

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"consentledger/ledger"
	"consentledger/server/api"
	"consentledger/server/api/apitest"
)

var theContract = sync.OnceValues(func() (*apitest.Contract, error) { return apitest.Load(api.Document) })

// breaches are what requests and answers of the package's tests had that the document does not.
var (
	breaches    violations
	heldAgainst atomic.Int64
)

type violations struct {
	mu  sync.Mutex
	all map[string]int
}

func (v *violations) add(what string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.all == nil {
		v.all = make(map[string]int)
	}
	v.all[what]++
}

func init() {
	observe = func(h http.Handler) http.Handler { return observer{h, theContract, &breaches} }
}

// observer holds every request that was answered with success, and every answer, against the contract.
type observer struct {
	h        http.Handler
	contract func() (*apitest.Contract, error)
	found    *violations
}

func (o observer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if testing.Short() || benchmarking() || r.Method == http.MethodHead {
		o.h.ServeHTTP(w, r) // it has no body; and the race detector has enough to do
		return
	}
	if r.URL.Path == "/v1/batch" || r.URL.Path == "/v1/breaches/query" {
		o.serveLines(w, r)
		return
	}
	rec := &recorder{ResponseWriter: w, status: http.StatusOK}
	var body bytes.Buffer
	if r.Body != nil {
		r.Body = readCloser{io.TeeReader(r.Body, &body), r.Body}
	}
	asked := r.Clone(context.WithoutCancel(r.Context()))
	defer func() {
		if v := recover(); v != nil {
			panic(v) // a cut answer is no answer
		}
		c, err := o.contract()
		if err != nil {
			o.found.add(err.Error())
			return
		}
		heldAgainst.Add(1)
		asked.Body = io.NopCloser(bytes.NewReader(body.Bytes()))
		if err := c.Check(asked, rec.status, rec.Header(), rec.body.Bytes()); err != nil {
			o.found.add(fmt.Sprintf("%s %s, %d: %s", asked.Method, asked.URL.Path, rec.status, firstLines(err.Error())))
		}
	}()
	o.h.ServeHTTP(rec, r)
}

// benchmarking says whether times are measured: to hold a consent against the document takes many times as
// long as to answer it.
func benchmarking() bool { return flag.Lookup("test.bench").Value.String() != "" }

func firstLines(s string) string {
	lines := strings.SplitN(s, "\n", 13)
	return strings.Join(lines[:min(len(lines), 12)], "\n\t\t")
}

type readCloser struct {
	io.Reader
	io.Closer
}

type recorder struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	r.body.Write(b)
	return r.ResponseWriter.Write(b)
}

func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		for what, n := range breaches.all {
			fmt.Printf("%d times against server/api/openapi.yaml: %s\n", n, what)
			code = 1
		}
		if !searchLeaks() {
			code = 1
		}
		os.Exit(code)
	}))
}

func TestTheDocumentIsTheRoutes(t *testing.T) {
	c, err := theContract()
	if err != nil {
		t.Fatal(err)
	}
	routes := map[string]route{}
	for _, rt := range (&Server{}).routes() {
		path := rt.label
		for _, p := range []string{"ref", "id", "index"} {
			path = strings.ReplaceAll(path, ":"+p, "{"+p+"}")
		}
		path = strings.ReplaceAll(path, "*path", "{path}")
		routes[rt.method+" "+path] = rt
	}
	ids := map[string]bool{}
	for path, item := range c.Doc.Paths.Map() {
		for method, op := range item.Operations() {
			name := method + " " + path
			rt, ok := routes[name]
			if !ok {
				t.Errorf("%s is documented, and there is no such route", name)
				continue
			}
			delete(routes, name)
			if op.OperationID == "" || ids[op.OperationID] || op.Summary == "" {
				t.Errorf("%s: it needs a summary and an operationId of its own", name)
			}
			ids[op.OperationID] = true
			var roles []string
			for _, r := range []ledger.Role{ledger.RoleWriter, ledger.RoleReader, ledger.RoleDPO, ledger.RoleAuditor, ledger.RoleAdmin} {
				if (!rt.public || rt.ofLog) && (ledger.Caller{Role: r}).May(rt.action) {
					roles = append(roles, string(r))
				}
			}
			var documented []string
			list, _ := op.Extensions["x-roles"].([]any)
			for _, r := range list {
				documented = append(documented, fmt.Sprint(r))
			}
			if !slices.Equal(roles, documented) {
				t.Errorf("%s: x-roles is %v, and the roles are %v", name, documented, roles)
			}
			if public := op.Security != nil && len(*op.Security) == 0; public != (rt.public && !rt.ofLog) {
				t.Errorf("%s: public is %v, and documented %v", name, rt.public, public)
			}
			if either := op.Security != nil && len(*op.Security) == 3 && len((*op.Security)[0]) == 0; either != rt.ofLog {
				t.Errorf("%s: public unless the log is private is %v, and documented %v", name, rt.ofLog, either)
			}
			want := map[string]bool{
				"Access-Reason": rt.look, "Access-Ground": rt.ground || rt.maybeGround, "Idempotency-Key": rt.writes && rt.method == "POST" && !rt.stream,
				"ref": strings.Contains(path, "{ref}"), "id": strings.Contains(path, "{id}"), "index": strings.Contains(path, "{index}"), "path": strings.Contains(path, "{path}"),
			}
			for _, q := range rt.query {
				want[q] = true
			}
			for _, p := range op.Parameters {
				if !want[p.Value.Name] {
					t.Errorf("%s: it has no parameter %s", name, p.Value.Name)
				}
				delete(want, p.Value.Name)
			}
			for p, needed := range want {
				if needed {
					t.Errorf("%s: the parameter %s is not documented", name, p)
				}
			}
			if (op.RequestBody != nil) != (rt.media != "") || rt.media != "" && op.RequestBody.Value.Content.Get(rt.media) == nil {
				t.Errorf("%s: its body is %q", name, rt.media)
			}
			for _, form := range rt.offers {
				media, _, _ := strings.Cut(form[0], ";")
				if op.Responses.Status(200).Value.Content.Get(media) == nil {
					t.Errorf("%s: it also answers with %s", name, media)
				}
			}
		}
	}
	for name := range routes {
		t.Errorf("%s is not documented", name)
	}
}

// The request bodies are those that the server reads: same fields, the same of them needed.
func TestTheDocumentIsTheTypes(t *testing.T) {
	c, err := theContract()
	if err != nil {
		t.Fatal(err)
	}
	for path, item := range c.Doc.Paths.Map() {
		op := item.Post
		if op == nil || op.RequestBody == nil || op.RequestBody.Value.Content.Get(mediaJSON) == nil {
			continue
		}
		ref := op.RequestBody.Value.Content.Get(mediaJSON).Schema
		name := strings.TrimPrefix(ref.Ref, "#/components/schemas/")
		typ, ok := bodyTypes[name]
		if !ok {
			t.Errorf("%s: the body %s is not among bodyTypes", path, name)
			continue
		}
		var has, needs []string
		for i := range typ.NumField() {
			field, options, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			has = append(has, field)
			if options != "omitempty" {
				needs = append(needs, field)
			}
		}
		var says []string
		for field := range ref.Value.Properties {
			says = append(says, field)
		}
		slices.Sort(has)
		slices.Sort(says)
		if !slices.Equal(has, says) {
			t.Errorf("%s has the fields %v, and documented are %v", name, has, says)
		}
		required := slices.Sorted(slices.Values(ref.Value.Required))
		if slices.Sort(needs); !slices.Equal(needs, required) {
			t.Errorf("%s needs the fields %v, and the document says %v", name, needs, required)
		}
		if ref.Value.AdditionalProperties.Has == nil || *ref.Value.AdditionalProperties.Has {
			t.Errorf("%s takes no other fields, and the document does not say so", name)
		}
	}
}

var bodyTypes = func() map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for _, v := range []any{
		api.Consent{},
		api.Withdrawal{},
		api.Correction{},
		api.CorrectionOutcome{},
		api.Disclosure{},
		api.EventEnd{},
		api.Activity{},
		api.Reactivation{},
		api.Signal{},
		api.Question{},
		api.Lookup{},
		api.Hold{},
		api.Notice{},
		api.Request{},
		api.RequestOutcome{},
		api.BreachQuery{},
		api.RecipientChange{},
		api.NewKey{},
		api.NewWitness{},
		api.NewOperator{},
		api.HandoverOf{},
		api.NewEnrolment{},
		api.Confirmation{},
		api.SignIn{},
	} {
		out[reflect.TypeOf(v).Name()] = reflect.TypeOf(v)
	}
	return out
}()

func TestTheDocumentIsServed(t *testing.T) {
	h := newDouble(t, &double{}).Handler()
	w := do(h, httptest.NewRequest("GET", "/openapi.yaml", nil))
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/yaml" || !bytes.Equal(w.Body.Bytes(), api.Document) {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if heldAgainst.Load() == 0 && !testing.Short() {
		t.Error("nothing was held against the document")
	}
}

// A document that is wrong is found by what the server does.
func TestADocumentThatIsWrongIsFound(t *testing.T) {
	for name, change := range map[string][2]string{
		"a field that is not answered":    {"    LookupAnswer:\n", "    LookupAnswer:\n      minProperties: 9\n"},
		"a state that is none of its own": {"        - active\n", "        - awake\n"},
		"a field that is not needed":      {"    Lookup:\n", "    Lookup:\n      minProperties: 2\n"},
		"a path that is another":          {"  /v1/lookups:\n", "  /v1/look-ups:\n"},
		"a problem without its code":      {"    Problem:\n      description: Problem", "    Problem:\n      maxProperties: 2\n      description: Problem"},
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() {
				t.Skip("nothing is held against the document in a short run")
			}
			changed := strings.Replace(string(api.Document), change[0], change[1], 1)
			if changed == string(api.Document) {
				t.Fatalf("%q is not in the document", change[0])
			}
			c, err := apitest.Load([]byte(changed))
			if err != nil {
				t.Fatal(err)
			}
			found := &violations{}
			o := observer{newServer(&double{}, Options{}).router((&Server{}).routes(), false), func() (*apitest.Contract, error) { return c, nil }, found}
			s := newDouble(t, &double{})
			o.h = s.router(s.routes(), false)
			for _, key := range []string{"writer", "nobody"} {
				r := httptest.NewRequest("POST", "/v1/lookups", strings.NewReader(bodies["/v1/lookups"]))
				r.Header.Set("Content-Type", mediaJSON)
				r.Header.Set("Authorization", "Bearer "+key)
				do(o, r)
			}
			if len(found.all) == 0 {
				t.Error("it is not found")
			}
		})
	}
}
