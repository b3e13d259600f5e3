package server

import (
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"consentledger/ledger"
)

// shopdayCalls reads the calls that a page shows: a method and a path, and the
// JSON behind them.
func shopdayCalls(page string) (calls [][3]string) {
	for _, block := range regexp.MustCompile("(?s)```\n(.*?)```").FindAllStringSubmatch(page, -1) {
		at := regexp.MustCompile(`(?m)^(GET|POST|DELETE) +(/\S+)`).FindAllStringSubmatchIndex(block[1], -1)
		for i, m := range at {
			end := len(block[1])
			if i+1 < len(at) {
				end = at[i+1][0]
			}
			calls = append(calls, [3]string{block[1][m[2]:m[3]], block[1][m[4]:m[5]], firstObject(block[1][m[1]:end])})
		}
	}
	return calls
}

// firstObject returns the first JSON object of a text, or "".
func firstObject(s string) string {
	begin := strings.IndexByte(s, '{')
	if begin < 0 {
		return ""
	}
	depth := 0
	for i := begin; i < len(s); i++ {
		switch s[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return s[begin : i+1]
			}
		}
	}
	return ""
}

// A shop's developer copies what SHOPDAY.md shows, so the form of each call
// must be right: whatever is said to it, it is not that it is malformed.
func TestTheCallsOfTheShopsDayAreWellFormed(t *testing.T) {
	page, err := os.ReadFile("../ledger/consent/SHOPDAY.md")
	if err != nil {
		t.Fatal(err)
	}
	s := newShop(t)
	fill := strings.NewReplacer(`"…"`, `"2025-03-01T12:00:00Z"`)
	ids := strings.NewReplacer("mbr_…", "mbr_aaaaaaaaaaaaaaaaaaaaaaaaaa", "_…", "_aaaaaaaaaaaaaaaaaaaaaaaaaa")
	malformed := func(c [3]string) bool {
		method, path, body := c[0], ids.Replace(c[1]), fill.Replace(c[2])
		if method != http.MethodPost {
			body = ""
		}
		role := ledger.RoleDPO
		if path == "/v1/recipients" || path == "/v1/policies" {
			role = ledger.RoleAdmin
		}
		status, answer := s.call(role, method, path, body, "Access-Ground", "contract")
		if slices.Contains([]int{400, 403, 405, 406, 413, 415, 500}, status) && !strings.Contains(string(answer), `"rule"`) ||
			strings.Contains(string(answer), "no_such_route") {
			return true
		}
		return false
	}
	calls := shopdayCalls(string(page))
	if len(calls) < 20 {
		t.Fatalf("only %d calls were found", len(calls))
	}
	for _, c := range calls {
		if malformed(c) {
			t.Errorf("%s %s is not well formed", c[0], c[1])
		}
	}
	for _, control := range [][3]string{{"POST", "/v1/activity", `{"member_id":"u-1","occured_at":"2025-03-01T12:00:00Z"}`}, {"POST", "/v1/actions", "{}"}} {
		if !malformed(control) {
			t.Errorf("%s %s passes, so the search proves nothing", control[0], control[1])
		}
	}
}
