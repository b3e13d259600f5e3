package server

import (
	"net/http"

	"github.com/julienschmidt/httprouter"

	"consentledger/ledger"
)

const (
	mediaJSON   = "application/json"
	mediaNDJSON = "application/x-ndjson"
	mediaYAML   = "application/yaml"
)

// routes are all the calls there are. server/API.md shows each by example.
func (s *Server) routes() []route {
	routes := []route{
		{method: "POST", label: "/v1/consents", action: ledger.ActWrite, writes: true, media: mediaJSON, handle: postConsent},
		{method: "POST", label: "/v1/withdrawals", action: ledger.ActWrite, writes: true, despiteLowDisk: true, media: mediaJSON, handle: postWithdrawal},
		{method: "POST", label: "/v1/corrections", action: ledger.ActWrite, writes: true, media: mediaJSON, handle: postCorrection},
		{method: "POST", label: "/v1/corrections/:id/outcome", action: ledger.ActWrite, writes: true, media: mediaJSON, handle: postOutcome},
		{method: "POST", label: "/v1/disclosures", action: ledger.ActWrite, writes: true, media: mediaJSON, handle: postDisclosure},
		{method: "POST", label: "/v1/events", action: ledger.ActWrite, writes: true, media: mediaJSON, handle: postEvent},
		{method: "POST", label: "/v1/activity", action: ledger.ActWrite, writes: true, media: mediaJSON, handle: postActivity},
		{method: "POST", label: "/v1/reactivations", action: ledger.ActWrite, writes: true, media: mediaJSON, handle: postReactivation},
		{method: "POST", label: "/v1/signals", action: ledger.ActWrite, writes: true, media: mediaJSON, handle: postSignal},
		{method: "POST", label: "/v1/batch", action: ledger.ActWrite, writes: true, media: mediaNDJSON, stream: true, handle: postBatch},
		{method: "POST", label: "/v1/decisions", action: ledger.ActDecide, media: mediaJSON, handle: postDecision},
		{method: "POST", label: "/v1/lookups", action: ledger.ActDecide, media: mediaJSON, handle: postLookup},

		{method: "GET", label: "/v1/members/:ref", action: ledger.ActLook, look: true, handle: getMember},
		{method: "GET", label: "/v1/members/:ref/history", action: ledger.ActLook, look: true, query: []string{"cursor", "limit"}, handle: getHistory},

		{method: "GET", label: "/v1/members/:ref/export", action: ledger.ActLook, look: true, query: []string{"complete"}, offers: exportForms, handle: getExport},
		{method: "GET", label: "/v1/members/:ref/entries/:index/receipt", action: ledger.ActLook, look: true, maybeGround: true, offers: receiptForms, handle: getReceipt},
		{method: "GET", label: "/v1/members/:ref/kept", action: ledger.ActOffice, look: true, ground: true, handle: getKept},
		{method: "POST", label: "/v1/members/:ref/holds", action: ledger.ActOffice, writes: true, media: mediaJSON, handle: postHold},
		{method: "DELETE", label: "/v1/members/:ref/holds/:id", action: ledger.ActOffice, writes: true, handle: deleteHold},

		{method: "GET", label: "/v1/notices", action: ledger.ActOffice, query: []string{"cursor", "limit"}, handle: getNotices},
		{method: "GET", label: "/v1/disclosures", action: ledger.ActOffice, query: []string{"cursor", "limit"}, handle: getAnonymised},
		{method: "POST", label: "/v1/notices", action: ledger.ActOffice, writes: true, media: mediaJSON, handle: postNotice},
		{method: "POST", label: "/v1/requests", action: ledger.ActOffice, writes: true, media: mediaJSON, handle: postRequest},
		{method: "POST", label: "/v1/requests/:id/outcome", action: ledger.ActOffice, writes: true, media: mediaJSON, handle: postRequestOutcome},
		{method: "GET", label: "/v1/due", action: ledger.ActOffice, look: true, query: []string{"within"}, handle: getDue},
		{method: "POST", label: "/v1/breaches/query", action: ledger.ActOffice, look: true, media: mediaJSON, long: true, handle: postBreachQuery},

		{method: "GET", label: "/v1/entries/:index", action: ledger.ActLog, handle: getEntry},
		{method: "GET", label: "/v1/destructions", action: ledger.ActOffice, query: []string{"cursor", "limit"}, handle: getAwaiting},
		{method: "GET", label: "/v1/destructions/:index", ofLog: true, action: ledger.ActLog, handle: getDestruction},
		{method: "GET", label: "/v1/destructions/:index/certificate", action: ledger.ActOffice, look: true, handle: getCertificate},
		{method: "GET", label: "/v1/policies", ofLog: true, action: ledger.ActLog, handle: getPolicies},
		{method: "POST", label: "/v1/policies", action: ledger.ActPolicies, writes: true, media: mediaYAML, handle: postPolicy},
		{method: "GET", label: "/v1/recipients", ofLog: true, action: ledger.ActLog, handle: getRecipients},
		{method: "POST", label: "/v1/recipients", action: ledger.ActPolicies, writes: true, media: mediaJSON, handle: postRecipient},
		{method: "GET", label: "/v1/processing-register", action: ledger.ActLog, offers: processingForms, handle: getProcessing},
		{method: "GET", label: "/v1/keys", action: ledger.ActRegister, handle: getKeys},
		{method: "POST", label: "/v1/keys", action: ledger.ActRegister, writes: true, media: mediaJSON, handle: postKey},
		{method: "DELETE", label: "/v1/keys/:id", action: ledger.ActRegister, writes: true, handle: deleteKey},

		{method: "GET", label: "/v1/witnesses", ofLog: true, action: ledger.ActLog, handle: getWitnesses},
		{method: "POST", label: "/v1/witnesses", action: ledger.ActRegister, writes: true, media: mediaJSON, handle: postWitness},
		{method: "DELETE", label: "/v1/witnesses/:id", action: ledger.ActRegister, writes: true, handle: deleteWitness},

		{method: "GET", label: "/v1/operators", action: ledger.ActPeople, handle: getOperators},
		{method: "POST", label: "/v1/operators", action: ledger.ActRegister, writes: true, media: mediaJSON, handle: postOperator},
		{method: "POST", label: "/v1/operators/:id/handover", action: ledger.ActRegister, writes: true, media: mediaJSON, handle: postHandover},
		{method: "POST", label: "/v1/operators/:id/invitations", action: ledger.ActRegister, writes: true, handle: postInvitation},
		{method: "POST", label: "/v1/enrolments", public: true, media: mediaJSON, handle: postEnrolment},
		{method: "POST", label: "/v1/enrolments/confirm", public: true, media: mediaJSON, handle: postConfirmation},
		{method: "POST", label: "/v1/sessions", public: true, media: mediaJSON, handle: postSession},
		{method: "DELETE", label: "/v1/sessions", action: ledger.ActLog, handle: deleteSession},
		{method: "DELETE", label: "/v1/operators/:id", action: ledger.ActRegister, writes: true, handle: deleteOperator},

		{method: "GET", label: "/checkpoint", ofLog: true, action: ledger.ActLog, handle: getCheckpoint},
		{method: "GET", label: "/tile/*path", ofLog: true, action: ledger.ActLog, handle: getTile},
		{method: "GET", label: "/metrics", public: s.o.PublicMetrics, action: ledger.ActLog, handle: getMetrics},
		{method: "GET", label: "/openapi.yaml", public: true, handle: getDocument},
		{method: "GET", label: "/livez", public: true, handle: getLivez},
		{method: "GET", label: "/readyz", public: true, handle: getReadyz},
	}
	for i := range routes {
		if routes[i].ofLog {
			routes[i].public = !s.o.PrivateLog
		}
	}
	return routes
}

