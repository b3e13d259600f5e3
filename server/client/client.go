package client

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Options are what a client can be told. The zero value is ready to use, for the public calls.
type Options struct {
	Key  Secret       // none: only the public calls, or a client certificate stands for it
	HTTP *http.Client // for a proxy, or a TLS client certificate; default: Go's own. Redirects are not followed

	Attempts       int           // how often a call is sent at most; default 6
	AttemptTimeout time.Duration // how long an answer is waited for; default 30 s
	FirstWait      time.Duration // between the first attempt and the second, about; doubled each time; default 200 ms
	MaxWait        time.Duration // between two attempts; what the server wants to be left alone for longer is not waited for; default 15 s

	Language string // of problems' titles and details: en or ko; default: the server's

	// PlainHTTP lets the key and members' ids go over a network unencrypted. Without it an http: address
	// must be this machine.
	PlainHTTP bool

	NewIdempotencyKey func() string                              // default: 26 random characters
	Sleep             func(context.Context, time.Duration) error // default: until the time is over or the context ends
	Jitter            func() float64                             // from [0, 1); default: random
	Now               func() time.Time                           // default: time.Now
}

// A Client calls one server. It is safe for concurrent use.
type Client struct {
	base string
	o    Options
	http http.Client
}

// New makes a client of the server at an address such as https://ledger.example. It makes no call.
func New(address string, o Options) (*Client, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/" {
		return nil, errors.New("consentledger: the server's address has the form https://host or https://host:port, without a path, a query or a password")
	}
	switch {
	case u.Scheme == "https":
	case u.Scheme == "http" && (o.PlainHTTP || local(u.Hostname())):
	default:
		return nil, errors.New("consentledger: the server's address must begin with https://, because the key and members' ids go there; for http:// in a network that you trust set PlainHTTP")
	}
	if !visible(o.Key.Reveal()) && !o.Key.IsZero() {
		return nil, errors.New("consentledger: the API key holds characters that no key has; is there a line end in it?")
	}
	o.Attempts = cmp.Or(o.Attempts, 6)
	o.AttemptTimeout = cmp.Or(o.AttemptTimeout, 30*time.Second)
	o.FirstWait = cmp.Or(o.FirstWait, 200*time.Millisecond)
	o.MaxWait = cmp.Or(o.MaxWait, 15*time.Second)
	if o.Attempts < 1 || o.AttemptTimeout < 0 || o.FirstWait < 0 || o.MaxWait < 0 {
		return nil, errors.New("consentledger: Attempts, AttemptTimeout, FirstWait and MaxWait must not be negative")
	}
	if o.NewIdempotencyKey == nil {
		o.NewIdempotencyKey = rand.Text
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	if o.Jitter == nil {
		o.Jitter = mathrand.Float64
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	c := &Client{base: u.Scheme + "://" + u.Host, o: o}
	if o.HTTP != nil {
		c.http = *o.HTTP
	}
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c, nil
}

func local(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// An Option changes one call.
type Option func(*call) error

// IdempotencyKey gives a call that writes a key that the caller keeps, so that it can make the same call again
// after a restart: 1 to 255 visible ASCII characters, with nothing in them that is the member's. Without it
// each call gets one of its own.
func IdempotencyKey(key string) Option {
	return func(k *call) error {
		switch {
		case k.method != http.MethodPost || !k.writes:
			return errors.New("consentledger: only a POST that writes has an idempotency key")
		case len(key) > 255 || !visible(key):
			return errors.New("consentledger: an idempotency key is 1 to 255 visible ASCII characters")
		}
		k.once = key
		return nil
	}
}

// Replayed tells in *again whether the answer is that of an earlier attempt or call: nothing was recorded anew.
func Replayed(again *bool) Option {
	return func(k *call) error {
		k.replayed = again
		return nil
	}
}

// call is one call, to be sent as often as needed.
type call struct {
	method, path string
	query        url.Values
	media        string // of the body
	body         []byte
	accept       string
	reason       string // Access-Reason
	ground       string // Access-Ground
	looks        bool   // it has an Access-Reason
	writes       bool
	once         string // Idempotency-Key
	replayed     *bool
	err          error // in its arguments
}

// at puts names that the server gave, such as mbr_… or rqt_…, into a path.
func (k call) at(format string, names ...string) call {
	args := make([]any, len(names))
	for i, name := range names {
		if !given(format, i, name) || strings.ContainsFunc(name, func(r rune) bool {
			return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '_' && r != '-'
		}) {
			k.err = errors.New("consentledger: a ref or id is one that the server gave, such as mbr_… or rqt_…; a member's own id does not belong into a path, Lookup tells their ref")
		}
		args[i] = name
	}
	k.path = fmt.Sprintf(format, args...)
	return k
}

// given says whether a name looks like one that the server gives. A member's own id, put where a ref belongs,
// is not sent: it would stand in the logs of everything between here and the ledger.
func given(format string, at int, name string) bool {
	if at == 0 && strings.HasPrefix(format, "/v1/members/") {
		return strings.HasPrefix(name, "mbr_")
	}
	return slices.ContainsFunc([]string{"cor_", "hld_", "key_", "opr_", "rqt_", "wit_"}, func(kind string) bool { return strings.HasPrefix(name, kind) })
}

func (k call) because(reason string) call {
	k.looks, k.reason = true, reason
	return k
}

func (c *Client) prepare(k *call, options []Option) error {
	if k.writes && k.method == http.MethodPost {
		k.once = c.o.NewIdempotencyKey()
	}
	for _, o := range options {
		if err := o(k); err != nil {
			return err
		}
	}
	if k.err != nil {
		return k.err
	}
	if k.looks && (k.reason == "" || len(k.reason) > 1000 || strings.ContainsFunc(k.reason, func(r rune) bool { return r < ' ' || r == 0x7f })) {
		return errors.New("consentledger: the reason of a look is 1 to 1000 bytes of text in one line; it is recorded")
	}
	if k.ground != "" && !visible(k.ground) {
		return errors.New("consentledger: the ground is the name of a retention class, such as contract or policy/contract")
	}
	return nil
}

func visible(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}
