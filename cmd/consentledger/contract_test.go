package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"consentledger/server/api"
	"consentledger/server/api/apitest"
)

var theContract = sync.OnceValues(func() (*apitest.Contract, error) { return apitest.Load(api.Document) })

// asTheContractSays holds a call that the binary answered against server/api/openapi.yaml: the answer always, and
// the request if it was taken.
func asTheContractSays(req *http.Request, body []byte, resp *http.Response, answer []byte) error {
	c, err := theContract()
	if err != nil || req.Method == http.MethodHead {
		return err
	}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/x-ndjson") {
		lines := bytes.Split(answer, []byte("\n"))
		if whole := len(lines) - 1; len(lines[whole]) == 0 {
			lines = lines[:whole]
		}
		for _, err := range c.CheckLines(req.URL.Path, resp.StatusCode, bytes.Split(body, []byte("\n")), lines) {
			return fmt.Errorf("%s %s, %d, is not as the contract says: %w", req.Method, req.URL.Path, resp.StatusCode, err)
		}
		return nil
	}
	again := req.Clone(req.Context())
	again.Body = io.NopCloser(bytes.NewReader(body))
	if err := c.Check(again, resp.StatusCode, resp.Header, answer); err != nil {
		return fmt.Errorf("%s %s, %d, is not as the contract says: %w", req.Method, req.URL.Path, resp.StatusCode, err)
	}
	return nil
}

func TestACallThatIsNotAsTheContractSaysIsFound(t *testing.T) {
	const problem = `{"type":"t","title":"t","status":404,"code":"unknown_member","detail":"d","request_id":"r"}`
	for name, c := range map[string]struct {
		path, body  string
		status      int
		media, says string
		right       bool
	}{
		"an answer":                  {"/v1/lookups", `{"member_id":"m"}`, 200, "application/json", `{"member":"mbr_a","state":"active"}`, true},
		"a state that is none":       {"/v1/lookups", `{"member_id":"m"}`, 200, "application/json", `{"member":"mbr_a","state":"asleep"}`, false},
		"more than is documented":    {"/v1/lookups", `{"member_id":"m"}`, 200, "application/json", `{"member":"mbr_a","state":"active","more":1}`, false},
		"a request that lacks it":    {"/v1/lookups", `{}`, 200, "application/json", `{"member":"mbr_a","state":"active"}`, false},
		"a refused one that does":    {"/v1/lookups", `{}`, 404, "application/problem+json", problem, true},
		"a refusal without a code":   {"/v1/lookups", `{}`, 404, "application/problem+json", strings.Replace(problem, `"code":"unknown_member",`, ``, 1), false},
		"a path that is none":        {"/v1/lookup", `{}`, 200, "application/json", `{}`, false},
		"no line of a breach":        {"/v1/breaches/query", `{}`, 200, "application/x-ndjson", `{"member":"mbr_a"}` + "\n", false},
		"an answer of nobody":        {"/v1/breaches/query", `{}`, 200, "application/x-ndjson", "", true},
		"half a line of a breach":    {"/v1/breaches/query", `{}`, 200, "application/x-ndjson", `{"member":`, false},
		"a line of a breach":         {"/v1/breaches/query", `{}`, 200, "application/x-ndjson", `{"member":"mbr_a","items":[],"entries":[]}` + "\n", true},
		"a status of another answer": {"/v1/lookups", `{"member_id":"m"}`, 201, "application/json", `{"member":"mbr_a","state":"active"}`, false},
	} {
		req, err := http.NewRequestWithContext(t.Context(), "POST", "http://127.0.0.1:8787"+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		resp := &http.Response{StatusCode: c.status, Header: http.Header{"Content-Type": {c.media}}}
		if err := asTheContractSays(req, []byte(c.body), resp, []byte(c.says)); (err == nil) != c.right {
			t.Errorf("%s: %v", name, err)
		}
	}
}
