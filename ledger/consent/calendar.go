package consent

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
)

// A Day is a number of days since 1970-01-01 in the controller's calendar.
type Day int32

func dayOf(y int, m time.Month, d int) Day {
	return Day(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / 86400)
}

func (d Day) date() (int, time.Month, int) {
	return time.Unix(int64(d)*86400, 0).UTC().Date()
}

// A Date is a day of the Gregorian calendar. It prints as "[date]": the only
// one that callers send is a birth date.
type Date struct {
	Year  int
	Month time.Month
	Day   int
}

// ParseDate reads YYYY-MM-DD.
func ParseDate(s string) (Date, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil || t.Format(time.DateOnly) != s {
		return Date{}, errors.New("a date is written YYYY-MM-DD and must exist")
	}
	y, m, d := t.Date()
	return Date{y, m, d}, nil
}

// Format prints the placeholder, whatever the verb.
func (d Date) Format(s fmt.State, _ rune) { io.WriteString(s, "[date]") }

func (d Date) day() Day { return dayOf(d.Year, d.Month, d.Day) }

// A Period is a length of time by the calendar: whole days, months or years.
type Period struct {
	Months int // years are twelve of them
	Days   int
}

// maxPeriodYears keeps every date that a period leads to within what a Day holds.
const maxPeriodYears = 200

// ParsePeriod reads a positive whole number and a unit: d for days, mo for
// months, y for years. "12mo" and "1y" are the same period.
func ParsePeriod(s string) (Period, error) {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	n, err := strconv.Atoi(s[:i])
	if err == nil && n > 0 && n <= maxPeriodYears*366 && s[0] != '0' {
		p := Period{}
		switch s[i:] {
		case "d":
			p.Days = n
		case "mo":
			p.Months = n
		case "y":
			p.Months = 12 * n
		default:
			n = 0
		}
		if n > 0 && p.Months <= 12*maxPeriodYears {
			return p, nil
		}
	}
	return Period{}, fmt.Errorf("a period is a number and d, mo or y, such as 30d, 12mo or 5y, of at most %d years", maxPeriodYears)
}

// IsZero reports whether the period is none.
func (p Period) IsZero() bool { return p == Period{} }

// String writes the period as ParsePeriod reads it.
func (p Period) String() string {
	switch {
	case p.Days != 0:
		return strconv.Itoa(p.Days) + "d"
	case p.Months%12 == 0 && p.Months != 0:
		return strconv.Itoa(p.Months/12) + "y"
	}
	return strconv.Itoa(p.Months) + "mo"
}

// after returns the last day of a period that starts with d: the same day of
// the month so many months on, or that month's last day if it has no such day
// (the rule of the Korean Civil Act 160 and of Regulation 1182/71 article 3).
// One year from 29 February ends with 28 February.
func (p Period) after(d Day) Day {
	y, m, dd := d.date()
	if p.Months != 0 {
		first := time.Date(y, m+time.Month(p.Months), 1, 0, 0, 0, 0, time.UTC)
		last := first.AddDate(0, 1, -1).Day()
		y, m, _ = first.Date()
		dd = min(dd, last)
	}
	return dayOf(y, m, dd) + Day(p.Days)
}