// controlRoutes are the calls that only the control socket has.
func (s *Server) controlRoutes() []route {
	return []route{
		{method: "GET", label: "/control/info", action: ledger.ActLog, handle: controlInfo},
		{method: "GET", label: "/control/log", action: ledger.ActLog, query: []string{"from", "limit"}, handle: controlLog},
		{method: "GET", label: "/control/tile/:level/:n", action: ledger.ActLog, handle: controlTile},
		{method: "POST", label: "/control/members/:ref/withdrawals", action: ledger.ActWrite, writes: true, despiteLowDisk: true, media: mediaJSON, handle: controlWithdrawal},
		{method: "POST", label: "/control/verify-deep", action: ledger.ActRegister, long: true, handle: controlVerifyDeep},
	}
}

// router routes on the path as it was sent. A path that needs percent-encoding
// is none of ours, and httprouter would route on what it decodes to. HEAD is
// answered where a GET is public, or would be if the log were.
func (s *Server) router(routes []route, local bool) http.Handler {
	m := httprouter.New()
	m.RedirectTrailingSlash, m.RedirectFixedPath = false, false
	m.HandleMethodNotAllowed, m.HandleOPTIONS = true, true
	for i := range routes {
		rt := &routes[i]
		h := func(w http.ResponseWriter, r *http.Request, params httprouter.Params) {
			s.serve(rt, local, w, r, params)
		}
		m.Handle(rt.method, rt.label, h)
		if (rt.public || rt.ofLog) && rt.method == http.MethodGet {
			m.Handle(http.MethodHead, rt.label, h)
		}
	}
	tell := func(p *problem) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.metrics.unrouted(p)
			id := s.requestID()
			w.Header()["X-Request-Id"] = []string{id}
			p.write(w, id, languageOf(r.Header["Accept-Language"]))
		})
	}
	refuse := func(code, detail string) http.Handler { return tell(newProblem(code, "", detail)) }
	tooLarge := tell(headersTooLarge())
	notFound := refuse("no_such_route", "There is nothing at this path; API.md lists the routes. Paths are case-sensitive, without a trailing slash or percent-encoding.")
	m.NotFound = notFound
	m.MethodNotAllowed = refuse("method_not_allowed", "Use one of the methods in Allow.")
	m.GlobalOPTIONS = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["X-Request-Id"] = []string{s.requestID()}
		w.WriteHeader(http.StatusNoContent)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		done := heard(r)
		if ambiguous(r) {
			w.Header()["Connection"] = []string{"close"}
		}
		switch {
		case !s.opened.Load():
			s.beforeOpen(w, r)
		case !headersFit(r.Header):
			tooLarge.ServeHTTP(w, r)
		case encoded(r):
			notFound.ServeHTTP(w, r)
		default:
			m.ServeHTTP(w, r)
		}
		done()
	})
}
