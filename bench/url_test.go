package bench

import (
	"context"
	"net/http/httptest"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"consentledger/bench/internal/floors"
	"consentledger/cmd/consentledger/datadir"
	"consentledger/ledger"
	"consentledger/ledger/chain"
	"consentledger/ledger/remote"
	"consentledger/ledger/remote/tilestest"
)

// BenchmarkVerifyURL checks the ledger of BenchmarkVerify as a remote log over
// loopback, the server in this process and on the same processors. Its MB/s
// beside those of BenchmarkVerify/Log is what reading over HTTP costs.
func BenchmarkVerifyURL(b *testing.B) {
	dir := filled(b, verified)
	s, err := datadir.OpenReadOnly(datadir.Database(dir))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	log, id, err := ledger.NewLogSource(s, dir)
	if err != nil {
		b.Fatal(err)
	}
	key, err := note.NewVerifier(id.PublicKey)
	if err != nil {
		b.Fatal(err)
	}
	server := httptest.NewServer(tilestest.Handler(log))
	defer server.Close()
	b.SetBytes(verified * int64(floors.EntryBytes))
	b.ReportAllocs()
	for b.Loop() {
		l, err := remote.Open(context.Background(), server.URL, remote.Options{Connections: 8})
		if err != nil {
			b.Fatal(err)
		}
		r, err := chain.Verify(context.Background(), l, chain.VerifyOptions{Verifier: key, Jobs: 8})
		if err != nil || !r.Intact || r.Entries < verified {
			b.Fatal(r, err)
		}
		if _, found, err := l.CheckEdge(r.Edges); err != nil || len(found) > 0 {
			b.Fatal(found, err)
		}
		l.Close()
	}
}
