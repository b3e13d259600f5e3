package main

import (
	"io"
	"os"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// newProgress shows how far a check is, on a terminal only. done takes it away again.
func newProgress(w io.Writer, what, unit string) (progress func(done, total uint64), done func()) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil, func() {}
	}
	bar := progressbar.NewOptions64(-1,
		progressbar.OptionSetWriter(f),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowCount(),
		progressbar.OptionShowIts(),
		progressbar.OptionSetItsString(unit),
		progressbar.OptionThrottle(100_000_000), // 100 ms
		progressbar.OptionClearOnFinish(),
	)
	progress = func(done, total uint64) {
		bar.ChangeMax64(max(int64(total), 1))
		_ = bar.Set64(int64(done))
	}
	return progress, func() { _ = bar.Finish() }
}
