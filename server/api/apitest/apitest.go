// Package apitest holds what goes over the wire against the contract, server/api/openapi.yaml. It is for tests only.
package apitest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
)

func init() {
	openapi3filter.RegisterBodyDecoder("application/yaml", openapi3filter.FileBodyDecoder)
	openapi3filter.RegisterBodyDecoder("application/ld+json", openapi3filter.RegisteredBodyDecoder("application/json"))
	openapi3filter.RegisterBodyDecoder("text/html", openapi3filter.RegisteredBodyDecoder("text/plain"))
}

// A Contract is the document, with a way from requests to what it says of them. It is safe for concurrent use.
type Contract struct {
	Doc    *openapi3.T
	router routers.Router
}

// Load reads a document, and adds that answers hold no more than it says.
func Load(document []byte) (*Contract, error) {
	doc, err := openapi3.NewLoader().LoadFromData(document)
	if err != nil {
		return nil, err
	}
	if err := doc.Validate(context.Background()); err != nil {
		return nil, err
	}
	doc.Servers = nil // tests listen on ports of their own
	// An answer may hold only what the document names. Clients are not told so: more may come.
	for _, s := range doc.Components.Schemas {
		if s.Value.Type.Is("object") && s.Value.AdditionalProperties.Has == nil && s.Value.AdditionalProperties.Schema == nil {
			no := false
			s.Value.AdditionalProperties.Has = &no
		}
	}
	router, err := legacy.NewRouter(doc)
	if err != nil {
		return nil, err
	}
	return &Contract{doc, router}, nil
}

// Check holds an exchange against the document: the answer always, the request if it was taken.
// The request's body is read again.
func (c *Contract) Check(r *http.Request, status int, header http.Header, body []byte) error {
	options := &openapi3filter.Options{
		AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true, MultiError: true,
	}
	if strings.HasPrefix(r.URL.Path, "/control/") {
		return nil // of the control socket, and not of the contract
	}
	if rest, ok := strings.CutPrefix(r.URL.Path, "/tile/"); ok {
		// The one path with slashes in its parameter, which OpenAPI has no word for.
		r = r.Clone(r.Context())
		r.URL.Path, r.URL.RawPath = "/tile/"+strings.ReplaceAll(rest, "/", "_"), ""
	}
	route, params, err := c.router.FindRoute(r)
	if err != nil {
		if status != http.StatusNotFound && status != http.StatusMethodNotAllowed && r.Method != http.MethodOptions {
			return fmt.Errorf("the document has no such route: %w", err)
		}
		if r.Method == http.MethodOptions {
			return nil
		}
		// Still a problem document; any route's will do.
		route = &routers.Route{Spec: c.Doc, PathItem: c.Doc.Paths.Value("/livez"), Method: "GET", Operation: c.Doc.Paths.Value("/livez").Get}
	}
	in := &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route, Options: options}
	if status < 300 && err == nil {
		if err := openapi3filter.ValidateRequest(r.Context(), in); err != nil {
			return fmt.Errorf("the request was taken: %w", err)
		}
	}
	return openapi3filter.ValidateResponse(r.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: status, Header: header, Body: io.NopCloser(bytes.NewReader(body)), Options: options,
	})
}
