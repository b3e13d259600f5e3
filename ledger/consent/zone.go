package consent

import (
	"errors"
	"time"
	_ "time/tzdata" // so that a zone is found on a machine that has no zone files
)

// loadZone is the one place of this package that may touch a disk, and only
// while a policy is parsed: time.LoadLocation looks for the system's zone files
// before it takes the copy linked in above. It writes nothing, and with either
// source it gives the same answer up to the age of the zone data. "Local" is
// refused, and so are the names that only some machines have, "localtime" among
// them, none of which begins with a capital: a ledger's calendar must not move
// with the machine, nor its register be unreadable on the next.
func loadZone(name string) (*time.Location, error) {
	if name == "" || name == "Local" || name[0] < 'A' || name[0] > 'Z' {
		return nil, errNoZone
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil, errNoZone
	}
	return loc, nil
}

var errNoZone = errors.New("a time zone is a name of the IANA database, such as Asia/Seoul or UTC")

func dayAt(t time.Time, loc *time.Location) Day { return dayOf(t.In(loc).Date()) }

// dayStart returns the first instant of the day. Where clocks are put forward
// at midnight that is the instant of the change; where midnight comes twice,
// the first of the two.
func dayStart(d Day, loc *time.Location) time.Time {
	y, m, dd := d.date()
	t := time.Date(y, m, dd, 0, 0, 0, 0, loc)
	if dayAt(t, loc) < d {
		if _, end := t.ZoneBounds(); !end.IsZero() {
			return end
		}
	}
	if e := t.Add(-time.Hour); dayAt(e, loc) == d {
		return e
	}
	return t
}
