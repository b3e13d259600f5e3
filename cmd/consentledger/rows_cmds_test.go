package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"consentledger/ledger/consent"
	"consentledger/server"
)

// The commands of a shop's story: a ledger in L with a key of each role, its
// members, and what they and the shop do.

func rowCommands() map[string]scriptCommand {
	cmds := scriptCommands()
	maps.Copy(cmds, map[string]scriptCommand{
		"clocked":   cmdClocked,
		"clock":     cmdClock,
		"sweep":     cmdSweep,
		"open":      cmdOpen,
		"as":        cmdAs,
		"sound":     cmdSound,
		"destroyed": cmdDestroyed,
		"revise":    cmdRevise,
		"answer":    cmdAnswer,
		"refuse":    cmdRefuse,
		"await":     cmdAwait,
		"rest":      cmdRest,
		"decide":    cmdDecide,
		"state":     cmdState,
		"enrol":     cmdEnrol,
		"grant":     cmdGrant,
		"take-back": cmdTakeBack,
		"leave":     cmdLeave,

		"certificate": cmdCertificate,
		"disclose":    cmdDisclose,
	})
	return cmds
}

// cmdOpen makes a ledger in L and serves it, with a key of each role:
//
//	open haim          a sample policy
//	open pharmacy.yaml a file
//
// POLICY and VERSION become the policy's.
func cmdOpen(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: open haim|FILE")
	}
	file := args[0]
	if !strings.HasSuffix(file, ".yaml") {
		file = filepath.Join(ts.Getenv("POLICIES"), file+".yaml")
	}
	src, err := readPolicy(ts.MkAbs(file))
	ts.Check(err)
	p, err := consent.ParsePolicy(src)
	ts.Check(err)
	ts.Setenv("POLICY", p.ID())
	ts.Setenv("VERSION", p.Version())
	cmdServe(ts, false, []string{"s", "--init", "--dir", "L", "--policy", file, "--origin", "rows.example/consent"})
	cmdKeys(ts, false, []string{"s.out"})
	ts.Setenv("KEY", ts.Getenv("ADMIN"))
	for _, role := range []string{"reader", "dpo", "auditor"} {
		status, b := callOf(ts, http.MethodPost, "/v1/keys", fmt.Sprintf(`{"role":%q,"name":"rows-%s"}`, role, role))
		var k struct{ Key string }
		if err := json.Unmarshal(b, &k); err != nil || status != http.StatusCreated {
			ts.Fatalf("a key for a %s: %d %s", role, status, b)
		}
		ts.Setenv(strings.ToUpper(role), k.Key)
	}
	ts.Setenv("KEY", ts.Getenv("WRITER"))
}

// cmdAs takes the key of a role, or none: as dpo, as nobody.
func cmdAs(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: as writer|reader|dpo|auditor|admin|nobody")
	}
	key := ts.Getenv(strings.ToUpper(args[0]))
	if key == "" && args[0] != "nobody" {
		ts.Fatalf("there is no key of role %s", args[0])
	}
	ts.Setenv("KEY", key)
}

// cmdSound checks the ledger in L, also with the root key, beside its server
// and again after it was stopped.
func cmdSound(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: sound")
	}
	verify := []string{"0", "consentledger", "verify", "--dir", "L", "--key", ts.Getenv("PUBLIC")}
	deep := append(slices.Clone(verify), "--deep")
	if running(ts)["s"] != nil {
		cmdRC(ts, false, deep)
		cmdHalt(ts, false, []string{"s"})
	}
	cmdRC(ts, false, verify)
	cmdRC(ts, false, deep)
}

// cmdDestroyed checks how many entries of L are destroyed; the check opens every
// other one:
//
//	destroyed 7
//	destroyed 7 soon   or will be, by what the server does by itself
func cmdDestroyed(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: destroyed COUNT [soon]")
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		out, err := command(ts, "consentledger", "verify", "--deep", "--dir", "L", "--json").Output()
		var report struct {
			Intact bool
			Deep   struct{ Destroyed uint64 }
		}
		if e := json.Unmarshal(out, &report); err != nil || e != nil || !report.Intact {
			ts.Fatalf("verify --deep: %v: %s", err, out)
		}
		got := strconv.FormatUint(report.Deep.Destroyed, 10)
		switch {
		case got == args[0]:
			return
		case len(args) == 1 || time.Now().After(end):
			ts.Fatalf("%s entries are destroyed and not %s", got, args[0])
		}
	}
}

