package bench

import (
	"context"
	"net"
	"testing"
	"time"

	"consentledger/bench/internal/drive"
	"consentledger/ledger"
	"consentledger/server"
)

// BenchmarkServed sends requests to a server in this process, so that one CPU
// profile shows what the whole way costs. What a server of its own does is
// measured by ./load and ./long speed.
func BenchmarkServed(b *testing.B) {
	const enrolled = 10_000
	for _, scenario := range []string{"consent-enrolled", "consent-new", "batch-enrolled", "batch-new", "decision"} {
		b.Run(scenario, func(b *testing.B) {
			l, m := newLedger(b, enrolled)
			admin := ledger.Caller{KeyID: "local", Role: ledger.RoleAdmin, From: "bench"}
			_, token, _, err := l.CreateAPIKey(context.Background(), admin, ledger.NewAPIKey{Role: ledger.RoleWriter, Name: "bench"})
			if err != nil {
				b.Fatal(err)
			}
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			ctx, stop := context.WithCancel(context.Background())
			ended := make(chan error, 1)
			go func() { ended <- server.New(l, server.Options{}).Serve(ctx, ln) }()
			defer func() {
				stop()
				if err := <-ended; err != nil {
					b.Error(err)
				}
			}()
			target, err := drive.ParseTarget("http://"+ln.Addr().String(), token)
			if err != nil {
				b.Fatal(err)
			}
			d := drive.NewDriver(target)
			d.UseMembers(m, enrolled)
			b.ReportAllocs()
			b.ResetTimer()
			r, err := d.Run(ctx, scenario, drive.Plan{Conns: callers, Streams: 2, Duration: time.Hour, Count: uint64(b.N)})
			b.StopTimer()
			if err != nil || r.Failed() != "" {
				b.Fatal(err, r.Failed())
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
		})
	}
}
