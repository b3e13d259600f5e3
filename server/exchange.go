package server

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/julienschmidt/httprouter"

	"consentledger/ledger"
	"consentledger/ledger/consent"
)

// A route is one method on one path, and all that is decided before its handler runs.
type route struct {
	method, label  string        // the label is the path's pattern: it stands for the path wherever one would be named
	public         bool          // needs no key
	ofLog          bool          // is public unless the log is private
	action         ledger.Action // what the key's role must allow, if not public
	writes         bool          // a POST or DELETE that records something
	media          string        // of the body; empty: no body is read
	stream         bool          // the handler reads the body itself, piece by piece
	despiteLowDisk bool          // is taken although the disk is nearly full
	long           bool          // takes as long as the ledger is large
	look           bool          // needs Access-Reason
	ground         bool          // needs Access-Ground
	maybeGround    bool          // takes Access-Ground, of members who have left or are dormant
	offers         [][]string    // the media types of which Accept picks one, the preferred first; none: Accept is not asked
	query          []string      // the query parameters that it has
	handle         func(*exchange) *problem
}

// An exchange is one request and its answer. It is reused: nothing may hold on to it.
type exchange struct {
	s       *Server
	w       http.ResponseWriter
	r       *http.Request
	rt      *route
	params  httprouter.Params
	caller  ledger.Caller
	session string // the token of the caller's session; empty: a key
	look    ledger.Look
	ground  string
	offer   []string // of rt.offers, as the header that the answer has
	id      string   // request id
	body    []byte   // the whole of it, except of streams
	out     []byte   // for the answer
	tracked
}

// tracked is what the log says of a request.
type tracked struct {
	status  int
	started time.Time
	left    bool // the client went away before the answer

	expected bool // its problem is one that passes by itself, and no error of the server's
}

const maxBodyBytes = 64 << 10

var exchanges = sync.Pool{New: func() any {
	return &exchange{body: make([]byte, 0, 4<<10), out: make([]byte, 0, 1<<10)}
}}

// serve decides, in the order of the contract: 401, 403 (the role), 406,
// 415, 413, 400 of headers and query; 404 and 405 were decided by the router. The
// handler goes on with 400 of the body, 404, 409 and the rules.
func (s *Server) serve(rt *route, local bool, w http.ResponseWriter, r *http.Request, params httprouter.Params) {
	x := exchanges.Get().(*exchange)
	x.s, x.w, x.r, x.rt, x.params = s, w, r, rt, params
	x.started = s.now()
	x.id = s.requestID()
	w.Header()["X-Request-Id"] = []string{x.id}
	s.inFlight.Add(1)
	defer s.inFlight.Done()
	defer x.done()

	p := x.admit(local)
	if p == nil {
		p = rt.handle(x)
	}
	if p != nil {
		x.refuse(p)
	}
}

// done logs what is worth it, answers for a panic, and lets go of the exchange.
func (x *exchange) done() {
	if v := recover(); v != nil {
		if v == http.ErrAbortHandler {
			panic(v)
		}
		// The value itself is not logged: it may hold what was sent.
		x.s.log.Error("panic while answering", x.ids("kind", panicKind(v), "stack", string(debug.Stack()))...)
		if x.status != 0 { // an answer is under way; only cutting it off tells the client
			panic(http.ErrAbortHandler)
		}
		if x.rt.writes {
			x.refuse(newProblem("outcome_unknown", "", outcomeUnknown))
		} else {
			x.refuse(newProblem("internal_error", "", "Try again; if it goes on, give the operator the request_id."))
		}
	}
	took := x.s.now().Sub(x.started)
	x.s.metrics.answered(x.rt, x.status, took)
	level, message := slog.LevelDebug, "answered"
	switch {
	case x.left:
	case x.status >= 500 && !x.expected:
		level, message = slog.LevelError, "answered with an error"
	case took >= x.s.o.SlowAfter && !x.rt.stream && !x.rt.long:
		level, message = slog.LevelWarn, "answered slowly"
	}
	if x.s.log.Enabled(context.Background(), level) {
		x.s.log.Log(context.Background(), level, message,
			x.ids("method", x.rt.method, "status", x.status, "duration_ms", took.Milliseconds())...)
	}
	body, out := x.body, x.out
	clear(body) // member ids and reasons do not stay behind in a pool
	clear(out)
	*x = exchange{body: body[:0], out: out[:0]}
	exchanges.Put(x)
}

func panicKind(v any) string {
	if err, ok := v.(error); ok {
		var re interface{ RuntimeError() }
		if errors.As(err, &re) {
			return err.Error()
		}
		return "error"
	}
	return "value"
}

