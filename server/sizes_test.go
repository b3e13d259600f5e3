package server

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"consentledger/ledger"
	"consentledger/ledger/chain"
	"consentledger/ledger/store"
	"consentledger/server/api"
)

// A growing shop is one ledger that is served, really, and verified from elsewhere at one size after the other.
type growing struct {
	*shop
	t       *testing.T
	log     servedLog
	witness note.Signer
	signs   string // the witness's key
	consent int    // the next member's number
}

func newGrowing(t *testing.T) *growing {
	t.Helper()
	g := &growing{t: t, shop: newEmptyShop(t, 0, func(s store.Store) store.Store { return s })}
	// Without those who watch what other tests are answered: here the answers are many and long.
	g.server.handler = g.server.router(g.server.routes(), false)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- g.server.Serve(ctx, ln) }()
	g.url, g.client = "http://"+ln.Addr().String(), &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	t.Cleanup(func() {
		g.client.CloseIdleConnections()
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	var seed [ed25519.SeedSize]byte
	_, _ = rand.Read(seed[:]) // it never fails
	// One of ours, because it has to go by the shop's clock; who verifies it is from elsewhere.
	if g.witness, g.signs, err = chain.NewCosigner("witness.example/sizes", seed, func() time.Time { return testNow }); err != nil {
		t.Fatal(err)
	}
	g.log = servedLog{client: g.client, url: g.url, origin: "ledger.example/shop", key: g.ledger.PublicKey()}
	return g
}

// head waits for a head to be served, and returns what it covers.
func (g *growing) head() (uint64, []byte) {
	g.t.Helper()
	var msg []byte
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		var err error
		if msg, err = g.log.get("checkpoint"); err == nil {
			break
		}
		if time.Now().After(end) {
			g.t.Fatal(err)
		}
	}
	size, err := strconv.ParseUint(strings.Split(string(msg), "\n")[1], 10, 64)
	if err != nil {
		g.t.Fatal(err)
	}
	return size, msg
}

// to makes the served head cover so many entries, exactly: each line and each call is one entry.
func (g *growing) to(size uint64) {
	g.t.Helper()
	switch size {
	case 0:
	case 1:
		g.addKey(ledger.RoleAdmin)
		g.log.token = g.keys[ledger.RoleAdmin]
	default:
		g.furnish()
		if more := size - 1 - g.ledger.Size(); more > 0 {
			g.batch(int(more))
		}
		g.consent++
		must[api.ConsentAnswer](g.shop, 201, ledger.RoleWriter, "POST", "/v1/consents", oneClass(g.consent))
	}
	if size > 0 {
		must[api.EntryProof](g.shop, 200, ledger.RoleAdmin, "GET", fmt.Sprintf("/v1/entries/%d", size-1), "") // publishes a head
	}
	have, msg := g.head()
	if have != size {
		g.t.Fatalf("the head covers %d entries, want %d", have, size)
	}
	if g.log.witness != "" {
		g.cosign(size, msg)
	}
}

// furnish gives the shop what it needs to take consents, and a witness.
func (g *growing) furnish() {
	if g.log.witness != "" {
		return
	}
	g.t.Helper()
	g.addKey(ledger.RoleWriter)
	g.postPolicy()
	g.log.witness = g.signs
	must[api.WitnessAnswer](g.shop, 201, ledger.RoleAdmin, "POST", "/v1/witnesses",
		fmt.Sprintf(`{"url":"https://witness.example/sizes","key":%q}`, g.log.witness))
}

// cosign lets the witness sign the head that is served, as it would when it was pushed to it.
func (g *growing) cosign(size uint64, msg []byte) {
	g.t.Helper()
	text, _, _ := bytes.Cut(msg, []byte("\n\n"))
	signed, err := note.Sign(&note.Note{Text: string(text) + "\n"}, g.witness)
	if err != nil {
		g.t.Fatal(err)
	}
	_, line, _ := bytes.Cut(signed, []byte("\n\n"))
	if err := g.ledger.Cosign(size, g.log.witness, line); err != nil {
		g.t.Fatal(err)
	}
}

