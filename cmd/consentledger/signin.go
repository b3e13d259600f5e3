package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"consentledger/server/api"
)

// signInCmd signs a person in at a server. Nothing of what they sign in with is an argument: it comes
// from stdin, a line each.
type signInCmd struct {
	URL      string     `required:"" placeholder:"URL" help:"The server, such as https://ledger.shop.example."`
	Operator operatorID `required:"" placeholder:"opr_…" help:"Who signs in."`
	Enrol    bool       `help:"Enrol first, with an invitation: the lines are invitation, password, and, once the secret was shown, the app's code."`
	Recovery bool       `help:"The second line is a recovery code, in place of the app's."`
	JSON     bool       `name:"json" help:"Print one JSON object."`
}

// Validate is called by kong.
func (c *signInCmd) Validate() error {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return errors.New("--url: give the server's address, such as https://ledger.shop.example")
	}
	if host := u.Hostname(); u.Scheme == "http" && host != "127.0.0.1" && host != "localhost" && host != "::1" {
		return errors.New("--url: a password goes to another machine only by https")
	}
	return nil
}

func (c *signInCmd) Run(ctx context.Context, t *terminal) error {
	in := bufio.NewScanner(io.LimitReader(os.Stdin, 64<<10))
	line := func(what string) (string, error) {
		fmt.Fprintf(t.err, "%s: ", what)
		if fd := int(os.Stdin.Fd()); term.IsTerminal(fd) { // nothing of it is shown
			b, err := term.ReadPassword(fd)
			fmt.Fprintln(t.err)
			if err == nil && len(b) == 0 {
				err = fmt.Errorf("write %s, and then a line's end", what)
			}
			return string(b), err
		}
		if !in.Scan() || in.Text() == "" {
			return "", fmt.Errorf("write %s to stdin, one line", what)
		}
		return in.Text(), nil
	}
	if c.Enrol {
		return c.enrol(ctx, t, line)
	}
	password, err := line("the password")
	if err != nil {
		return err
	}
	body := api.SignIn{Operator: string(c.Operator), Password: password}
	if c.Recovery {
		body.RecoveryCode, err = line("a recovery code")
	} else {
		body.Code, err = line("the app's code")
	}
	if err != nil {
		return err
	}
	var a api.Session
	if err := c.post(ctx, "/v1/sessions", body, &a); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(t.out, a)
	}
	fmt.Fprintf(t.out, "session  %s\nrole     %s\nends     %s, and after %d minutes without a call\n", a.Session, a.Role, a.ExpiresAt.Format(time.RFC3339), a.IdleSeconds/60)
	return nil
}

func (c *signInCmd) enrol(ctx context.Context, t *terminal, line func(string) (string, error)) error {
	invitation, err := line("the invitation")
	if err != nil {
		return err
	}
	password, err := line("a password of at least 12 characters")
	if err != nil {
		return err
	}
	var shown api.Enrolment
	if err := c.post(ctx, "/v1/enrolments", api.NewEnrolment{Operator: string(c.Operator), Invitation: invitation}, &shown); err != nil {
		return err
	}
	fmt.Fprintf(t.err, "put this secret into the app: %s\n", shown.Secret)
	code, err := line("the app's code")
	if err != nil {
		return err
	}
	var a api.Enrolled
	err = c.post(ctx, "/v1/enrolments/confirm", api.Confirmation{Operator: string(c.Operator), Invitation: invitation, Password: password, Code: code}, &a)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(t.out, a)
	}
	fmt.Fprintf(t.out, "enrolled; recovery codes, each for one time, shown this once:\n%s\n", strings.Join(a.RecoveryCodes, "\n"))
	return nil
}

// post makes a call without a key.
func (c *signInCmd) post(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(c.URL, "/")+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	client := &http.Client{Timeout: answerWithin, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("ask the server: %w", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("read the server's answer: %w", err)
	}
	if resp.StatusCode/100 != 2 {
		r := &refusal{}
		if json.Unmarshal(b, &r.Problem) != nil || r.Code == "" {
			return fmt.Errorf("the server answered %s: is it a consentledger?", resp.Status)
		}
		r.Status = resp.StatusCode
		if resp.StatusCode == http.StatusUnauthorized {
			return no{r}
		}
		return r.answer()
	}
	return json.Unmarshal(b, out)
}