func (x *exchange) admit(local bool) *problem {
	rt, r := x.rt, x.r
	if !rt.public {
		if local {
			x.caller = ledger.Caller{KeyID: "local", Role: localRole(rt.action), From: "control.sock"}
		} else if p := x.authenticate(); p != nil {
			return p
		} else if p := x.limit(); p != nil {
			return p
		}
		if !x.caller.May(rt.action) {
			if x.caller.Policies != nil && (ledger.Caller{Role: x.caller.Role}).May(rt.action) {
				return policyNotAllowed()
			}
			return rt.notForRole()
		}
	}
	if rt.offers != nil {
		if x.offer = pick(r.Header["Accept"], rt.offers); x.offer == nil {
			return newProblem("not_acceptable", "Accept", "Leave Accept out, or name one of these: %s.", names(rt.offers))
		}
	}
	_, again := r.Header[idempotencyKey]
	if !again {
		if p := x.roomFor(); p != nil {
			return p
		}
	}
	if rt.media != "" {
		if p := x.mediaType(); p != nil {
			return p
		}
		if !rt.stream {
			if p := x.readBody(); p != nil {
				return p
			}
			// The body may have taken its time, and the key may have been revoked in it.
			if !rt.public && !x.lives() {
				return keyIsNeeded()
			}
		}
	} else if r.ContentLength != 0 {
		return newProblem("unexpected_body", "", "This call has no body; what it is about stands in its path. Send it without one.")
	}
	if p := x.checkQuery(); p != nil {
		return p
	}
	if p := x.onceHeader(); p != nil {
		return p
	}
	if again {
		if p := x.roomFor(); p != nil {
			return p
		}
	}
	if rt.look {
		if p := x.accessReason(); p != nil {
			return p
		}
	}
	if _, there := r.Header["Access-Ground"]; rt.ground || rt.maybeGround && there {
		return x.accessGround()
	}
	return nil
}

// notForRole says whose call it is.
func (rt *route) notForRole() *problem {
	var may []string
	for _, r := range everyRole {
		if (ledger.Caller{Role: r}).May(rt.action) {
			may = append(may, string(r))
		}
	}
	return newProblem("role_not_allowed", "", "This call needs a key of another role: %s.", strings.Join(may, ", "))
}

var everyRole = []ledger.Role{ledger.RoleWriter, ledger.RoleReader, ledger.RoleDPO, ledger.RoleAuditor, ledger.RoleAdmin}

func roleNotAllowed() *problem {
	return newProblem("role_not_allowed", "", "Use a key whose role allows this call; API.md lists the roles.")
}

func policyNotAllowed() *problem {
	return newProblem("policy_not_allowed", "", "Nothing was recorded: this key is for some policies only, and the call touches another, or the whole member. Name purposes as policy/purpose, or use another key; API.md says what such a key may do.")
}

func (x *exchange) authenticate() *problem {
	if _, there := x.r.Header["Authorization"]; !there && x.r.TLS != nil && len(x.r.TLS.VerifiedChains) > 0 {
		return x.authenticateCertificate()
	}
	values := x.r.Header["Authorization"]
	if len(values) == 1 {
		scheme, token, ok := strings.Cut(values[0], " ")
		if ok && strings.EqualFold(scheme, "Bearer") {
			if token = strings.TrimLeft(token, " "); isSession(token) {
				return x.authenticateSession(token)
			}
			who, err := x.s.book.Authenticate(token, withoutPort(x.r.RemoteAddr))
			if err == nil {
				x.caller = who
				return nil
			}
			if !errors.Is(err, ledger.ErrUnauthorized) {
				return x.problemOf(err)
			}
		}
	}
	return keyIsNeeded()
}

// authenticateCertificate goes by the names of a client certificate that the server's authority has
// signed: its DNS names and URIs, as RFC 6125 has it, and not its common name. The handshake has found
// it valid; a connection may outlive it.
func (x *exchange) authenticateCertificate() *problem {
	cert := x.r.TLS.VerifiedChains[0][0]
	if x.s.now().After(cert.NotAfter) {
		return keyIsNeeded()
	}
	names := slices.Clone(cert.DNSNames)
	for _, u := range cert.URIs {
		names = append(names, u.String())
	}
	who, err := x.s.book.AuthenticateCertificate(names, withoutPort(x.r.RemoteAddr))
	switch {
	case err == nil:
		x.caller = who
		return nil
	case errors.Is(err, ledger.ErrUnauthorized):
		return keyIsNeeded()
	}
	return x.problemOf(err)
}