// oneClass is a consent that is one entry, of one of some hundred members.
func oneClass(n int) string {
	return `{"member_id":"sizes-` + strconv.Itoa(n%199) + `","enrol":true,"member_kind":"member","policy":"haim","policy_version":"2025-01-01",` +
		`"decisions":[{"purpose":"membership","decision":"granted","items":["user_id","email","name"]}],` +
		`"method":"checkbox","locale":"en","occurred_at":"2025-03-01T21:00:00+09:00","minimum_age_confirmed":true}`
}

func (g *growing) batch(lines int) {
	g.t.Helper()
	in, out := io.Pipe()
	go func() {
		for range lines {
			g.consent++
			if _, err := io.WriteString(out, `{"type":"consent",`+oneClass(g.consent)[1:]+"\n"); err != nil {
				return // the reader says why
			}
		}
		_ = out.Close()
	}()
	r, err := http.NewRequestWithContext(g.t.Context(), "POST", g.url+"/v1/batch", in)
	if err != nil {
		g.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+g.keys[ledger.RoleWriter])
	r.Header.Set("Content-Type", mediaNDJSON)
	res, err := g.client.Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	answered := readLines(g.t, res.Body)
	for _, l := range answered {
		if l.Status != 201 || len(l.Entries) != 1 {
			g.t.Fatalf("line %d of a batch: %+v", l.Line, l)
		}
	}
	if len(answered) != lines {
		g.t.Fatalf("%d of %d lines were answered", len(answered), lines)
	}
}

// A lie is one answer of which one bit is changed on its way.
type lie struct {
	what, path string
	change     func(answer []byte, flip func([]byte)) []byte // flip is told which bytes it may choose from
	finders    []string                                      // who reads those bytes
}

var (
	wholeLog  = []string{"tessera", "merkle", "tlog"}
	withProof = []string{"merkle", "tlog", "formats"}
	everybody = []string{"tessera", "merkle", "tlog", "note", "formats"}
)

