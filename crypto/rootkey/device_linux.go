package rootkey

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// openDirect opens the file once more, past the page cache, or returns nil where
// the filesystem can't.
func openDirect(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_DIRECT|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		return nil, nil
	}
	return f, err
}

// locate asks the kernel. What it can't find out counts as not shown.
func locate(f *os.File) placement {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &fs); err != nil {
		return placement{why: fmt.Sprintf("its filesystem is not known (%v)", err)}
	}
	switch uint32(fs.Type) {
	case unix.TMPFS_MAGIC, unix.RAMFS_MAGIC:
		return placement{kind: inMemory, why: "it is in memory (tmpfs), so the key is lost when the machine restarts"}
	case unix.EXT4_SUPER_MAGIC: // ext2 and ext3 have the same
		if why := journalsAllData(f); why != "" {
			return placement{why: why}
		}
	case unix.XFS_SUPER_MAGIC:
	case unix.BTRFS_SUPER_MAGIC:
		return placement{why: "btrfs writes new bytes elsewhere"}
	case zfsMagic:
		return placement{why: "ZFS writes new bytes elsewhere"}
	case unix.OVERLAYFS_SUPER_MAGIC:
		return placement{why: "it is on an overlay (a container's own layer): mount a volume for it"}
	case unix.NFS_SUPER_MAGIC:
		return placement{why: "NFS does not say what its server does"}
	case unix.FUSE_SUPER_MAGIC:
		return placement{why: "FUSE does not say what its server does"}
	default:
		return placement{why: fmt.Sprintf("its filesystem (type %#x) is not one that is known to overwrite in place", uint32(fs.Type))}
	}
	return locateAgain(f)
}

// locateAgain looks at what can change while a file is open on a filesystem that
// overwrites in place: its attributes and its blocks. The kernel does not let a
// remount change how data is journalled.
func locateAgain(f *os.File) placement {
	flags, err := unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err != nil {
		return placement{why: fmt.Sprintf("its attributes are not known (%v)", err)}
	}
	if flags&journalDataFlag != 0 {
		// Without delayed allocation only, but that is not worth telling apart.
		return placement{why: "its data goes through the journal (attribute j): chattr -j its directory and create it again"}
	}
	where, why := extents(f)
	if why != "" {
		return placement{why: why}
	}
	return placement{kind: inPlace, layout: where}
}

const zfsMagic = 0x2FC12FC1 // OpenZFS, not in Linux's headers

// journalsAllData says why ext3 or ext4 would write every file's data to the
// journal, where it stays, before writing it in place; or "" if it doesn't. A mount
// option can make it, and so can a default in the superblock (tune2fs -o
// journal_data), which /proc/self/mountinfo does not show: the effective options
// are in /proc/fs/ext4.
func journalsAllData(f *os.File) string {
	var stat unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &stat); err != nil {
		return fmt.Sprintf("its device is not known (%v)", err)
	}
	device := fmt.Sprintf("%d:%d", unix.Major(uint64(stat.Dev)), unix.Minor(uint64(stat.Dev)))
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Sprintf("its mount options are not known (%v)", err)
	}
	kind, options, found := mountOptions(string(mounts), device)
	if !found {
		return "its mount is not in /proc/self/mountinfo"
	}
	if kind == "ext2" {
		return "" // has no journal
	}
	name, err := os.Readlink("/sys/dev/block/" + device)
	if err != nil {
		return fmt.Sprintf("its device's name is not known (%v)", err)
	}
	effective, err := os.ReadFile("/proc/fs/ext4/" + filepath.Base(name) + "/options")
	if err != nil {
		return fmt.Sprintf("its effective mount options are not known (%v)", err)
	}
	for line := range strings.Lines(string(effective)) {
		options = append(options, strings.TrimSpace(line))
	}
	if slices.Contains(options, "data=journal") {
		return "its data goes through the journal (data=journal): mount it with data=ordered"
	}
	return ""
}

const journalDataFlag = 0x4000 // FS_JOURNAL_DATA_FL of linux/fs.h

// mountOptions finds the filesystem with that device number in the text of
// /proc/self/mountinfo (proc_pid_mountinfo(5)) and returns its type and its own
// options, which all of its mounts share.
func mountOptions(mountinfo, device string) (kind string, options []string, found bool) {
	lines := bufio.NewScanner(strings.NewReader(mountinfo))
	for lines.Scan() {
		mount, super, ok := strings.Cut(lines.Text(), " - ")
		if f := strings.Fields(mount); !ok || len(f) < 3 || f[2] != device {
			continue
		}
		if f := strings.Fields(super); len(f) >= 3 {
			return f[0], strings.Split(f[len(f)-1], ","), true
		}
	}
	return "", nil, false
}

// fiemap and its extents, from linux/fiemap.h.
type fiemap struct {
	start, length uint64
	flags         uint32
	mapped, count uint32
	_             uint32
	extents       [fileSize / 512]fiemapExtent
}

type fiemapExtent struct {
	logical, physical, length uint64
	_                         [2]uint64
	flags                     uint32
	_                         [3]uint32
}

const (
	ioctlFiemap = 0xC020660B // FS_IOC_FIEMAP = _IOWR('f', 11, struct fiemap)
	fiemapSync  = 0x1

	extentLast   = 0x1
	extentMerged = 0x1000
	// Every other flag says that the bytes are not simply there: unknown or
	// delayed (not written yet), encoded, encrypted, unaligned, inline, in
	// another file's tail, unwritten, shared.
	extentShared = 0x2000
	extentInline = 0x200
)

// extents asks where on its device the file is, and says why not if the answer is
// not plain blocks that are the file's alone.
func extents(f *os.File) (where layout, why string) {
	m := fiemap{length: fileSize, flags: fiemapSync, count: fileSize / 512}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), ioctlFiemap, uintptr(unsafe.Pointer(&m))); errno != 0 {
		return layout{}, fmt.Sprintf("the place of its blocks is not known (FIEMAP: %v)", errno)
	}
	return place(m.extents[:min(m.mapped, uint32(len(m.extents)))])
}

func place(extents []fiemapExtent) (where layout, why string) {
	for _, e := range extents {
		switch flags := e.flags &^ (extentLast | extentMerged); {
		case flags&extentShared != 0:
			return layout{}, "its blocks are shared with a clone, so new bytes go elsewhere: remove the clone, or copy the file with --reflink=never"
		case flags&extentInline != 0:
			return layout{}, "its bytes are kept inline among the filesystem's own, which are journalled"
		case flags != 0:
			return layout{}, fmt.Sprintf("its blocks are not plainly on the disk (FIEMAP flags %#x)", flags)
		}
		for at := uint64(0); at < e.length; at += 512 {
			if i := (e.logical + at) / 512; i < uint64(len(where)) {
				where[i] = e.physical + at
			}
		}
	}
	for _, address := range where {
		if address == 0 {
			return layout{}, "it has a hole, so new bytes go elsewhere"
		}
	}
	return where, ""
}
