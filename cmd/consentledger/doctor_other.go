//go:build !linux

package main

import (
	"errors"
	"net"
)

func peer(net.Conn) (pid int, uid uint32, err error) { return 0, 0, errors.ErrUnsupported }

func (f *facts) lookMachine(int) {
	f.notKnown("the clock, the swap and the server's process", errors.ErrUnsupported)
}
