package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"consentledger/cmd/consentledger/witnessdir"
	"consentledger/ledger/chain"
	"consentledger/server/witness"
)

type witnessCmd struct {
	Init  witnessInitCmd  `cmd:"" help:"Make a witness of other people's logs: its name, its key and its memory."`
	Serve witnessServeCmd `cmd:"" default:"withargs" help:"Be a witness: sign the heads of logs, each the continuation of the one before (default)."`

	Add     witnessAddCmd     `cmd:"" help:"Have a ledger's heads signed by a witness."`
	List    witnessListCmd    `cmd:"" help:"List a ledger's witnesses, and what they have signed."`
	Remove  witnessRemoveCmd  `cmd:"" help:"Take a witness out of a ledger's register."`
	Require witnessRequireCmd `cmd:"" help:"Say how many witnesses must sign before a receipt is handed out."`
}

type witnessInitCmd struct {
	State string `placeholder:"D" default:"consent-witness" help:"The witness's directory (default ${default})."`
	Name  string `required:"" placeholder:"NAME" help:"The witness's public name, a URL without its scheme, such as witness.example/w1. It can never be changed."`
	JSON  bool   `name:"json" help:"Print one JSON object."`
}

func (c *witnessInitCmd) Run(t *terminal) error {
	vkey, err := witnessdir.Create(c.State, c.Name)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(t.out, struct {
			Name string `json:"name"`
			Key  string `json:"verifier_key"`
			Dir  string `json:"dir"`
		}{c.Name, vkey, c.State})
	}
	fmt.Fprintf(t.out, "a new witness %s in %s\n", c.Name, c.State)
	fmt.Fprintf(t.out, "verifier key  %s  (for the logs: witness add URL KEY)\n", vkey)
	fmt.Fprintf(t.out, "next          consentledger witness serve --state %s --log LOGKEY\n", c.State)
	return nil
}

type witnessServeCmd struct {
	State          string   `placeholder:"D" default:"consent-witness" help:"The witness's directory (default ${default})."`
	Listen         string   `placeholder:"A" default:"127.0.0.1:8788" help:"The address to serve on (default ${default}); port 0 takes a free one."`
	TLSCert        string   `name:"tls-cert" placeholder:"F" help:"The server's certificate chain (PEM)."`
	TLSKey         string   `name:"tls-key" placeholder:"F" help:"The certificate's private key (PEM)."`
	AllowPlaintext bool     `help:"Serve without TLS on an address that other machines reach: only behind a proxy that speaks TLS."`
	Log            []string `sep:"none" placeholder:"VKEY" help:"The verifier key of a log to sign for; can be given again. Its name is the log's origin."`
	LogFile        string   `placeholder:"FILE" help:"Such keys, one a line; lines that begin with # are left out."`
}

// Help is called by kong.
func (c *witnessServeCmd) Help() string {
	return "A log that trusts this witness sends it every head, and the witness signs the next one only if it continues the last. " +
		"server/witness/WITNESS.md says what that is good for, and what it promises."
}

func (c *witnessServeCmd) Run(ctx context.Context, t *terminal) error {
	if err := c.check(); err != nil {
		return err
	}
	logs, err := c.logs()
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(t.err, nil))
	var tlsConfig *tls.Config
	if c.TLSCert != "" {
		f := &certFiles{cert: c.TLSCert, key: c.TLSKey, log: log, now: time.Now}
		if tlsConfig, err = f.tlsConfig(); err != nil {
			return err
		}
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	o, err := witnessdir.Open(c.State, time.Now)
	if err != nil {
		return err
	}
	defer o.Close()
	w, err := witness.New(o.Heads, o.Signer, logs, log)
	if err != nil {
		return err
	}
	l := listening{Listen: c.Listen, TLSCert: c.TLSCert}
	ln, err := l.listen(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(t.out, "verifier key  %s\n", o.VerifierKey)
	for _, l := range logs {
		fmt.Fprintf(t.out, "signs for     %s\n", l.Origin)
	}
	if err := o.Heads.Each(func(have chain.Checkpoint) {
		fmt.Fprintf(t.out, "signed last   %d entries of %s\n", have.Size, have.Origin)
	}); err != nil {
		return errors.Join(err, ln.Close())
	}
	fmt.Fprintf(t.out, "listening on %s\n", l.url(ln))
	return serveWitness(ctx, ln, w, tlsConfig, log)
}

// check finds out what is wrong before anything is opened.
func (c *witnessServeCmd) check() error {
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return errors.New("--tls-cert and --tls-key belong together: give both, or neither")
	}
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fmt.Errorf("--listen %s: %w: give an address and a port, such as 127.0.0.1:8788", c.Listen, err)
	}
	if c.TLSCert == "" && !c.AllowPlaintext && !isLoopback(host) {
		return fmt.Errorf("--listen %s: other machines reach that address, and logs send nothing to a witness without TLS: give --tls-cert and --tls-key, or listen on 127.0.0.1 behind a proxy that speaks TLS, or accept it with --allow-plaintext", c.Listen)
	}
	return nil
}

// logs are those of the flags and of the file.
func (c *witnessServeCmd) logs() ([]witness.Log, error) {
	var logs []witness.Log
	add := func(where, vkey string) error {
		l, err := witness.ParseLog(vkey)
		if err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
		logs = append(logs, l)
		return nil
	}
	for _, vkey := range c.Log {
		if err := add("--log", vkey); err != nil {
			return nil, err
		}
	}
	if c.LogFile != "" {
		b, err := os.ReadFile(c.LogFile)
		if err != nil {
			return nil, fmt.Errorf("--log-file: %w", err)
		}
		n := 0
		for line := range strings.Lines(string(b)) {
			n++
			line = strings.TrimSpace(line)
			if line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			if err := add(fmt.Sprintf("%s, line %d", c.LogFile, n), line); err != nil {
				return nil, err
			}
		}
	}
	if len(logs) == 0 {
		return nil, errors.New("a witness signs for logs that it knows: give their verifier keys with --log or --log-file (a ledger's is its public_key, which init prints)")
	}
	return logs, nil
}

// serveWitness answers until ctx ends, and then lets what is under way finish.
func serveWitness(ctx context.Context, ln net.Listener, h http.Handler, tlsConfig *tls.Config, logger *slog.Logger) error {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       20 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		TLSConfig:         tlsConfig,
		ErrorLog:          log.New(quietLog{}, "", 0),
	}
	ln = atMost{ln, make(chan struct{}, witnessConnections)}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		var err error
		if tlsConfig != nil {
			err = srv.ServeTLS(ln, "", "")
		} else {
			err = srv.Serve(ln)
		}
		if errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		return fmt.Errorf("serve the witness: %w", err)
	})
	g.Go(func() error {
		<-ctx.Done()
		within, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := srv.Shutdown(within); err != nil {
			logger.Warn("requests were still running when the witness stopped", "err", err)
			return srv.Close()
		}
		return nil
	})
	return g.Wait()
}

// quietLog drops what net/http says of clients' bad connections.
type quietLog struct{}

func (quietLog) Write(b []byte) (int, error) { return len(b), nil }
