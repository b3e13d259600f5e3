// Long runs the long version of a check and prints its figures: more rounds,
// more members, more crashes than a test that runs with every change can have.
//
//	go run ./bench/long          lists the checks
//	go run ./bench/long speed    runs one
//
// It ends with 0 if the check holds, 1 if it does not, 2 if it could not be made.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// errMiss says that a check was made and does not hold.
var errMiss = errors.New("the check does not hold")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch err := run(ctx, os.Stdout, checks, os.Args[1:]); {
	case err == nil:
	case errors.Is(err, errMiss):
		fmt.Fprintln(os.Stderr, "long:", err)
		os.Exit(1)
	default:
		fmt.Fprintln(os.Stderr, "long:", err)
		os.Exit(2)
	}
}

func run(ctx context.Context, out io.Writer, all []check, args []string) error {
	if len(args) == 0 {
		fmt.Fprintln(out, "go run ./bench/long NAME runs the long version of a check:")
		for _, c := range all {
			fmt.Fprintf(out, "  %-10s %s\n", c.name, c.about)
		}
		return nil
	}
	for _, c := range all {
		if c.name == args[0] {
			return c.run(ctx, out, args[1:])
		}
	}
	return fmt.Errorf("there is no check %q: without a name all are listed", args[0])
}
