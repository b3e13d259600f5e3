package server

import (
	"net/http"

	"consentledger/server/api"
)

var yamlType = []string{"application/yaml"}

// getDocument serves the contract as OpenAPI.
func getDocument(x *exchange) *problem {
	x.w.Header()["Cache-Control"] = []string{"public, max-age=300"}
	return x.send(http.StatusOK, yamlType, api.Document)
}
