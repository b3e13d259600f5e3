package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A power cut or a kill can come at any moment of init. What is left is either
// a whole ledger, or nothing that is taken for one, with words that say what
// to remove.
func TestAnInitThatIsKilledLeavesAWholeLedgerOrNone(t *testing.T) {
	whole, none, explained := 0, 0, 0
	policy, err := filepath.Abs("../../testdata/policies/haim.yaml")
	if err != nil {
		t.Fatal(err)
	}
	steps := 40
	if testing.Short() {
		steps = 10
	}
	for i := range steps {
		dir := filepath.Join(t.TempDir(), "L")
		args := []string{"init", "--dir", dir, "--origin", "test.example", "--policy", policy, "--accept-weak-root"}
		cmd := exec.Command("consentledger", args...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(i) * 120 * time.Millisecond / time.Duration(steps))
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed, or done before that

		if _, err := os.Stat(dir); err == nil {
			whole++
			if out, err := exec.Command("consentledger", "verify", "--deep", "--dir", dir, "--accept-weak-root").CombinedOutput(); err != nil {
				t.Fatalf("after %d steps there is a ledger that is not whole: %v\n%s", i, err, out)
			}
			continue
		}
		none++
		out, err := exec.Command("consentledger", args...).CombinedOutput()
		if err == nil {
			continue
		}
		explained++
		left, err := filepath.Glob(dir + ".init-*")
		if err != nil || !strings.Contains(string(out), "remove both and run init again") || len(left) != 1 || !strings.Contains(string(out), left[0]) {
			t.Fatalf("after %d steps init fails without saying what to do: %s", i, out)
		}
		for _, l := range append(left, dir+"-root/root.key") {
			if err := os.RemoveAll(l); err != nil {
				t.Fatal(err)
			}
		}
		if out, err := exec.Command("consentledger", args...).CombinedOutput(); err != nil {
			t.Fatalf("having done what init said, it fails: %s", out)
		}
	}
	t.Logf("%d whole, %d none, %d of them with something to remove", whole, none, explained)
	if none == 0 {
		t.Error("no kill came before the end: the test shows nothing")
	}
}

// The first signal lets what is under way finish; the second ends it.
func TestASecondSignalEndsTheServerAtOnce(t *testing.T) {
	s := startServer(t, t.TempDir(), "--init")
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// A request that does not end: its body never comes.
	fmt.Fprintf(conn, "POST /v1/lookups HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", s.key)
	time.Sleep(200 * time.Millisecond)
	for _, wait := range []time.Duration{700 * time.Millisecond, 5 * time.Second} {
		if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-s.ended:
			var exit *exec.ExitError
			if wait < time.Second {
				t.Fatalf("it ended at the first signal, with a request under way: %v", err)
			}
			if !errors.As(err, &exit) || exit.ExitCode() != exitCould {
				t.Fatalf("it ended with %v instead of exit code 2", err)
			}
			return
		case <-time.After(wait):
		}
	}
	_ = s.cmd.Process.Kill()
	t.Fatal("it still ran 5 s after the second signal")
}

func TestWithACertificateItServesTLSAndNothingElse(t *testing.T) {
	dir := t.TempDir()
	cert, key, pool := certificate(t, dir)
	s := startServer(t, dir, "--init", "--tls-cert", cert, "--tls-key", key)
	defer s.stop(t, syscall.SIGTERM)
	if !strings.HasPrefix(s.url, "https://127.0.0.1:") {
		t.Fatalf("it says that it listens on %s", s.url)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}, Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	resp, err := client.Get(s.url + "/livez")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.TLS == nil || resp.TLS.Version < tls.VersionTLS13 {
		t.Errorf("status %d, TLS %+v", resp.StatusCode, resp.TLS)
	}
	plain, err := http.Get("http://" + strings.TrimPrefix(s.url, "https://") + "/livez")
	if err == nil {
		plain.Body.Close()
		if plain.StatusCode != http.StatusBadRequest {
			t.Errorf("without TLS it answers %d", plain.StatusCode)
		}
	}
}

func certificate(t *testing.T, dir string) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := errors.Join(
		os.WriteFile(certFile, certPEM, 0o600),
		os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	return certFile, keyFile, pool
}

func TestOnlyThisMachineIsServedWithoutTLS(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:8787": true, "127.8.9.10:1": true, "[::1]:8787": true, "localhost:0": true,
		"0.0.0.0:8787": false, ":8787": false, "[::]:8787": false, "192.0.2.1:8787": false, "ledger.example:8787": false,
		"127.0.0.1.example:80": false, "localhost.example:80": false, "[::ffff:192.0.2.1]:80": false,
	} {
		l := &listening{Listen: address}
		if got := l.check() == nil; got != want {
			t.Errorf("%s: accepted %v, want %v", address, got, want)
		}
		l.AllowPlaintext = true
		if err := l.check(); err != nil {
			t.Errorf("%s with --allow-plaintext: %v", address, err)
		}
		l = &listening{Listen: address, TLSCert: "c", TLSKey: "k"}
		if err := l.check(); err != nil {
			t.Errorf("%s with TLS: %v", address, err)
		}
	}
}