func keyIsNeeded() *problem {
	return newProblem("unauthorized", "Authorization", "Send `Authorization: Bearer cl_live_…` with a key that is live.")
}

func withoutPort(address string) string {
	if i := strings.LastIndexByte(address, ':'); i >= 0 {
		return strings.Trim(address[:i], "[]")
	}
	return address
}

// localRole is the role in which whoever may open the control socket makes a
// call: they run the server's account, so every call is open to them.
func localRole(a ledger.Action) ledger.Role {
	if a == ledger.ActRegister || a == ledger.ActPolicies || a == ledger.ActLog || a == ledger.ActPeople {
		return ledger.RoleAdmin
	}
	return ledger.RoleDPO
}

// mediaType takes the route's media type, alone or with charset=utf-8, and no content encoding.
func (x *exchange) mediaType() *problem {
	if _, there := x.r.Header["Content-Encoding"]; there {
		return newProblem("unsupported_encoding", "Content-Encoding", "Send the body as it is, without the header.")
	}
	values := x.r.Header["Content-Type"]
	if len(values) == 1 {
		if values[0] == x.rt.media {
			return nil
		}
		media, parameter, _ := strings.Cut(values[0], ";")
		if strings.EqualFold(strings.TrimSpace(media), x.rt.media) {
			switch strings.ToLower(strings.TrimSpace(parameter)) {
			case "", "charset=utf-8", `charset="utf-8"`:
				return nil
			}
		}
	}
	return newProblem("unsupported_media_type", "Content-Type", "Send `Content-Type: %s`.", x.rt.media)
}

func (x *exchange) readBody() *problem {
	limit := maxBodyBytes
	if x.rt.media == mediaYAML {
		limit = consent.MaxPolicyBytes
	}
	if x.r.ContentLength > int64(limit) {
		return tooLarge(limit)
	}
	x.s.bodies.add(x)
	err := x.readAll(limit)
	stopped := x.s.bodies.done(x)
	var late interface{ Timeout() bool }
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errTooLarge):
		return tooLarge(limit)
	case stopped && errors.As(err, &late) && late.Timeout():
		return problemOf(ledger.ErrClosed)
	}
	return bodyProblem(err)
}

var errTooLarge = errors.New("the body is too large")

