//go:build !linux

package main

import "errors"

func mountTmpfs(dir, size string) (undo func() error, err error) {
	return nil, errors.ErrUnsupported
}

func remount(dir string, readOnly bool) error { return errors.ErrUnsupported }
