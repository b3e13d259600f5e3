package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
)

// A person gets in with a password and a code, by way of an invitation, and no other way; a machine has
// a key for what it does, which can be changed. The codes go by the real time, so this is no transcript.
func TestRow_D7_people_sign_in_with_more_than_a_password(t *testing.T) {
	const password = "five words of somebody here"
	dir := t.TempDir()
	bin := clockedBinary(t)
	clock := filepath.Join(dir, "clock")
	if err := writeClock(clock, rowsBegin); err != nil {
		t.Fatal(err)
	}
	env := []string{"CONSENTLEDGER_TEST_CLOCK=" + clock}
	s := startBinary(t, bin, env, dir, "--init")
	base, keys := s.url, map[string]string{"writer": s.key, "admin": s.admin}

	call := func(status int, key, method, path, body string) map[string]any {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, base+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if body != "" {
			req.Header.Set("Content-Type", "application/json")
		}
		if key != "" {
			req.Header.Set("Authorization", "Bearer "+key)
		}
		if strings.Contains(path, "/members/") {
			req.Header.Set("Access-Reason", "a question by telephone")
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		var v map[string]any
		if err := json.Unmarshal(b, &v); err != nil || res.StatusCode != status {
			t.Fatalf("%s %s: %d instead of %d: %s", method, path, res.StatusCode, status, b)
		}
		return v
	}
	run := func(code int, stdin string, args ...string) (stdout string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), bin, args...)
		cmd.Env = append(cmd.Environ(), env...)
		cmd.Stdin = strings.NewReader(stdin)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != code {
			t.Fatalf("%v: %v, want exit %d: %s%s", args, err, code, out.String(), errs.String())
		}
		return out.String()
	}
	text := func(v map[string]any, name string) string {
		t.Helper()
		s, ok := v[name].(string)
		if !ok {
			t.Fatalf("there is no %s", name)
		}
		return s
	}
	code := func(secret string, at time.Time) string {
		c, err := totp.GenerateCode(secret, at)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}

	member := text(call(201, keys["writer"], "POST", "/v1/consents", `{"member_id":"shopper-1","enrol":true,"member_kind":"member","policy":"haim","policy_version":"2025-01-01","decisions":[{"purpose":"membership","decision":"granted"}],"method":"button","locale":"en","occurred_at":"2026-03-02T00:00:00Z","minimum_age_confirmed":true}`), "member")
	operator := text(call(201, keys["admin"], "POST", "/v1/operators", `{"name":"Kim Min-ji","role":"dpo","responsible":true}`), "id")
	var invited map[string]any
	if err := json.Unmarshal([]byte(run(0, "", "operator", "invite", "--dir", filepath.Join(dir, "data"), "--json", operator)), &invited); err != nil {
		t.Fatal(err)
	}
	who := `"operator":"` + operator + `","invitation":"` + text(invited, "invitation") + `"`
	secret := text(call(201, "", "POST", "/v1/enrolments", `{`+who+`}`), "secret")
	now := time.Now()
	confirm := `{` + who + `,"password":"` + password + `","code":"` + code(secret, now) + `"}`
	recovery := call(201, "", "POST", "/v1/enrolments/confirm", confirm)["recovery_codes"].([]any)
	call(403, "", "POST", "/v1/enrolments/confirm", confirm) // an invitation is used once

	// A password alone is not enough, nor a code that was used; the next code of the app is.
	signIn := func(status int, field, value string) map[string]any {
		t.Helper()
		return call(status, "", "POST", "/v1/sessions", fmt.Sprintf(`{"operator":%q,"password":%q,%q:%q}`, operator, password, field, value))
	}
	call(400, "", "POST", "/v1/sessions", `{"operator":"`+operator+`","password":"`+password+`"}`)
	signIn(401, "code", code(secret, now))
	session := text(signIn(201, "code", code(secret, now.Add(30*time.Second))), "session")

	// What they look at is recorded with their name in the register, and from where.
	call(200, session, "GET", "/v1/members/"+member, "")
	history := call(200, session, "GET", "/v1/members/"+member+"/history", "")["entries"].([]any)
	look := history[1].(map[string]any)["event"].(map[string]any)
	if look["who"] != operator || look["from"] != "127.0.0.1" || look["what"] != "state" || look["reason"] != "a question by telephone" {
		t.Errorf("the look is on record as %v", look)
	}
	call(403, session, "GET", "/v1/keys", "")
	call(200, session, "DELETE", "/v1/sessions", "")
	call(401, session, "GET", "/v1/members/"+member, "")

	// From a terminal, with a recovery code, which is taken once; and the session ends with the person.
	lines := password + "\n" + recovery[0].(string) + "\n"
	var again map[string]any
	if err := json.Unmarshal([]byte(run(0, lines, "sign-in", "--url", base, "--operator", operator, "--recovery", "--json")), &again); err != nil {
		t.Fatal(err)
	}
	run(1, lines, "sign-in", "--url", base, "--operator", operator, "--recovery")
	run(2, "", "sign-in", "--url", "http://ledger.shop.example", "--operator", operator)
	session = text(again, "session")
	call(200, session, "GET", "/v1/operators", "")
	other := text(call(201, keys["admin"], "POST", "/v1/operators", `{"name":"Lee Seo-jun","role":"dpo","responsible":false}`), "id")
	call(201, keys["admin"], "POST", "/v1/operators/"+operator+"/handover", `{"to":"`+other+`","at":"2026-03-02T00:00:00Z"}`)
	call(401, session, "GET", "/v1/operators", "")
	call(200, keys["admin"], "DELETE", "/v1/operators/"+operator, "")
	signIn(401, "recovery_code", recovery[1].(string))

	// A machine's key can be taken back, and holds no longer.
	key := call(201, keys["admin"], "POST", "/v1/keys", `{"role":"reader","name":"support-desk"}`)
	call(200, text(key, "key"), "POST", "/v1/lookups", `{"member_id":"shopper-1"}`)
	call(200, keys["admin"], "DELETE", "/v1/keys/"+text(key, "id"), "")
	call(401, text(key, "key"), "POST", "/v1/lookups", `{"member_id":"shopper-1"}`)
	s.stop(t, syscall.SIGTERM)
	verifyClocked(t, bin, env, dir)
}