// lies are all kinds that there are of a log of a size.
func (g *growing) lies(size uint64) (all []lie) {
	whole := func(answer []byte, flip func([]byte)) []byte { flip(answer); return answer }
	line := func(n int) func([]byte, func([]byte)) []byte {
		return func(answer []byte, flip func([]byte)) []byte {
			flip(bytes.Split(answer, []byte("\n"))[n])
			return answer
		}
	}
	// A signature's bits, and not its base64's: of the last digit's, some say nothing.
	signature := func(n int) func([]byte, func([]byte)) []byte {
		return func(answer []byte, flip func([]byte)) []byte {
			lines := strings.Split(string(answer), "\n")
			words := strings.Split(lines[n], " ")
			raw, err := base64.StdEncoding.DecodeString(words[2])
			if err != nil {
				panic(err)
			}
			flip(raw)
			words[2] = base64.StdEncoding.EncodeToString(raw)
			lines[n] = strings.Join(words, " ")
			return []byte(strings.Join(lines, "\n"))
		}
	}
	all = []lie{
		{"the head's origin", "checkpoint", line(0), everybody},
		{"the head's size", "checkpoint", line(1), everybody},
		{"the head's root", "checkpoint", line(2), everybody},
		{"the head's signature", "checkpoint", signature(4), everybody},
	}
	if g.log.witness != "" {
		all = append(all, lie{"the witness's signature", "checkpoint", signature(5), []string{"formats"}})
	}
	for level := 0; size>>(8*level) > 0; level++ {
		hashes := size >> (8 * level)
		full, edge := hashes/256, int(hashes%256)
		if full > 0 {
			n := mrand.Uint64N(full)
			all = append(all, lie{fmt.Sprintf("a full tile of level %d", level), tilePath(strconv.Itoa(level), n, 256), whole, wholeLog})
			if level == 0 {
				all = append(all, lie{"a full bundle", tilePath("entries", n, 256), whole, wholeLog})
			}
		}
		if edge > 0 {
			all = append(all, lie{fmt.Sprintf("the partial tile of level %d", level), tilePath(strconv.Itoa(level), full, edge), whole, wholeLog})
			if level == 0 {
				all = append(all, lie{"the partial bundle", tilePath("entries", full, edge), whole, wholeLog})
			}
		}
	}
	if g.log.token == "" {
		return all
	}
	inProof := func(f func(p *api.EntryProof, flip func([]byte))) func([]byte, func([]byte)) []byte {
		return func(answer []byte, flip func([]byte)) []byte {
			var p api.EntryProof
			if err := json.Unmarshal(answer, &p); err != nil {
				panic(err)
			}
			f(&p, flip)
			b, err := json.Marshal(p)
			if err != nil {
				panic(err)
			}
			return b
		}
	}
	path := fmt.Sprintf("v1/entries/%d", size/2)
	all = append(all, lie{"a proved entry", path, inProof(func(p *api.EntryProof, flip func([]byte)) { flip(p.Entry) }), withProof})
	if size > 1 {
		all = append(all, lie{"a hash of a proof", path, inProof(func(p *api.EntryProof, flip func([]byte)) {
			at := mrand.IntN(len(p.Proof))
			h, err := hex.DecodeString(p.Proof[at])
			if err != nil {
				panic(err)
			}
			flip(h)
			p.Proof[at] = hex.EncodeToString(h)
		}), withProof})
	}
	return append(all, lie{"the head of a proof", path, inProof(func(p *api.EntryProof, flip func([]byte)) {
		lines := strings.Split(p.Checkpoint, "\n")
		root := []byte(lines[2])
		flip(root[:43]) // without the padding
		lines[2] = string(root)
		p.Checkpoint = strings.Join(lines, "\n")
	}), withProof})
}

// lying carries requests to the server, and changes one path's answers.
type lying struct {
	under  http.RoundTripper
	path   string
	change func([]byte) []byte
	asked  atomic.Int64
}

func (l *lying) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := l.under.RoundTrip(r)
	if err != nil || r.URL.Path != "/"+l.path || res.StatusCode != http.StatusOK {
		return res, err
	}
	l.asked.Add(1)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	b = l.change(b)
	res.Body, res.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
	return res, nil
}

// through verifies with all of them beside a lie, and returns who did not pass and who never asked.
func (g *growing) through(path string, change func([]byte) []byte) (found, deaf []string) {
	for _, v := range elsewhere {
		t := &lying{under: g.client.Transport, path: path, change: change}
		log := g.log
		log.client = &http.Client{Transport: t}
		if err := v.verify(log); err != nil {
			found = append(found, v.name)
		}
		if t.asked.Load() == 0 {
			deaf = append(deaf, v.name)
		}
	}
	return found, deaf
}

// bits are those of some bytes that are tried: the first, the last, and some between.
func bits(n, some int) []int {
	all := []int{0, 8*n - 1}
	for range some {
		all = append(all, mrand.IntN(8*n))
	}
	return all
}

