package main

import (
	"testing"

	"consentledger/server"
)

func TestTheRateLimitIsReadStrictly(t *testing.T) {
	for text, want := range map[string]server.RateLimit{
		"": {}, "100/1s": {PerSecond: 100, Burst: 100}, "6000/1m,200": {PerSecond: 100, Burst: 200}, "1/24h": {PerSecond: 1.0 / 86400, Burst: 1},
	} {
		got, err := (&serveCmd{RateLimit: text}).rateLimit()
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"100", "/1s", "100/", "100/s", "0/1s", "-1/1s", "1.5/1s", "100/0s", "100/-1s", "100/1s,", "100/1s,0", "100/1s,-3", "100/1s,2,3", "1/25h",
		"9999999999999999999999/1s", "2000000000/1s", "100/1s,2000000000", "NaN/1s", "100/1s 200",
	} {
		if got, err := (&serveCmd{RateLimit: text}).rateLimit(); err == nil {
			t.Errorf("%q is taken as %+v", text, got)
		}
	}
}
