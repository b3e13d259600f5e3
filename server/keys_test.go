package server

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"consentledger/ledger"
)

// checked gives a token's text its checksum.
func checked(text string) string {
	sum := binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(text)))
	return text + strings.ToLower(strings.TrimRight(base32.StdEncoding.EncodeToString(sum), "="))
}

var anyRequestID = regexp.MustCompile(`req_[a-z2-7]{16}`)

// Whoever tries keys is told one thing, and in the same bytes: not whether the id is anybody's, the secret is
// wrong, or the key was revoked.
func TestAFailedAuthenticationTellsNothingOfTheKey(t *testing.T) {
	s := newShop(t)
	live := s.keys[ledger.RoleWriter]
	if checked(live[:len(live)-7]) != live {
		t.Fatal("control: the checksum is made in another way")
	}
	made := s.made(ledger.RoleAdmin, "/v1/keys", `{"role":"writer","name":"revoked"}`)
	revoked := textOf(t, made, "key")
	if status, b := s.call(ledger.RoleAdmin, "DELETE", "/v1/keys/"+textOf(t, made, "id"), ""); status != 200 {
		t.Fatalf("%d %s", status, b)
	}
	id, secret, _ := strings.Cut(strings.TrimPrefix(live[:len(live)-7], "cl_live_"), "_")
	certificate := s.made(ledger.RoleAdmin, "/v1/keys", `{"role":"writer","name":"mesh","certificate":"mesh.example"}`)
	zero := strings.Repeat("a", len(secret))

	type answer struct {
		status int
		header http.Header
		body   string
	}
	ask := func(headers ...string) answer {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "POST", s.url+"/v1/lookups", strings.NewReader(bodies["/v1/lookups"]))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", mediaJSON)
		for _, h := range headers {
			r.Header.Add("Authorization", h)
		}
		res, err := s.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		res.Header.Del("Date")
		res.Header.Del("X-Request-Id")
		return answer{res.StatusCode, res.Header, anyRequestID.ReplaceAllString(string(b), "")}
	}
	if a := ask("Bearer " + live); a.status != 404 {
		t.Fatalf("control: %+v", a)
	}
	want := ask()
	if want.status != 401 || want.header.Get("WWW-Authenticate") != "Bearer" || !strings.Contains(want.body, `"code":"unauthorized"`) {
		t.Fatalf("%+v", want)
	}
	for name, headers := range map[string][]string{
		"an id that nobody has":          {"Bearer " + checked("cl_live_"+strings.Repeat("a", len(id))+"_"+secret)},
		"a wrong secret":                 {"Bearer " + checked("cl_live_"+id+"_"+zero)},
		"a key that was revoked":         {"Bearer " + revoked},
		"the id of a certificate's key":  {"Bearer " + checked("cl_live_"+strings.TrimPrefix(textOf(t, certificate, "id"), "key_")+"_"+zero)},
		"a wrong checksum":               {"Bearer " + live[:len(live)-1] + other(live[len(live)-1])},
		"another prefix":                 {"Bearer " + strings.Replace(live, "live", "test", 1)},
		"the key without a scheme":       {live},
		"another scheme":                 {"Basic " + live},
		"the key twice":                  {"Bearer " + live, "Bearer " + live},
		"something behind the key":       {"Bearer " + live + " x"},
		"upper case":                     {"Bearer " + strings.ToUpper(live)},
		"nothing behind the scheme":      {"Bearer "},
		"a long text":                    {"Bearer " + strings.Repeat("a", 8000)},
		"another encoding of the secret": {"Bearer " + checked(live[:len(live)-8]+other(live[len(live)-8]))},
	} {
		got := ask(headers...)
		if got.status != want.status || got.body != want.body || !maps.EqualFunc(got.header, want.header, func(a, b []string) bool { return fmt.Sprint(a) == fmt.Sprint(b) }) {
			t.Errorf("%s:\n%+v\nwant\n%+v", name, got, want)
		}
	}
}

// other is the character of base32 that differs in the lowest bit, which a secret's last one does not use.
func other(last byte) string {
	const alphabet = "abcdefghijklmnopqrstuvwxyz234567"
	return string(alphabet[strings.IndexByte(alphabet, last)^1])
}

// Once the answer to its revocation is here, nothing of a key is recorded any more, whatever was under way.
func TestNothingOfAKeyIsRecordedOnceItsRevocationIsAnswered(t *testing.T) {
	s := newShop(t)
	const callers = 8
	refused, recorded := 0, int64(0)
	for round := range 5 {
		made := s.made(ledger.RoleAdmin, "/v1/keys", fmt.Sprintf(`{"role":"writer","name":"race-%d"}`, round))
		role := ledger.Role(fmt.Sprint("race-", round))
		s.keys[role] = textOf(t, made, "key")
		var done atomic.Int64
		var all sync.WaitGroup
		for i := range callers {
			all.Go(func() {
				for n := 0; ; n++ {
					status, b := s.call(role, "POST", "/v1/consents", enrolment(fmt.Sprintf("race-%d-%d-%d", round, i, n)))
					switch status {
					case 201:
						done.Add(1)
						continue
					case 401:
					default:
						t.Errorf("%d %s", status, b)
					}
					return
				}
			})
		}
		for end := time.Now().Add(10 * time.Second); done.Load() < callers && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		status, b := s.call(ledger.RoleAdmin, "DELETE", "/v1/keys/"+textOf(t, made, "id"), "")
		size := s.ledger.Size()
		if status != 200 {
			t.Errorf("%d %s", status, b)
		}
		all.Wait()
		if got := s.ledger.Size(); got != size {
			t.Errorf("%d entries were recorded after the answer", got-size)
		}
		refused += callers
		recorded += done.Load()
	}
	if recorded < callers {
		t.Errorf("control: %d calls were recorded before, %d refused", recorded, refused)
	}
}

