package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// image is a copy of every file of a data directory at some moment, and, for
// the control, of the root-key file of that moment. No attacker has the latter:
// it is in no backup.
type image struct {
	when      string
	at        time.Time
	dir, root string
}

func copyFiles(t testing.TB, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		if !d.Type().IsRegular() {
			return nil // the control socket
		}
		b, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			return nil // merged away in the meantime
		}
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), b, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// relabelled is today's root key under the number of an older one, as somebody
// would write it who wants an old image to open. The layout is in FORMAT.md.
func relabelled(t testing.TB, today, old []byte) []byte {
	t.Helper()
	const generation, key, sum = 24, 32, 64
	slot := func(file []byte) []byte {
		for at := 0; at+4096 <= len(file); at += 4096 {
			if bytes.HasPrefix(file[at:], []byte("clroot\n")) {
				return file[at : at+4096]
			}
		}
		t.Fatal("there is no key in the root-key file")
		return nil
	}
	out := make([]byte, len(today))
	copy(out, slot(today))
	copy(out[generation:key], slot(old)[generation:key])
	digest := sha256.Sum256(out[:sum])
	copy(out[sum:], digest[:])
	return out
}

// needlesOf are the ways in which a text may stand in a file in the clear.
func needlesOf(texts ...string) (needles [][]byte) {
	for _, text := range texts {
		needles = append(needles, []byte(text), []byte(hex.EncodeToString([]byte(text))))
		for pad := range 3 { // base64 at each alignment, without the ends
			enc := base64.StdEncoding.EncodeToString(append(make([]byte, pad), text...))
			needles = append(needles, []byte(enc[4:len(enc)-4]))
		}
	}
	return needles
}