// verify lets everybody verify what is served now, and then what is served with one changed bit.
func (g *growing) verify(size uint64, some int) {
	t := g.t
	t.Helper()
	for _, v := range elsewhere {
		begin := time.Now()
		if err := v.verify(g.log); err != nil {
			t.Errorf("%d entries: %s: %v", size, v.name, err)
			continue
		}
		t.Logf("%d entries: %s verifies it, in %v", size, v.name, time.Since(begin).Round(100*time.Microsecond))
	}
	for _, l := range g.lies(size) {
		same := func(answer []byte) []byte { return l.change(answer, func([]byte) {}) }
		found, deaf := g.through(l.path, same)
		if len(found) > 0 {
			t.Fatalf("control: %d entries, %s carried as it is: %v found fault", size, l.what, found)
		}
		for _, name := range l.finders {
			if slices.Contains(deaf, name) {
				t.Errorf("%d entries: %s does not ask for %s", size, name, l.path)
			}
		}
		n := 0 // bytes that a bit can be chosen from
		raw, err := g.log.get(l.path)
		if err != nil {
			t.Fatal(err)
		}
		l.change(raw, func(b []byte) { n = len(b) })
		all := bits(n, some)
		for _, bit := range all {
			flip := func(b []byte) { b[bit/8] ^= 1 << (bit % 8) }
			found, _ := g.through(l.path, func(answer []byte) []byte { return l.change(answer, flip) })
			if !slices.Equal(found, l.finders) {
				t.Errorf("%d entries, bit %d of %s changed: found by %v, want %v", size, bit, l.what, found, l.finders)
			}
		}
		t.Logf("%d entries: %s: as it is it passes; %d times with one bit changed: found each time by %s", size, l.what, len(all), strings.Join(l.finders, ", "))
	}
}

// everyBit changes each bit of the head in turn, of its text as it stands, or every seventh.
func (g *growing) everyBit(size uint64) {
	t := g.t
	t.Helper()
	_, msg := g.head()
	step, tried := 7, 0
	if long {
		step = 1
	}
	own := len(msg) // what the ledger wrote, without the witness's line
	if g.log.witness != "" {
		own = bytes.LastIndexByte(msg[:len(msg)-1], '\n') + 1
	}
	for bit := 0; bit < 8*len(msg); bit += step {
		changed := bytes.Clone(msg)
		changed[bit/8] ^= 1 << (bit % 8)
		if sayTheSame(msg, changed) {
			continue
		}
		tried++
		found, _ := g.through("checkpoint", func([]byte) []byte { return changed })
		if bit < 8*own && !slices.Equal(found, everybody) || !slices.Contains(found, "formats") {
			t.Errorf("%d entries, bit %d of the head's %d bytes changed: found by %v", size, bit, len(msg), found)
		}
	}
	if tried < 200 {
		t.Errorf("only %d bits of the head were tried", tried)
	}
	t.Logf("%d entries: %d bits of the head changed, one after the other: each found by everybody who reads it", size, tried)
}

// sayTheSame says whether two notes differ only in bits of a signature's base64 that stand for nothing:
// those that fill up its last digit. Others' readers pass over them, ours does not.
func sayTheSame(a, b []byte) bool {
	x, y := strings.Split(string(a), "\n"), strings.Split(string(b), "\n")
	if len(x) != len(y) {
		return false
	}
	for i := range x {
		if x[i] == y[i] {
			continue
		}
		nameX, textX, _ := strings.Cut(strings.TrimPrefix(x[i], "— "), " ")
		nameY, textY, _ := strings.Cut(strings.TrimPrefix(y[i], "— "), " ")
		rawX, err1 := base64.StdEncoding.DecodeString(textX)
		rawY, err2 := base64.StdEncoding.DecodeString(textY)
		if i < 4 || nameX != nameY || err1 != nil || err2 != nil || !bytes.Equal(rawX, rawY) {
			return false
		}
	}
	return true
}

func TestVerifiersFromElsewhereVerifyTheRunningServerAndFindAFlippedBitAtEverySizeThatBreaksPeople(t *testing.T) {
	if testing.Short() {
		t.Skip("a thousand verifications")
	}
	sizes, some := []uint64{0, 1, 255, 256, 257}, 1
	if long {
		sizes, some = append(sizes, 65535, 65536, 65537, 70000), 4
	}
	g := newGrowing(t)
	for _, size := range sizes {
		g.to(size)
		more := some
		if long && size <= 257 {
			more = 40
		}
		g.verify(size, more)
		if size == 1 || size == 257 && long {
			g.everyBit(size)
		}
		_, msg := g.head()
		cp, err := g.log.head(msg)
		if err != nil {
			t.Fatal(err)
		}
		g.log.older = append(g.log.older, *cp)
	}
}
