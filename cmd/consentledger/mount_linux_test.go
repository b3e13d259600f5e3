package main

import "golang.org/x/sys/unix"

func mountTmpfs(dir, size string) (undo func() error, err error) {
	return func() error { return unix.Unmount(dir, unix.MNT_DETACH) }, unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size)
}

func remount(dir string, readOnly bool) error {
	flags := uintptr(unix.MS_REMOUNT)
	if readOnly {
		flags |= unix.MS_RDONLY
	}
	return unix.Mount("", dir, "", flags, "")
}