func inTheClear(t testing.TB, dir string, needles [][]byte) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, n := range needles {
			if bytes.Contains(b, n) {
				files = append(files, path)
				break
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestRow_C7_what_is_destroyed_cannot_be_recovered takes copies of every file of
// the data directory at many moments, also while the server writes, destroys
// members by leaving and by the clock, and then has every copy and the root key
// of the end. What the pages of the keyring give an attacker who takes them
// apart is tested where they are made, in ledger/closure_test.go.
func TestRow_C7_what_is_destroyed_cannot_be_recovered(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	clock := filepath.Join(dir, "clock")
	if err := writeClock(clock, rowsBegin); err != nil {
		t.Fatal(err)
	}
	env := []string{"CONSENTLEDGER_TEST_CLOCK=" + clock}
	bin := clockedBinary(t)
	s := startBinary(t, bin, env, dir, "--init")
	const id, oldName, newName = "quagga-c7@privat.example", "Okapi Zebrowska", "Okapi Quaggason"
	data, root := filepath.Join(dir, "data"), filepath.Join(dir, "data-root", "root.key")

	var images []image
	var mu sync.Mutex
	take := func(when string) {
		mu.Lock()
		n := len(images)
		images = append(images, image{})
		mu.Unlock()
		at := filepath.Join(dir, fmt.Sprintf("image-%02d", n))
		now, err := readClock(clock)
		if err != nil {
			t.Error(err)
		}
		key, err := os.ReadFile(root)
		if err != nil {
			t.Error(err)
			return
		}
		copyFiles(t, data, filepath.Join(at, "data"))
		if err := os.WriteFile(filepath.Join(at, "root.key"), key, 0o600); err != nil {
			t.Error(err)
		}
		mu.Lock()
		images[n] = image{when, now, filepath.Join(at, "data"), filepath.Join(at, "root.key")}
		mu.Unlock()
	}
	must := func(path string, body map[string]any) {
		t.Helper()
		if _, err := s.call(http.MethodPost, path, s.key, body, nil); err != nil {
			t.Fatal(err)
		}
	}
	join := func(id string) {
		t.Helper()
		c := consentCall(id, true)
		c["occurred_at"] = rowsBegin.Format(time.RFC3339)
		must("/v1/consents", c)
	}
	buy := func(id string) {
		t.Helper()
		must("/v1/consents", map[string]any{
			"member_id": id, "member_kind": "purchasing_member", "policy": "haim", "policy_version": "2025-01-01", "method": "button",
			"locale": "ko", "reference": "order-1", "occurred_at": rowsBegin.Format(time.RFC3339),
			"decisions": []any{map[string]any{"purpose": "order", "decision": "granted"}, map[string]any{"purpose": "payment", "decision": "granted"}},
		})
	}
	leave := func(id string) {
		t.Helper()
		must("/v1/withdrawals", map[string]any{"member_id": id, "scope": "membership"})
	}
	living := func(s *process, id string) bool {
		t.Helper()
		var a struct{ State string }
		status, err := s.call(http.MethodPost, "/v1/lookups", s.key, map[string]any{"member_id": id}, &a)
		if status != http.StatusOK && status != http.StatusNotFound {
			t.Fatal(err)
		}
		return a.State == "active"
	}

	take("before anybody")
	join(id)
	must("/v1/corrections", map[string]any{"member_id": id, "changes": []any{map[string]any{"item": "name", "old": oldName, "new": newName}}})
	join("buyer-c7@privat.example")
	buy("buyer-c7@privat.example")
	for i := range 20 {
		join(fmt.Sprintf("other-%d", i))
	}
	take("with the member")
	control := len(images) - 1

	// While it runs: appends, and destructions of others, under the copying.
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				join(fmt.Sprintf("under-way-%d", i))
				if i%3 == 0 {
					leave(fmt.Sprintf("under-way-%d", i))
				}
			}
		}
	})
	for range 5 {
		take("while the server writes")
	}
	close(stop)
	wg.Wait()
	take("right before the member leaves")

	leave(id)
	leave("buyer-c7@privat.example") // of whom the law keeps something, for five years
	left := len(images)
	take("right after the member left")
	for i := range 10 {
		join(fmt.Sprintf("later-%d", i))
	}
	take("some commits later")
	if err := writeClock(clock, rowsBegin.AddDate(5, 0, 1)); err != nil {
		t.Fatal(err)
	}
	if err := sweepNow(clock); err != nil {
		t.Fatal(err)
	}
	take("after what was kept had run out")
	if living(s, id) || living(s, "buyer-c7@privat.example") || !living(s, "other-3") {
		t.Error("control: those who left are there, or somebody who did not is not")
	}
	key, admin := s.key, s.admin
	s.stop(t, syscall.SIGTERM)
	take("at the end")
	end := len(images) - 1

	needles := needlesOf(id, oldName, newName, "buyer-c7@privat.example")
	for _, im := range images {
		if found := inTheClear(t, im.dir, needles); len(found) > 0 {
			t.Errorf("%s: what a member gave stands in the clear in %v", im.when, found)
		}
	}
	if err := os.WriteFile(filepath.Join(images[0].dir, "planted"), []byte("… "+id+" …"), 0o600); err != nil {
		t.Fatal(err)
	}
	if len(inTheClear(t, images[0].dir, needles)) != 1 {
		t.Error("control: a planted member id is not found")
	}
	if err := os.Remove(filepath.Join(images[0].dir, "planted")); err != nil {
		t.Fatal(err)
	}

	// Every copy that was taken before the end, with today's root key: as it is,
	// and under the number of the key that the copy asks for.
	today, err := os.ReadFile(root)
	if err != nil {
		t.Fatal(err)
	}
	try := func(im image, rootKey []byte) (s *process, out string) {
		t.Helper()
		at := t.TempDir()
		copyFiles(t, im.dir, filepath.Join(at, "data"))
		if err := os.WriteFile(filepath.Join(at, "root.key"), rootKey, 0o600); err != nil {
			t.Fatal(err)
		}
		// By the time of the copy, which is what an attacker would choose.
		clock := filepath.Join(at, "clock")
		if err := writeClock(clock, im.at); err != nil {
			t.Fatal(err)
		}
		env := []string{"CONSENTLEDGER_TEST_CLOCK=" + clock}
		cmd := exec.Command(bin, "verify", "--deep", "--dir", filepath.Join(at, "data"), "--root", filepath.Join(at, "root.key"), "--accept-weak-root")
		cmd.Env = append(os.Environ(), env...)
		b, err := cmd.CombinedOutput()
		if err != nil {
			return nil, string(b)
		}
		return startBinary(t, bin, env, at, "--root", filepath.Join(at, "root.key")), string(b)
	}
	sameKey := func(im image) bool {
		b, err := os.ReadFile(im.root)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Equal(relabelled(t, today, b), relabelled(t, b, b))
	}
	refused := 0
	for _, im := range images {
		old, err := os.ReadFile(im.root)
		if err != nil {
			t.Fatal(err)
		}
		if sameKey(im) {
			continue // of the time after the last destruction
		}
		for how, key := range map[string][]byte{"": today, ", relabelled": relabelled(t, today, old)} {
			s, out := try(im, key)
			if s != nil {
				s.stop(t, syscall.SIGTERM)
				t.Errorf("a copy taken %s opens with today's root key%s: %s", im.when, how, out)
			}
			refused++
		}
	}
	if refused < 2*(left+1) {
		t.Errorf("only %d tries were made", refused)
	}

	// Control: a copy with the root key that it had then gives the member, and so
	// does the ledger of today those who stayed.
	old, err := os.ReadFile(images[control].root)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		im    image
		root  []byte
		there bool
	}{{images[control], old, true}, {images[end], today, false}} {
		s, out := try(c.im, c.root)
		if s == nil {
			t.Fatalf("control: a copy taken %s does not open with the root key of its own: %s", c.im.when, out)
		}
		s.key, s.admin = key, admin
		if got := living(s, id); got != c.there {
			t.Errorf("control: a copy taken %s with the root key of its own: the member is there: %v", c.im.when, got)
		}
		if !living(s, "other-3") {
			t.Errorf("control: a copy taken %s does not give who stayed", c.im.when)
		}
		s.stop(t, syscall.SIGTERM)
	}
	verifyClocked(t, bin, env, dir)
}

