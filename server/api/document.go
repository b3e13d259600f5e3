package api

import _ "embed"

// Document is the contract of the server as OpenAPI 3.1, as /openapi.yaml serves it. Nobody may change it.
//
//go:embed openapi.yaml
var Document []byte