// cmdRevise makes a policy file of another, with its texts inline:
//
//	revise v2.yaml haim 'version: "2025-01-01" => version: "TODAY+30d"' …
//
// What is to be replaced must be there once; an empty right side removes it,
// and \n is the end of a line.
func cmdRevise(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: revise NEW OLD 'this => that'…")
	}
	old := args[1]
	if !strings.HasSuffix(old, ".yaml") {
		old = filepath.Join(ts.Getenv("POLICIES"), old+".yaml")
	}
	text := ts.ReadFile(old)
	for _, change := range args[2:] {
		this, that, ok := strings.Cut(strings.ReplaceAll(change, `\n`, "\n"), "=>")
		this, that = strings.TrimSuffix(this, " "), dated(ts, strings.TrimPrefix(that, " "))
		if n := strings.Count(text, this); !ok || n != 1 {
			ts.Fatalf("%q is there %d times", this, n)
		}
		text = strings.Replace(text, this, that, 1)
	}
	dir := os.DirFS(filepath.Dir(ts.MkAbs(old)))
	src, err := consent.InlineTexts([]byte(text), func(name string) ([]byte, error) { return fs.ReadFile(dir, name) })
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), src, 0o600))
}

// cmdAnswer looks into the last answer:
//
//	answer notify.0.recipient parcel-co
//	answer kept.*.class contract,payment     of each row, in their order
//	answer correction ~^cor_                 a pattern
//	answer policy_version none               it is not there
func cmdAnswer(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: [!] answer PATH VALUE")
	}
	text := ts.ReadFile("stdout")
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		ts.Fatalf("the answer is not JSON: %v: %s", err, text)
	}
	got, want := shown(at(v, strings.Split(args[0], "."))), dated(ts, args[1])
	same := got == want || sameTime(got, want)
	if p, ok := strings.CutPrefix(want, "~"); ok {
		same = regexp.MustCompile(p).MatchString(got)
	}
	if same == neg {
		ts.Fatalf("%s is %s, and is %sto be %s, in %s", args[0], got, map[bool]string{true: "not "}[neg], want, text)
	}
}

// sameTime says whether two texts name one moment.
func sameTime(a, b string) bool {
	x, errX := time.Parse(time.RFC3339, a)
	y, errY := time.Parse(time.RFC3339, b)
	return errX == nil && errY == nil && x.Equal(y)
}

type absent struct{}

// at follows a path into JSON. Each * stands for every element of a list.
func at(v any, path []string) any {
	if len(path) == 0 {
		return v
	}
	switch v := v.(type) {
	case map[string]any:
		if e, ok := v[path[0]]; ok {
			return at(e, path[1:])
		}
	case []any:
		if path[0] == "*" {
			all := make([]any, len(v))
			for i, e := range v {
				all[i] = at(e, path[1:])
			}
			return all
		}
		if i, err := strconv.Atoi(path[0]); err == nil && i < len(v) {
			return at(v[i], path[1:])
		}
		if path[0] == "count" {
			return len(v)
		}
	}
	return absent{}
}

func shown(v any) string {
	switch v := v.(type) {
	case absent:
		return "none"
	case nil:
		return "null"
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = shown(e)
		}
		return strings.Join(parts, ",")
	case map[string]any:
		b, _ := json.Marshal(v)
		return string(b)
	}
	return fmt.Sprint(v)
}

// cmdRefuse makes a call that must be refused with a code. Then nothing is
// recorded, and the answer is a problem that says what to do, in Korean too
// where that is asked for, and by which row if it is the rules that refuse. It
// repeats none of what the member gave:
//
//	refuse 422 under_age POST /v1/consents '{…}'
func cmdRefuse(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 4 {
		ts.Fatalf("usage: refuse STATUS CODE METHOD PATH [BODY|HEADER: VALUE…]")
	}
	before := recorded(ts)
	status, b := callOf(ts, args[2], args[3], args[4:]...)
	_, _ = ts.Stdout().Write(b)
	var p struct{ Code, Title, Detail, Rule string }
	if err := json.Unmarshal(b, &p); err != nil || strconv.Itoa(status) != args[0] || p.Code != args[1] {
		ts.Fatalf("it answers %d %s instead of %s %s: %s", status, p.Code, args[0], args[1], b)
	}
	if p.Title == "" || p.Detail == "" {
		ts.Fatalf("the refusal does not say what to do: %s", b)
	}
	if byRules := status == 409 || status == 422 || status == 403 && p.Code != "role_not_allowed"; byRules && p.Rule == "" {
		ts.Fatalf("the rules refuse it, and it does not say which: %s", b)
	}
	if _, ko := callOf(ts, args[2], args[3], append([]string{"Accept-Language: ko"}, args[4:]...)...); !hangul.Match(ko) || !bytes.Contains(ko, []byte(`"code":"`+p.Code+`"`)) {
		ts.Fatalf("asked for it in Korean it answers %s", ko)
	}
	// A sweep may write on its own meanwhile, as once after midnight. A call that is recorded though it
	// is refused is so every time.
	for tries := 0; ; tries++ {
		after := recorded(ts)
		if after == before {
			break
		}
		if tries == 3 {
			ts.Fatalf("it was refused and %d entries were recorded, every time", after-before)
		}
		before = recorded(ts)
		callOf(ts, args[2], args[3], args[4:]...)
	}
	for _, a := range args[4:] {
		for _, m := range givenPattern.FindAllStringSubmatch(a, -1) {
			if bytes.Contains(b, []byte(m[1])) {
				ts.Fatalf("the refusal repeats what the member gave: %s", b)
			}
		}
	}
}

