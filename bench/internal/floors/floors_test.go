package floors

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

func TestTheEmptyHandlerAnswersWithoutALook(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() { _ = Serve(ln) }()
	for _, c := range []struct {
		path   string
		status int
		answer []byte
	}{{"/v1/consents", http.StatusCreated, answer}, {"/v1/decisions", http.StatusOK, decision}} {
		resp, err := http.Post("http://"+ln.Addr().String()+c.path, "text/plain", strings.NewReader("not even JSON"))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != c.status || !bytes.Equal(body, c.answer) {
			t.Errorf("%s: status %d, %q, error %v", c.path, resp.StatusCode, body, err)
		}
	}
}

func TestTheFloorOfALogsFilesHasTheirSizesAndHeaders(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() { _ = Serve(ln) }()
	for path, size := range map[string]int{"/tile/0/001": 8192, "/tile/entries/001": 256 * (2 + EntryBytes), "/tile/entries/001.p/255": 256 * (2 + EntryBytes), "/checkpoint": CheckpointBytes} {
		resp, err := http.Get("http://" + ln.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || len(body) != size || resp.ContentLength != int64(size) {
			t.Errorf("%s: status %d, %d bytes, error %v", path, resp.StatusCode, len(body), err)
		}
		for _, name := range []string{"Content-Type", "Cache-Control", "X-Request-Id"} {
			if resp.Header.Get(name) == "" {
				t.Errorf("%s: no header %s", path, name)
			}
		}
	}
}

func TestEveryEntryOfTheFloorIsInItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "floor.db")
	n, took, err := GroupCommit(path, 406, 8, 50*time.Millisecond)
	if err != nil || n == 0 || took < 50*time.Millisecond {
		t.Fatal(n, took, err)
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.View(func(tx *bbolt.Tx) error {
		k, v := tx.Bucket([]byte("entries")).Cursor().Last()
		if got := binary.BigEndian.Uint64(k) + 1; got != uint64(n) || len(v) != 406 {
			t.Errorf("the file has %d entries, the last of %d bytes; want %d of 406", got, len(v), n)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestHashingTakesItsTime(t *testing.T) {
	leaf := make([]byte, 1<<20)
	leaves := make([][]byte, 64)
	for i := range leaves {
		leaves[i] = leaf
	}
	// No processor hashes 64 MiB in a millisecond: if it seems so, nothing was hashed.
	if took := Hash(leaves, 2); took < time.Millisecond {
		t.Errorf("64 MiB took %v", took)
	}
}
