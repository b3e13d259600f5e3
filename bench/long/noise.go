package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// noise finds out how much of the processors was used by others.
type noise struct {
	begin     time.Time
	all, ours time.Duration
}

// ticksPerSecond is USER_HZ, which is 100 on every Linux that Go runs on.
const ticksPerSecond = 100

func listen() (n noise, err error) {
	n.begin = time.Now()
	if n.all, err = busy(); err == nil {
		n.ours, err = own()
	}
	return n, err
}

// share is the share of the time of all processors that others used, or that
// the host took away, since listen; from 0 to 1. Every process that was started
// meanwhile must have ended: only then does the kernel count it as ours.
func (n noise) share(processors int) (float64, error) {
	all, err := busy()
	if err != nil {
		return 0, err
	}
	ours, err := own()
	if err != nil {
		return 0, err
	}
	others := (all - n.all) - (ours - n.ours)
	return max(0, float64(others)/float64(time.Since(n.begin))/float64(processors)), nil
}

// busy is what all processors have done since the machine was started, and what
// its host took away: the first line of /proc/stat without idle and iowait.
func busy() (time.Duration, error) {
	raw, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := bytes.Cut(raw, []byte("\n"))
	fields := strings.Fields(string(line))
	// user nice system idle iowait irq softirq steal; guest times are in user.
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, errors.New("/proc/stat does not begin with the sums of all processors")
	}
	var ticks uint64
	for _, i := range []int{1, 2, 3, 6, 7, 8} {
		n, err := strconv.ParseUint(fields[i], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / ticksPerSecond), nil
}

// own is what this process has used, and those that it started and that have ended.
func own() (time.Duration, error) {
	var sum int64
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err != nil {
			return 0, fmt.Errorf("read the processor time used: %w", err)
		}
		sum += u.Utime.Nano() + u.Stime.Nano()
	}
	return time.Duration(sum), nil
}
