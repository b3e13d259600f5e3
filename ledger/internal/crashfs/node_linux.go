package crashfs

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// node is a file or directory that records what is done to it. What could
// not be recorded or replayed is refused.
type node struct {
	*fs.LoopbackNode
	r *recorder
}

var (
	_ fs.NodeWrapChilder    = (*node)(nil)
	_ fs.NodeCreater        = (*node)(nil)
	_ fs.NodeOpener         = (*node)(nil)
	_ fs.NodeOpendirHandler = (*node)(nil)
	_ fs.NodeMkdirer        = (*node)(nil)
	_ fs.NodeRenamer        = (*node)(nil)
	_ fs.NodeUnlinker       = (*node)(nil)
	_ fs.NodeRmdirer        = (*node)(nil)
	_ fs.NodeSetattrer      = (*node)(nil)
	_ fs.NodeSymlinker      = (*node)(nil)
	_ fs.NodeLinker         = (*node)(nil)
	_ fs.NodeMknoder        = (*node)(nil)
)

func (n *node) WrapChild(_ context.Context, ops fs.InodeEmbedder) fs.InodeEmbedder {
	return &node{LoopbackNode: ops.(*fs.LoopbackNode), r: n.r}
}

// rel is the path under the mount.
func (n *node) rel() string { return filepath.Join(".", n.Path(n.Root())) }

func (n *node) child(name string) string { return filepath.Join(n.rel(), name) }

// backing is the path of the real file.
func (n *node) backing(rel string) string { return filepath.Join(n.RootData.Path, rel) }

// notDirect takes away O_DIRECT, which would want aligned memory from this
// process. The kernel has kept the caller's part of it.
func notDirect(flags uint32) uint32 { return flags &^ syscall.O_DIRECT }

func (n *node) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (ino *fs.Inode, h fs.FileHandle, fuseFlags uint32, errno syscall.Errno) {
	path := n.child(name)
	r := n.r
	r.mu.Lock()
	defer r.mu.Unlock()
	failed, happens := r.fault(Create, path)
	if !happens {
		return nil, nil, 0, failed
	}
	_, err := os.Lstat(n.backing(path))
	created := os.IsNotExist(err)
	ino, h, fuseFlags, errno = n.LoopbackNode.Create(ctx, name, notDirect(flags), mode, out)
	if errno != 0 {
		return nil, nil, 0, errno
	}
	file := &handle{LoopbackFile: h.(*fs.LoopbackFile), r: r, n: ino.Operations().(*node), file: r.file(out.Ino)}
	switch {
	case created:
		r.add(Op{Kind: Create, Path: path, File: file.file})
	case flags&syscall.O_TRUNC != 0:
		r.add(Op{Kind: Truncate, Path: path, File: file.file})
	}
	if failed != 0 {
		_ = file.LoopbackFile.Release(ctx) // the kernel never learns of it
		return nil, nil, 0, failed
	}
	return ino, file, fuseFlags, 0
}

func (n *node) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	n.r.mu.Lock()
	defer n.r.mu.Unlock()
	h, fuseFlags, errno := n.LoopbackNode.Open(ctx, notDirect(flags))
	if errno != 0 {
		return nil, 0, errno
	}
	lf := h.(*fs.LoopbackFile)
	var out fuse.AttrOut
	if errno := lf.Getattr(ctx, &out); errno != 0 {
		_ = lf.Release(ctx)
		return nil, 0, errno
	}
	file := &handle{LoopbackFile: lf, r: n.r, n: n, file: n.r.file(out.Ino)}
	if flags&syscall.O_TRUNC != 0 {
		n.r.add(Op{Kind: Truncate, Path: n.rel(), File: file.file})
	}
	return file, fuseFlags, 0
}

func (n *node) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (ino *fs.Inode, errno syscall.Errno) {
	errno = n.r.do(Op{Kind: Mkdir, Path: n.child(name)}, func() (e syscall.Errno) {
		ino, e = n.LoopbackNode.Mkdir(ctx, name, mode, out)
		return e
	})
	return ino, errno
}

func (n *node) Rename(ctx context.Context, name string, newParent fs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	const noReplace = 1
	if flags&^noReplace != 0 {
		return syscall.EINVAL
	}
	to := newParent.(*node)
	op := Op{Kind: Rename, Path: n.child(name), NewPath: to.child(newName)}
	return n.r.do(op, func() syscall.Errno {
		if flags == noReplace {
			// The kernel holds both directories: nobody comes in between.
			if _, err := os.Lstat(n.backing(op.NewPath)); err == nil {
				return syscall.EEXIST
			}
		}
		return n.r.losing(n.backing(op.NewPath), func() syscall.Errno {
			return fs.ToErrno(os.Rename(n.backing(op.Path), n.backing(op.NewPath)))
		})
	})
}

