package ledger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"consentledger/crypto/digest"
)

// headFile remembers the last published checkpoint outside the database, so that a database that
// is older than what was shown to the world is noticed at open. It has two slots, written in turn:
// a write that is cut leaves the other one whole.
type headFile struct {
	mu      sync.Mutex
	file    *os.File
	counter uint64
}

const (
	headFileName = "head"
	headSlot     = 4096
	headMagic    = "clhead1\n"
)

// openHeadFile returns the newest checkpoint in the file, nil if none was published yet. A torn
// slot is passed over.
func openHeadFile(dir string) (*headFile, []byte, error) {
	path := filepath.Join(dir, headFileName)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("%w: the file %q with the last published checkpoint is missing; put back the one that belongs to this database", ErrCorrupt, headFileName)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("open the head file: %w", err)
	}
	counter, newest := newestHead(f)
	return &headFile{file: f, counter: counter}, newest, nil
}

// newestHead returns the newer of the slots that are whole, nil if neither is.
func newestHead(f io.ReaderAt) (counter uint64, note []byte) {
	buf := make([]byte, headSlot)
	for i := range 2 {
		n, _ := f.ReadAt(buf, int64(i)*headSlot) // what is not there is not whole
		if c, text, ok := parseHeadSlot(buf[:n]); ok && c > counter {
			counter, note = c, bytes.Clone(text)
		}
	}
	return counter, note
}

// createHeadFile makes the empty file of a ledger that has published nothing.
func createHeadFile(dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, headFileName), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("create the head file: %w", err)
	}
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, 2*headSlot), 0); err != nil {
		return fmt.Errorf("create the head file: %w", err)
	}
	if err := errors.Join(f.Sync(), syncDir(dir)); err != nil {
		return fmt.Errorf("create the head file: %w", err)
	}
	return nil
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// put makes a checkpoint durable. Only after that may it be shown to anybody.
func (h *headFile) put(note []byte) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := make([]byte, 0, headSlot)
	b = append(b, headMagic...)
	b = binary.BigEndian.AppendUint64(b, h.counter+1)
	b = binary.BigEndian.AppendUint32(b, uint32(len(note)))
	b = append(b, note...)
	sum := digest.Sum256(b)
	b = append(b, sum[:]...)
	if len(b) > headSlot {
		return fmt.Errorf("a checkpoint of %d bytes does not fit the head file", len(note))
	}
	b = append(b, make([]byte, headSlot-len(b))...)
	if _, err := h.file.WriteAt(b, int64((h.counter+1)%2)*headSlot); err != nil {
		return fmt.Errorf("write the head file: %w", err)
	}
	if err := h.file.Sync(); err != nil {
		return fmt.Errorf("write the head file: %w", err)
	}
	h.counter++
	return nil
}

func (h *headFile) close() error { return h.file.Close() }

func parseHeadSlot(b []byte) (counter uint64, note []byte, ok bool) {
	const header = len(headMagic) + 8 + 4
	if len(b) < header+32 || string(b[:len(headMagic)]) != headMagic {
		return 0, nil, false
	}
	counter = binary.BigEndian.Uint64(b[len(headMagic):])
	n := int(binary.BigEndian.Uint32(b[len(headMagic)+8:]))
	if n < 0 || n > len(b)-header-32 {
		return 0, nil, false
	}
	end := header + n
	if digest.Sum256(b[:end]) != [32]byte(b[end:end+32]) {
		return 0, nil, false
	}
	return counter, b[header:end], true
}
