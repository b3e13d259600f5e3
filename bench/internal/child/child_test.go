package child

import (
	"net/http"
	"os"
	"strings"
	"testing"
)

// The test binary itself is the program that the tests start.
func TestMain(m *testing.M) {
	switch os.Getenv("CHILD_TEST") {
	case "serve":
		_ = http.ListenAndServe(os.Args[1], http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		os.Exit(3)
	case "fail":
		_, _ = os.Stderr.WriteString("there is no ledger")
		os.Exit(2)
	}
	os.Exit(m.Run())
}

func start(t *testing.T, what string) (*Process, error) {
	t.Helper()
	t.Setenv("CHILD_TEST", what)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	address, err := FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return Start(address, "/", self, address)
}

func TestAServerIsReadyWhenStartReturnsAndGoneAfterStop(t *testing.T) {
	p, err := start(t, "serve")
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get(p.URL())
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if p.Started <= 0 {
		t.Errorf("it started in %v", p.Started)
	}
	if _, err := p.CPU(); err != nil {
		t.Error(err)
	}
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.CPU(); err == nil {
		t.Error("the process is still there")
	}
}

func TestAServerThatEndsAtOnceIsAnErrorWithWhatItSaid(t *testing.T) {
	_, err := start(t, "fail")
	if err == nil || !strings.Contains(err.Error(), "there is no ledger") {
		t.Errorf("error %v", err)
	}
}