func (n *node) Unlink(ctx context.Context, name string) syscall.Errno {
	path := n.child(name)
	return n.r.do(Op{Kind: Unlink, Path: path}, func() syscall.Errno {
		return n.r.losing(n.backing(path), func() syscall.Errno { return n.LoopbackNode.Unlink(ctx, name) })
	})
}

// losing does what takes a file's only name away, and then lets go of its
// number: the backing file system may use the inode for another.
func (r *recorder) losing(backing string, do func() syscall.Errno) syscall.Errno {
	var st syscall.Stat_t
	there := syscall.Lstat(backing, &st) == nil
	errno := do()
	if there && errno == 0 {
		delete(r.files, st.Ino)
	}
	return errno
}

func (n *node) Rmdir(ctx context.Context, name string) syscall.Errno {
	return n.r.do(Op{Kind: Unlink, Path: n.child(name)}, func() syscall.Errno { return n.LoopbackNode.Rmdir(ctx, name) })
}

func (n *node) Setattr(ctx context.Context, f fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	var inner fs.FileHandle
	if h, ok := f.(*handle); ok {
		inner = h.LoopbackFile
	}
	set := func() syscall.Errno { return n.LoopbackNode.Setattr(ctx, inner, in, out) }
	size, ok := in.GetSize()
	if !ok {
		return set()
	}
	op := Op{Kind: Truncate, Path: n.rel(), Size: int64(size)}
	if h, ok := f.(*handle); ok {
		op.File = h.file
	} else {
		var st syscall.Stat_t
		if err := syscall.Lstat(n.backing(op.Path), &st); err != nil {
			return fs.ToErrno(err)
		}
		n.r.mu.Lock()
		op.File = n.r.file(st.Ino)
		n.r.mu.Unlock()
	}
	return n.r.do(op, set)
}

func (*node) Symlink(context.Context, string, string, *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return nil, syscall.ENOTSUP
}

func (*node) Link(context.Context, fs.InodeEmbedder, string, *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return nil, syscall.ENOTSUP
}

func (*node) Mknod(context.Context, string, uint32, uint32, *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return nil, syscall.ENOTSUP
}

// CopyFileRange is refused, so that the kernel copies by writes.
func (*node) CopyFileRange(context.Context, fs.FileHandle, uint64, *fs.Inode, fs.FileHandle, uint64, uint64, uint64) (uint32, syscall.Errno) {
	return 0, syscall.EOPNOTSUPP
}

// OpendirHandle gives a handle whose fsync is on record.
func (n *node) OpendirHandle(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	h, fuseFlags, errno := n.LoopbackNode.OpendirHandle(ctx, flags)
	if errno != 0 {
		return nil, 0, errno
	}
	return &dir{stream: h.(stream), n: n}, fuseFlags, 0
}

type stream interface {
	fs.FileReaddirenter
	fs.FileSeekdirer
	fs.FileReleasedirer
}

type dir struct {
	stream
	n *node
}

func (d *dir) Fsyncdir(context.Context, uint32) syscall.Errno {
	return d.n.r.fsync(FsyncDir, d.n.rel(), 0)
}

// handle is an open file.
type handle struct {
	*fs.LoopbackFile
	r    *recorder
	n    *node
	file uint64
}

// PassthroughFd says no: the kernel would write past this process.
func (*handle) PassthroughFd() (int, bool) { return 0, false }

func (h *handle) Read(ctx context.Context, b []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	h.r.mu.Lock()
	errno, _ := h.r.fault(Read, h.n.rel())
	h.r.mu.Unlock()
	if errno != 0 {
		return nil, errno
	}
	return h.LoopbackFile.Read(ctx, b, off)
}

func (h *handle) Write(ctx context.Context, data []byte, off int64) (uint32, syscall.Errno) {
	op := Op{Kind: Write, Path: h.n.rel(), File: h.file, Offset: off, Data: slices.Clone(data)}
	errno := h.r.do(op, func() syscall.Errno {
		for done := 0; done < len(data); {
			n, errno := h.LoopbackFile.Write(ctx, data[done:], off+int64(done))
			if errno != 0 {
				return errno
			}
			done += int(n)
		}
		return 0
	})
	if errno != 0 {
		return 0, errno
	}
	return uint32(len(data)), 0
}

func (h *handle) Fsync(context.Context, uint32) syscall.Errno {
	return h.r.fsync(Fsync, h.n.rel(), h.file)
}

// Allocate of a longer file is a truncate; other kinds are refused.
func (h *handle) Allocate(context.Context, uint64, uint64, uint32) syscall.Errno {
	return syscall.EOPNOTSUPP
}