// hangul matches a title and a detail in Korean.
var hangul = regexp.MustCompile(`"title":"[^"]*\p{Hangul}[^"]*",.*"detail":"[^"]*\p{Hangul}`)

// givenPattern finds the values in a body that are the member's own.
var givenPattern = regexp.MustCompile(`"(?:member_id|old|new|birth_date|reason|ground)":"([^"]{4,})"`)

// recorded is the number of entries in L, by its server's control socket.
func recorded(ts *testscript.TestScript) uint64 {
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return server.DialControl(ctx, ts.MkAbs("L"))
	}}, Timeout: 10 * time.Second}
	resp, err := c.Get("http://control/control/info")
	ts.Check(err)
	defer resp.Body.Close()
	var info struct{ Size uint64 }
	ts.Check(json.NewDecoder(resp.Body).Decode(&info))
	return info.Size
}

// cmdAwait repeats a call until its answer matches a pattern, for what a
// server does by itself:
//
//	await '"state":"withdrawn"' POST /v1/lookups '{…}'
func cmdAwait(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: await PATTERN METHOD PATH [BODY|HEADER: VALUE…]")
	}
	re := regexp.MustCompile(args[0])
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		_, b := callOf(ts, args[1], args[2], args[3:]...)
		if re.Match(b) {
			_, _ = ts.Stdout().Write(b)
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("after 30 s it still answers %s", b)
		}
	}
}

// cmdRest waits until the server has recorded nothing for a while by itself.
func cmdRest(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: rest")
	}
	for before := recorded(ts); ; {
		time.Sleep(250 * time.Millisecond)
		after := recorded(ts)
		if after == before {
			return
		}
		before = after
	}
}

// options takes key=value out of a command's arguments.
func options(ts *testscript.TestScript, args []string, known ...string) (rest []string, opt map[string]string) {
	opt = map[string]string{}
	for _, a := range args {
		k, v, ok := strings.Cut(a, "=")
		if !ok {
			rest = append(rest, a)
			continue
		}
		if !slices.Contains(known, k) {
			ts.Fatalf("no such option: %s", k)
		}
		opt[k] = dated(ts, v)
	}
	return rest, opt
}

// post makes a call that a command has put together; its answer becomes stdout
// when the command ends.
func post(ts *testscript.TestScript, want int, path string, body map[string]any) (answer []byte) {
	b, err := json.Marshal(body)
	ts.Check(err)
	status, answer := callOf(ts, http.MethodPost, path, string(b))
	_, _ = ts.Stdout().Write(answer)
	if status != want {
		ts.Fatalf("%s %s answers %d instead of %d: %s", path, b, status, want, answer)
	}
	return answer
}

// cmdDecide asks for a decision and checks it: the reason says whether it is a
// yes.
//
//	decide shopper-1 marketing withdrawn [items=email,name] [recipient=…] [at=TIME]
func cmdDecide(ts *testscript.TestScript, neg bool, args []string) {
	args, opt := options(ts, args, "items", "recipient", "at")
	if neg || len(args) != 3 {
		ts.Fatalf("usage: decide MEMBER PURPOSE REASON [items=…] [recipient=…] [at=…]")
	}
	body := map[string]any{"member_id": args[0], "purpose": args[1]}
	if v, ok := opt["items"]; ok {
		body["items"] = strings.Split(v, ",")
	}
	for _, k := range []string{"recipient", "at"} {
		if v, ok := opt[k]; ok {
			body[k] = v
		}
	}
	text := post(ts, http.StatusOK, "/v1/decisions", body)
	var a struct {
		Allowed bool
		Reason  string
	}
	ts.Check(json.Unmarshal(text, &a))
	if yes := args[2] == "consent_in_force" || args[2] == "basis_in_force"; a.Reason != args[2] || a.Allowed != yes {
		ts.Fatalf("%s is decided with %s", args[1], text)
	}
}

// cmdState looks a member up: state shopper-1 active|dormant|withdrawn|unknown.
// REF becomes the member's.
func cmdState(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: state MEMBER STATE")
	}
	status, b := callOf(ts, http.MethodPost, "/v1/lookups", fmt.Sprintf(`{"member_id":%q}`, args[0]))
	var a struct{ Member, State string }
	ts.Check(json.Unmarshal(b, &a))
	if status == http.StatusNotFound {
		a.State = "unknown"
	}
	if a.State != args[1] {
		ts.Fatalf("the member is %s: %d %s", a.State, status, b)
	}
	ts.Setenv("REF", a.Member)
}

