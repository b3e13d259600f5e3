package drive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// maxAnswer is more than any answer to a single call has: a bundle of 256 usual entries has 105 kB.
const maxAnswer = 256 << 10

// A conn sends one request at a time and reads its answer.
type conn struct {
	c    net.Conn
	buf  []byte
	last bool // the server will close it
}

func dial(t Target, until time.Time) (*conn, error) {
	c, err := net.DialTimeout("tcp", t.address, 5*time.Second)
	if err != nil {
		return nil, err
	}
	if err := c.SetDeadline(until); err != nil {
		c.Close()
		return nil, err
	}
	return &conn{c: c, buf: make([]byte, 0, 4<<10)}, nil
}

var (
	endOfHead     = []byte("\r\n\r\n")
	contentLength = []byte("\r\nContent-Length: ") // as net/http spells it
	connClose     = []byte("\r\nConnection: close")
)

var errAnswer = errors.New("not an answer that this driver reads: HTTP/1.1 with a Content-Length")

// roundTrip returns the answer's body, which is good until the next call.
func (c *conn) roundTrip(request []byte) (status int, body []byte, err error) {
	if _, err := c.c.Write(request); err != nil {
		return 0, nil, err
	}
	c.buf = c.buf[:0]
	head, length := 0, 0
	for head == 0 || len(c.buf) < head+length {
		if len(c.buf) == cap(c.buf) {
			if len(c.buf) >= maxAnswer {
				return 0, nil, fmt.Errorf("%w, up to %d bytes", errAnswer, maxAnswer)
			}
			c.buf = append(c.buf, make([]byte, cap(c.buf))...)[:len(c.buf)]
		}
		n, err := c.c.Read(c.buf[len(c.buf):cap(c.buf)])
		c.buf = c.buf[:len(c.buf)+n]
		if err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return 0, nil, err
		}
		if head != 0 {
			continue
		}
		i := bytes.Index(c.buf, endOfHead)
		if i < 0 {
			continue
		}
		head = i + len(endOfHead)
		if status, length, err = c.parseHead(c.buf[:head]); err != nil {
			return 0, nil, err
		}
	}
	if len(c.buf) != head+length {
		return 0, nil, errAnswer
	}
	return status, c.buf[head:], nil
}

func (c *conn) parseHead(head []byte) (status, length int, err error) {
	if len(head) < len("HTTP/1.1 200") || string(head[:9]) != "HTTP/1.1 " {
		return 0, 0, errAnswer
	}
	if status = number(head[9:12]); status < 200 {
		return 0, 0, errAnswer
	}
	i := bytes.Index(head, contentLength)
	if i < 0 {
		return 0, 0, errAnswer
	}
	rest := head[i+len(contentLength):]
	if length = number(rest[:bytes.IndexByte(rest, '\r')]); length < 0 {
		return 0, 0, errAnswer
	}
	c.last = bytes.Contains(head, connClose)
	return status, length, nil
}

// number reads decimal digits; anything else is -1.
func number(b []byte) int {
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' || n > 1<<24 {
			return -1
		}
		n = 10*n + int(c-'0')
	}
	if len(b) == 0 {
		return -1
	}
	return n
}
