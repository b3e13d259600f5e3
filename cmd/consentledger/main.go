// Command consentledger is a ledger of consents: who agreed to what, when, on
// which text, and what was destroyed when they left.
//
//	go run ./cmd/consentledger serve --init
//
// Exit codes, everywhere: 0 done or intact; 1 the answer is no (tampered,
// refused by a rule, not found); 2 it could not be done, started or checked.
// Every flag can be given as an environment variable, too: CONSENTLEDGER_DIR
// for --dir. No secret is ever taken from the command line.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kong"
	"golang.org/x/sys/unix"
)

// commands is the whole command line.
type commands struct {
	Serve     serveCmd     `cmd:"" help:"Serve a ledger over HTTP."`
	Init      initCmd      `cmd:"" help:"Make a new, empty ledger."`
	Verify    verifyCmd    `cmd:"" help:"Check a ledger: that nothing in it was altered, dropped, moved or re-dated."`
	Policy    policyCmd    `cmd:"" help:"The register of policies."`
	Recipient recipientCmd `cmd:"" help:"The register of recipients."`
	Key       keyCmd       `cmd:"" help:"The register of API keys."`
	Operator  operatorCmd  `cmd:"" help:"The register of the people who work with the ledger."`
	SignIn    signInCmd    `cmd:"" name:"sign-in" help:"Sign in at a server, as a person."`
	Export    exportCmd    `cmd:"" help:"Print everything that is held of a member."`
	Withdraw  withdrawCmd  `cmd:"" help:"Withdraw purposes, or the whole membership, for a member."`
	Import    importCmd    `cmd:"" help:"Record the calls of a file, a line each."`
	Witness   witnessCmd   `cmd:"" help:"Witnesses: have a ledger's heads signed by some, or be one for other people's logs."`
	Doctor    doctorCmd    `cmd:"" help:"Say what is unsafe about this installation, and how to mend it."`
}

// terminal is what a command writes to.
type terminal struct {
	out, err io.Writer
}

// Exit codes.
const (
	exitDone  = 0
	exitNo    = 1
	exitCould = 2 // could not do, start or check it
)

// A no is the answer "no": refused by a rule, not found, tampered. Its error is
// what there is to say, nil if that was said.
type no struct{ err error }

func (n no) Error() string {
	if n.err == nil {
		return "the answer is no"
	}
	return n.err.Error()
}

func (n no) Unwrap() error { return n.err }

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is main without the process: it returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	harden()
	var cli commands
	t := &terminal{out: stdout, err: stderr}
	helped := -1
	parser, err := kong.New(&cli,
		kong.Name("consentledger"),
		kong.Description("A ledger of consents that proves what was agreed to, and forgets when it must."),
		kong.DefaultEnvars("CONSENTLEDGER"),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { helped = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}),
		kong.BindTo(context.Background(), (*context.Context)(nil)),
		kong.Bind(t),
	)
	if err != nil {
		fmt.Fprintln(stderr, "consentledger:", err)
		return exitCould
	}
	k, err := parser.Parse(args)
	if helped >= 0 { // help was asked for, and printed
		return helped
	}
	if err != nil {
		fmt.Fprintf(stderr, "consentledger: %v; see %s --help\n", err, commandOf(err))
		return exitCould
	}
	return exitCode(k.Run(), stderr)
}

// commandOf names the command whose help explains a parse error.
func commandOf(err error) string {
	var p *kong.ParseError
	if errors.As(err, &p) && p.Context != nil {
		if n := p.Context.Selected(); n != nil {
			return "consentledger " + n.Path()
		}
	}
	return "consentledger"
}

func exitCode(err error, stderr io.Writer) int {
	if err == nil {
		return exitDone
	}
	var n no
	if errors.As(err, &n) {
		if n.err != nil {
			fmt.Fprintln(stderr, "consentledger:", n.err)
		}
		return exitNo
	}
	fmt.Fprintln(stderr, "consentledger:", err)
	return exitCould
}

// harden keeps what is in memory and in files to this user: no core dumps, no
// reading of this process's memory by others of the same user, and files for
// nobody else whatever the umask was. Best effort: the ledger does not rest on it.
func harden() {
	unix.Umask(0o077)
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	notDumpable()
}