// decisions reads purposes as a script writes them: marketing is granted,
// -marketing refused, ?cookies_marketing to be asked each time;
// membership:user_id,email names items, partner_offers@partner-brand recipients.
func decisions(words []string) (all []any) {
	for _, w := range words {
		d := map[string]any{"decision": "granted"}
		switch w[0] {
		case '-':
			d["decision"], w = "refused", w[1:]
		case '?':
			d["decision"], w = "ask", w[1:]
		}
		if purpose, names, ok := strings.Cut(w, "@"); ok {
			w, d["recipients"] = purpose, strings.Split(names, ",")
		}
		if purpose, names, ok := strings.Cut(w, ":"); ok {
			w, d["items"] = purpose, strings.Split(names, ",")
		}
		d["purpose"] = w
		all = append(all, d)
	}
	return all
}

func consentOf(ts *testscript.TestScript, id string, purposes []string, opt map[string]string) map[string]any {
	body := map[string]any{
		"member_id": id, "policy": ts.Getenv("POLICY"), "policy_version": ts.Getenv("VERSION"), "decisions": decisions(purposes),
		"method": "checkbox", "locale": "ko", "occurred_at": dated(ts, "NOW"),
	}
	for k, field := range map[string]string{"reference": "reference", "kind": "member_kind", "locale": "locale", "version": "policy_version", "policy": "policy"} {
		if v, ok := opt[k]; ok {
			body[field] = v
		}
	}
	return body
}

// cmdEnrol enrols a member: enrol shopper-1 KIND PURPOSE… REF becomes theirs.
func cmdEnrol(ts *testscript.TestScript, neg bool, args []string) {
	args, opt := options(ts, args, "reference", "locale", "version", "policy")
	if neg || len(args) < 3 {
		ts.Fatalf("usage: enrol MEMBER KIND PURPOSE…")
	}
	body := consentOf(ts, args[0], args[2:], opt)
	body["enrol"], body["member_kind"], body["minimum_age_confirmed"] = true, args[1], true
	var a struct{ Member string }
	ts.Check(json.Unmarshal(post(ts, http.StatusCreated, "/v1/consents", body), &a))
	ts.Setenv("REF", a.Member)
}

// cmdGrant records more of a member's decisions: grant shopper-1 PURPOSE…
func cmdGrant(ts *testscript.TestScript, neg bool, args []string) {
	args, opt := options(ts, args, "reference", "locale", "kind", "version", "policy")
	if neg || len(args) < 2 {
		ts.Fatalf("usage: grant MEMBER PURPOSE…")
	}
	post(ts, http.StatusCreated, "/v1/consents", consentOf(ts, args[0], args[1:], opt))
}

// cmdTakeBack withdraws purposes: take-back shopper-1 PURPOSE… [items=…]
func cmdTakeBack(ts *testscript.TestScript, neg bool, args []string) {
	args, opt := options(ts, args, "items")
	if neg || len(args) < 2 {
		ts.Fatalf("usage: take-back MEMBER PURPOSE…")
	}
	body := map[string]any{"member_id": args[0], "purposes": args[1:]}
	if v, ok := opt["items"]; ok {
		body["items"] = strings.Split(v, ",")
	}
	post(ts, http.StatusCreated, "/v1/withdrawals", body)
}

// cmdLeave withdraws a membership.
func cmdLeave(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: leave MEMBER")
	}
	post(ts, http.StatusCreated, "/v1/withdrawals", map[string]any{"member_id": args[0], "scope": "membership"})
}

// cmdDisclose discloses, or is refused with a code and nothing recorded:
//
//	disclose shopper-1 parcel-co delivery name,address yes|CODE [reference=…] [basis=…] [form=…]
func cmdDisclose(ts *testscript.TestScript, neg bool, args []string) {
	args, opt := options(ts, args, "reference", "basis", "form")
	if neg || len(args) != 5 {
		ts.Fatalf("usage: disclose MEMBER RECIPIENT PURPOSE ITEMS yes|CODE [reference=…] [basis=…] [form=…]")
	}
	body := map[string]any{
		"recipient": args[1], "purpose": args[2], "items": strings.Split(args[3], ","), "occurred_at": dated(ts, "NOW"),
	}
	if args[0] != "nobody" {
		body["member_id"] = args[0]
	}
	for k, v := range opt {
		body[k] = v
	}
	if args[4] == "yes" {
		post(ts, http.StatusCreated, "/v1/disclosures", body)
		return
	}
	b, err := json.Marshal(body)
	ts.Check(err)
	cmdRefuse(ts, false, []string{"403", args[4], http.MethodPost, "/v1/disclosures", string(b)})
}