// verifyClocked checks a ledger that no server holds, without its keys and with
// them.
func verifyClocked(t testing.TB, bin string, env []string, dir string) {
	t.Helper()
	for _, deep := range [][]string{nil, {"--deep", "--accept-weak-root"}} {
		cmd := exec.Command(bin, append([]string{"verify", "--dir", filepath.Join(dir, "data")}, deep...)...)
		cmd.Env = append(os.Environ(), env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("verify %v: %v\n%s", deep, err, out)
		}
	}
}

// shared finds two entries that have eight bytes in common, from the tag on:
// what stands before it (version, time, the hash of the entry before) shows
// time and order, which everybody may know.
func shared(entries [][]byte) (a, b int) {
	const tag = 1 + 8 + 32
	seen := map[uint64]int{}
	for i, e := range entries {
		for at := tag; at+8 <= len(e); at++ {
			w := binary.BigEndian.Uint64(e[at:])
			if j, ok := seen[w]; ok && j != i {
				return j, i
			}
			seen[w] = i
		}
	}
	return -1, -1
}

// TestRow_C9_the_chain_verifies_and_links_nobody looks at the log as anybody can
// who has it: after a destruction it verifies as before, and of the entries that
// were destroyed no two have anything in common, nor with those of anybody else.
func TestRow_C9_the_chain_verifies_and_links_nobody(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	clock := filepath.Join(dir, "clock")
	if err := writeClock(clock, rowsBegin); err != nil {
		t.Fatal(err)
	}
	env := []string{"CONSENTLEDGER_TEST_CLOCK=" + clock}
	bin := clockedBinary(t)
	s := startBinary(t, bin, env, dir, "--init")
	call := func(path string, body map[string]any) consentAnswer {
		t.Helper()
		var a consentAnswer
		if _, err := s.call(http.MethodPost, path, s.key, body, &a); err != nil {
			t.Fatal(err)
		}
		return a
	}
	// Each call of the member twice and three times over, so that what is equal
	// inside would show outside if it could; and of somebody else the same.
	var gone []uint64
	ref := ""
	for range 3 {
		for _, id := range []string{"leaver", "stayer"} {
			c := consentCall(id, true)
			c["occurred_at"] = rowsBegin.Format(time.RFC3339)
			a := call("/v1/consents", c)
			b := call("/v1/disclosures", map[string]any{
				"member_id": id, "recipient": "it-vendor", "purpose": "membership", "items": []string{"email"}, "occurred_at": rowsBegin.Format(time.RFC3339),
			})
			if id == "leaver" {
				ref = a.Member
				for _, e := range append(a.Entries, b.Entries...) {
					gone = append(gone, e.Index)
				}
			}
		}
	}
	verifyRunning := func(when string) {
		t.Helper()
		cmd := exec.Command(bin, "verify", "--dir", filepath.Join(dir, "data"))
		cmd.Env = append(os.Environ(), env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: verify: %v\n%s", when, err, out)
		}
	}
	verifyRunning("before")
	log := func() (entries [][]byte) {
		for i := 0; ; i++ {
			var e struct{ Entry []byte }
			status, err := s.call(http.MethodGet, fmt.Sprintf("/v1/entries/%d", i), s.key, nil, &e)
			if status == http.StatusNotFound {
				return entries
			}
			if err != nil {
				t.Fatal(err)
			}
			entries = append(entries, e.Entry)
		}
	}
	before := log()
	call("/v1/withdrawals", map[string]any{"member_id": "leaver", "scope": "membership"})
	verifyRunning("after")
	after := log()
	if len(after) <= len(before) || len(gone) < 9 {
		t.Fatalf("%d entries before, %d after, %d of them destroyed", len(before), len(after), len(gone))
	}
	for i := range before {
		if !bytes.Equal(before[i], after[i]) {
			t.Fatalf("entry %d is not what it was", i)
		}
	}
	if a, b := shared(after); a >= 0 {
		t.Errorf("entries %d and %d can be linked: they have eight bytes in common", a, b)
	}
	// Control: two entries under one tag would be seen.
	linked := bytes.Clone(after[gone[0]])
	copy(linked[41:57], after[gone[1]][41:57])
	if a, _ := shared([][]byte{after[gone[1]], linked}); a < 0 {
		t.Error("control: two entries with one tag are not seen")
	}
	// Their sizes are the buckets', not the contents'.
	for _, i := range gone {
		if n := len(after[i]) - (1 + 8 + 32 + 16 + 32 + 32 + 12 + 16); n != 256 && n != 512 && n != 1024 {
			t.Errorf("a destroyed entry has %d bytes of content: its size tells more than it need", n)
		}
	}
	// Nobody but those who stayed is known any more, by id or ref, to anybody.
	var dpo struct{ Key string }
	if _, err := s.call(http.MethodPost, "/v1/keys", s.admin, map[string]any{"role": "dpo", "name": "officer"}, &dpo); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]int{"leaver": http.StatusNotFound, "stayer": http.StatusOK} {
		if status, _ := s.call(http.MethodPost, "/v1/lookups", dpo.Key, map[string]any{"member_id": id}, nil); status != want {
			t.Errorf("a lookup of the %s answers %d", id, status)
		}
	}
	req, err := http.NewRequest(http.MethodGet, s.url+"/v1/members/"+ref+"/history", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+dpo.Key)
	req.Header.Set("Access-Reason", "what is left")
	resp, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("the ref of who left is answered with %d", resp.StatusCode)
	}
	s.stop(t, syscall.SIGTERM)
	b, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), ref) || strings.Contains(string(b), "leaver") {
		t.Error("the server's log names who left")
	}
	verifyClocked(t, bin, env, dir)
}