// limited is the shop's ledger behind a server that limits its keys.
func limited(t *testing.T, s *shop, l RateLimit) *Server {
	t.Helper()
	srv := New(s.ledger, Options{RateLimit: l})
	ts := httptest.NewServer(srv.Handler())
	t.Cleanup(ts.Close)
	s.url, s.client = ts.URL, ts.Client()
	return srv
}

func TestOfManyAtOnceAsManyAreTakenAsTheKeyMayMake(t *testing.T) {
	s := newShop(t)
	limited(t, s, RateLimit{PerSecond: 0.001, Burst: 20})
	var taken, refused atomic.Int64
	var all sync.WaitGroup
	for range 60 {
		all.Go(func() {
			switch status, b := s.call(ledger.RoleWriter, "POST", "/v1/lookups", `{"member_id":"nobody"}`); {
			case status == 404:
				taken.Add(1)
			case status == 429 && strings.Contains(string(b), `"code":"too_many_requests"`):
				refused.Add(1)
			default:
				t.Errorf("%d %s", status, b)
			}
		})
	}
	all.Wait()
	if taken.Load() != 20 || refused.Load() != 40 {
		t.Errorf("%d taken, %d refused", taken.Load(), refused.Load())
	}
	if status, _ := s.call(ledger.RoleReader, "POST", "/v1/lookups", `{"member_id":"nobody"}`); status != 404 {
		t.Errorf("another key: %d", status)
	}
	size := s.ledger.Size()
	if status, b := s.call(ledger.RoleWriter, "POST", "/v1/consents", enrolment("too many")); status != 429 || s.ledger.Size() != size {
		t.Errorf("a write: %d %s, %d entries", status, b, s.ledger.Size()-size)
	}
}

// Who has no key has no bucket, fills no memory, and learns of no limit; and nobody uses up another's requests
// with the id of their key.
func TestTryingKeysCostsTheirOwnersNothingAndFillsNoTable(t *testing.T) {
	s := newShop(t)
	srv := limited(t, s, RateLimit{PerSecond: 0.001, Burst: 3})
	live := s.keys[ledger.RoleWriter]
	id, secret, _ := strings.Cut(strings.TrimPrefix(live[:len(live)-7], "cl_live_"), "_")
	for i := range 200 {
		role := ledger.Role("nobody")
		s.keys[role] = checked("cl_live_" + id + "_" + strings.Repeat("b", len(secret)))
		if i%2 == 1 {
			s.keys[role] = checked(fmt.Sprintf("cl_live_%s%03d_%s", id[:len(id)-3], 222+i, secret))
		}
		r, err := http.NewRequestWithContext(t.Context(), "GET", s.url+"/v1/processing-register", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+s.keys[role])
		res, err := s.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 401 || res.Header.Get("RateLimit") != "" || res.Header.Get("RateLimit-Policy") != "" {
			t.Fatalf("%d %v", res.StatusCode, res.Header)
		}
	}
	if n := len(srv.limits.keys); n != 0 {
		t.Errorf("%d buckets", n)
	}
	for i := range 4 {
		if status, b := s.call(ledger.RoleWriter, "POST", "/v1/lookups", `{"member_id":"nobody"}`); (status == 404) != (i < 3) {
			t.Errorf("call %d: %d %s", i, status, b)
		}
	}
	if n := len(srv.limits.keys); n != 1 {
		t.Errorf("%d buckets for one key", n)
	}
}

// A connection may be open for longer than its client's certificate is good.
func TestACertificateThatRunsOutWhileItsConnectionIsOpenStandsForNothing(t *testing.T) {
	s := newShop(t)
	s.made(ledger.RoleAdmin, "/v1/keys", `{"role":"writer","name":"mesh","certificate":"mesh.example"}`)
	cert := &x509.Certificate{DNSNames: []string{"mesh.example"}, NotAfter: testNow.Add(time.Hour)}
	now := testNow
	h := New(s.ledger, Options{Now: func() time.Time { return now }}).Handler()
	ask := func(state *tls.ConnectionState) int {
		r := httptest.NewRequest("POST", "/v1/lookups", strings.NewReader(bodies["/v1/lookups"]))
		r.Header.Set("Content-Type", mediaJSON)
		r.TLS = state
		return do(h, r).Code
	}
	verified := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}, VerifiedChains: [][]*x509.Certificate{{cert}}}
	if code := ask(verified); code != 404 {
		t.Fatalf("control: %d", code)
	}
	if code := ask(&tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}}); code != 401 {
		t.Errorf("one that nobody has verified: %d", code)
	}
	now = now.Add(time.Hour + time.Second)
	if code := ask(verified); code != 401 {
		t.Errorf("one that has run out: %d", code)
	}
}
