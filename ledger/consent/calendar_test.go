package consent_test

import (
	"strings"
	"testing"
	"time"

	"consentledger/ledger/consent"
)

func day(s string) consent.Day {
	return consent.Day(must(time.Parse(time.DateOnly, s)).Unix() / 86400)
}

// The dates are counted by hand by the Korean Civil Act 157 and 160: the first
// day does not count, and a period in months or years ends with the day of the
// last month that has the number of the first.
func TestAKeyDiesTheDayAfterItsPeriod(t *testing.T) {
	r := consent.NewRegister()
	for _, c := range []struct{ keep, from, dies string }{
		{"5y", "2024-02-29", "2029-03-01"},
		{"4y", "2024-02-29", "2028-03-01"},
		{"1y", "2023-02-28", "2024-02-29"},
		{"5y", "2026-03-10", "2031-03-11"},
		{"1mo", "2026-01-31", "2026-03-01"},
		{"1mo", "2024-01-31", "2024-03-01"},
		{"12mo", "2025-12-31", "2027-01-01"},
		{"30d", "2026-03-10", "2026-04-10"},
		{"3y", "2026-12-31", "2030-01-01"},
		{"24mo", "2026-02-28", "2028-02-29"},
	} {
		p := must(consent.ParsePeriod(c.keep))
		if got := r.DiesOn(consent.Rule{Keep: p, From: "entry"}, day(c.from)); got != day(c.dies) {
			t.Errorf("%s from %s: dies on %v, want %s", c.keep, c.from, time.Unix(int64(got)*86400, 0).UTC().Format(time.DateOnly), c.dies)
		}
	}
}

func TestPeriodsAreReadStrictly(t *testing.T) {
	for _, s := range []string{"", "5", "y", "0y", "05y", "-5y", "5 y", "5w", "1.5y", "5Y", "201y", "99999999999999999999y", "٥y"} {
		if p, err := consent.ParsePeriod(s); err == nil {
			t.Errorf("%q is %v", s, p)
		}
	}
	for s, want := range map[string]string{"5y": "5y", "12mo": "1y", "18mo": "18mo", "30d": "30d"} {
		if p, err := consent.ParsePeriod(s); err != nil || p.String() != want {
			t.Errorf("%q is %v, %v", s, p, err)
		}
	}
}

func TestDaysAreTheControllersDays(t *testing.T) {
	r := haim(t)
	for at, want := range map[string]string{
		"2026-03-10T14:59:59Z": "2026-03-10", "2026-03-10T15:00:00Z": "2026-03-11", "1969-12-31T15:00:00Z": "1970-01-01",
	} {
		if got := r.Day(must(time.Parse(time.RFC3339, at))); got != day(want) {
			t.Errorf("%s is day %d, want %s", at, got, want)
		}
	}
	if got := r.DayStart(day("2026-03-11")).UTC().Format(time.RFC3339); got != "2026-03-10T15:00:00Z" {
		t.Errorf("starts %s", got)
	}
}

// Expected from the IANA database as "zdump -v" prints it: clocks that go
// forward at midnight, back at midnight and back to midnight, and a day left out.
func TestADayStartsWhenItsDateFirstShows(t *testing.T) {
	for _, c := range []struct{ zone, day, want string }{
		{"America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00Z"},
		{"America/Sao_Paulo", "2018-02-18", "2018-02-18T03:00:00Z"},
		{"America/Havana", "2025-03-09", "2025-03-09T05:00:00Z"},
		{"America/Havana", "2025-11-02", "2025-11-02T04:00:00Z"}, // 00:00 to 01:00 comes twice
		{"Asia/Seoul", "1988-05-08", "1988-05-07T15:00:00Z"},
		{"Pacific/Apia", "2011-12-31", "2011-12-30T10:00:00Z"}, // the day before never was
	} {
		src := strings.Replace(small, "Asia/Seoul", c.zone, 1)
		r := register(t, []byte(src))
		start := r.DayStart(day(c.day))
		if got := start.UTC().Format(time.RFC3339); got != c.want {
			t.Errorf("%s in %s starts %s, want %s", c.day, c.zone, got, c.want)
		}
		if r.Day(start) != day(c.day) || r.Day(start.Add(-time.Second)) >= day(c.day) {
			t.Errorf("%s in %s: the day does not begin there", c.day, c.zone)
		}
	}
}