func (x *exchange) readAll(limit int) error {
	b := x.body[:0]
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := x.r.Body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		x.body = b
		if len(b) > limit {
			return errTooLarge
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func tooLarge(limit int) *problem {
	return newProblem("body_too_large", "", "Send at most %d bytes.", limit)
}

func bodyProblem(err error) *problem {
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		return newProblem("request_timeout", "", "Nothing more of the request came in time. Send it again, faster.")
	}
	return newProblem("incomplete_body", "", "The connection ended before the body did. Send it again.")
}

// checkQuery refuses parameters that the route does not have: an unread
// parameter is a question answered otherwise than it was asked.
func (x *exchange) checkQuery() *problem {
	if x.r.URL.RawQuery == "" || x.rt.public {
		return nil
	}
	query, err := url.ParseQuery(x.r.URL.RawQuery)
	if err != nil { // what cannot be read would otherwise count as not there
		return newProblem("invalid_parameter", "", "The query is not what a URL may hold: write two hexadecimal digits after each %, and & between parameters.")
	}
next:
	for name, values := range query {
		for _, known := range x.rt.query {
			if name == known && len(values) == 1 {
				continue next
			}
		}
		if len(x.rt.query) == 0 {
			return newProblem("unknown_parameter", "", "This call has no query parameters.")
		}
		return newProblem("unknown_parameter", "", "The parameters are, each at most once: %s.", strings.Join(x.rt.query, ", "))
	}
	return nil
}

func (x *exchange) refuse(p *problem) {
	x.status = p.status
	x.s.metrics.problems.WithLabelValues(p.code).Inc()
	switch p.code {
	case "busy", "too_many_batches", "shutting_down", "too_many_requests", "low_disk":
		x.expected = true
	case "unauthorized":
		x.w.Header().Set("WWW-Authenticate", "Bearer")
		x.denied(p.code)
	case "role_not_allowed", "policy_not_allowed":
		x.denied(p.code)
	}
	p.write(x.w, x.id, languageOf(x.r.Header["Accept-Language"]))
}

// answer sends x.out as JSON.
func (x *exchange) answer(status int) *problem {
	return x.send(status, jsonType, x.out)
}

func (x *exchange) send(status int, contentType []string, body []byte) *problem {
	h := x.w.Header()
	h["Content-Type"] = contentType
	if _, set := h["Cache-Control"]; !set {
		h["Cache-Control"] = noStore
	}
	h["Content-Length"] = []string{itoa(len(body))}
	x.status = status
	x.w.WriteHeader(status)
	if len(body) > netHTTPBuffer {
		defer joinWrites(x.r)()
	}
	_, _ = x.w.Write(body) // who has gone away does not hear it
	return nil
}

const outcomeUnknown = "It may have been recorded or not; do not take it for a failure. When the server is ready again, look it up before sending it once more."

// problemOf says what an error of the ledger means to a caller.
func (x *exchange) problemOf(err error) *problem {
	p := problemOf(err)
	if x.r.Context().Err() != nil {
		x.left = true
	} else if p.status == http.StatusInternalServerError {
		x.s.log.Error("the ledger answered with an error", x.ids("error", err.Error())...)
	}
	return p
}

func problemOf(err error) *problem {
	var refusal *consent.Refusal
	var own *problem
	switch {
	case errors.As(err, &own):
		return own
	case errors.Is(err, ledger.ErrUncertain):
		return newProblem("outcome_unknown", "", outcomeUnknown)
	case errors.As(err, &refusal):
		return refusedBy(refusal)
	case onceProblem(err) != nil:
		return onceProblem(err)
	case errors.Is(err, ledger.ErrNotRecorded):
		return lowDisk()
	case errors.Is(err, ledger.ErrUnknownMember):
		return newProblem("unknown_member", "", "No living membership is on record. Of a member who has left, lookups say withdrawn and the officer reads what is kept; only a consent with `enrol: true` begins a membership.")
	case errors.Is(err, ledger.ErrWithdrawn):
		return newProblem("member_withdrawn", "", "The member has withdrawn, and what is kept is kept apart. The officer reads it on the ground that keeps it: GET /v1/members/{ref}/kept.")
	case errors.Is(err, ledger.ErrDormant):
		return newProblem("member_dormant", "", "The member is dormant, and what is recorded of them is kept apart. POST /v1/reactivations when they come back; until then the officer reads it with GET /v1/members/{ref}/kept.")
	case errors.Is(err, ledger.ErrUnknownGround):
		return newProblem("ground_not_kept", "Access-Ground", "Nothing of this member is kept on that ground. Name the retention class whose law keeps it, as the withdrawal's `kept` did.")
	case errors.Is(err, ledger.ErrUnknownEntry):
		return newProblem("unknown_entry", "", "There is no entry of this index.")
	case errors.Is(err, ledger.ErrUnknownDestruction):
		return newProblem("unknown_entry", "", "There is no destruction of this index. Take that of the entry of class destructions in the answer to a withdrawal.")
	case errors.Is(err, ledger.ErrNoCertificate):
		return newProblem("no_certificate", "", "No certificate waits for this destruction: it went out with the answer to the call that asked for it, was delivered, or its thirty days are over. GET /v1/destructions lists those that wait.")
	case errors.Is(err, ledger.ErrUnknownKey):
		return newProblem("unknown_key", "", "There is no API key of this id; GET /v1/keys lists them.")
	case errors.Is(err, ledger.ErrUnknownWitness):
		return newProblem("unknown_witness", "", "There is no witness of this id; GET /v1/witnesses lists them.")
	case errors.Is(err, ledger.ErrWitnessesAway):
		return newProblem("witnesses_away", "", "What was asked for is recorded, and too few witnesses have signed its head so far. Ask again after the time in Retry-After.")
	case errors.Is(err, ledger.ErrForbidden):
		return roleNotAllowed()
	case errors.Is(err, ledger.ErrUnauthorized):
		return keyIsNeeded()
	case errors.Is(err, ledger.ErrPolicyNotAllowed):
		return policyNotAllowed()
	case errors.Is(err, ledger.ErrBusy):
		return newProblem("busy", "", "Nothing was recorded. Send it again after the time in Retry-After.")
	case errors.Is(err, ledger.ErrReadOnly):
		return newProblem("read_only", "", "Nothing was recorded. The operator must look at the server's log and disk.")
	case errors.Is(err, ledger.ErrClosed):
		return newProblem("shutting_down", "", "Nothing was recorded. Send it again after the time in Retry-After.")
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return newProblem("outcome_unknown", "", outcomeUnknown)
	}
	return newProblem("internal_error", "", "Try again; if it goes on, give the operator the request_id.")
}
