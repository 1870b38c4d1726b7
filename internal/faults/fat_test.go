//go:build linux

package faults_test

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// stick is a folder that behaves like a FAT file system, through FUSE: files of
// less than 4 GiB, no links, no modes or owners, times to two seconds, few
// characters in names.
type stick struct {
	dir string // where it is mounted
	on  string // where its files are in fact
}

func newStick(t *testing.T) stick {
	t.Helper()
	needRoot(t, "fuse")
	if _, err := os.Stat("/dev/fuse"); err != nil {
		missing(t, "fuse", err.Error())
	}
	s := stick{dir: folder(t), on: folder(t)}
	root, err := fs.NewLoopbackRoot(s.on)
	if err != nil {
		t.Fatal(err)
	}
	server, err := fs.Mount(s.dir, &fatNode{root.(*fs.LoopbackNode)}, &fs.Options{
		MountOptions: fuse.MountOptions{FsName: "stick", Name: "fat", DirectMountStrict: true, MaxWrite: 512 << 10},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(s.dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
		server.Wait()
	})
	return s
}

// fatNode is a file or a folder of it.
type fatNode struct{ *fs.LoopbackNode }

// fatFile is an open one. The kernel is not to go past us to the real file.
type fatFile struct{ *fs.LoopbackFile }

func (fatFile) PassthroughFd() (int, bool) { return 0, false }

func (f fatFile) Write(ctx context.Context, data []byte, off int64) (uint32, syscall.Errno) {
	if off+int64(len(data)) > math.MaxUint32 {
		return 0, syscall.EFBIG
	}
	return f.LoopbackFile.Write(ctx, data, off)
}

func (fatFile) Allocate(context.Context, uint64, uint64, uint32) syscall.Errno {
	return syscall.EOPNOTSUPP
}

func (n *fatNode) WrapChild(_ context.Context, ops fs.InodeEmbedder) fs.InodeEmbedder {
	return &fatNode{ops.(*fs.LoopbackNode)}
}

func (n *fatNode) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	f, how, errno := n.LoopbackNode.Open(ctx, flags)
	if errno != 0 {
		return nil, 0, errno
	}
	return fatFile{f.(*fs.LoopbackFile)}, how, 0
}

func (n *fatNode) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	if strings.ContainsAny(name, `"*:<>?|\`) {
		return nil, nil, 0, syscall.EINVAL
	}
	inode, f, how, errno := n.LoopbackNode.Create(ctx, name, flags, 0o755, out)
	if errno != 0 {
		return nil, nil, 0, errno
	}
	plain(&out.Attr)
	return inode, fatFile{f.(*fs.LoopbackFile)}, how, 0
}

func (n *fatNode) Rename(ctx context.Context, name string, parent fs.InodeEmbedder, to string, flags uint32) syscall.Errno {
	if strings.ContainsAny(to, `"*:<>?|\`) {
		return syscall.EINVAL
	}
	return n.LoopbackNode.Rename(ctx, name, parent.(*fatNode).LoopbackNode, to, flags)
}

func (n *fatNode) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	inode, errno := n.LoopbackNode.Lookup(ctx, name, out)
	plain(&out.Attr)
	return inode, errno
}

func (n *fatNode) Getattr(ctx context.Context, f fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	errno := n.LoopbackNode.Getattr(ctx, f, out)
	plain(&out.Attr)
	return errno
}

// Setattr passes over modes and owners, as mounts for desktops do.
func (n *fatNode) Setattr(ctx context.Context, f fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if size, ok := in.GetSize(); ok && size > math.MaxUint32 {
		return syscall.EFBIG
	}
	in.Valid &^= fuse.FATTR_MODE | fuse.FATTR_UID | fuse.FATTR_GID
	errno := n.LoopbackNode.Setattr(ctx, f, in, out)
	plain(&out.Attr)
	return errno
}

// plain is what such a file system knows of a file.
func plain(a *fuse.Attr) {
	a.Mode = a.Mode&^0o777 | 0o755
	a.Mtime, a.Mtimensec = a.Mtime&^1, 0
}

func (n *fatNode) Link(context.Context, fs.InodeEmbedder, string, *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return nil, syscall.EPERM
}

func (n *fatNode) Symlink(context.Context, string, string, *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return nil, syscall.EPERM
}

func (n *fatNode) Setxattr(context.Context, string, []byte, uint32) syscall.Errno {
	return syscall.EOPNOTSUPP
}

func (n *fatNode) Getxattr(context.Context, string, []byte) (uint32, syscall.Errno) {
	return 0, syscall.EOPNOTSUPP
}

// pull ends the file system as the death of its server, or of the stick, does.
func (s stick) pull(t *testing.T) {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(s.dir, &st); err != nil {
		t.Fatal(err)
	}
	control := folder(t)
	must(t, "mount", "-t", "fusectl", "fusectl", control)
	defer must(t, "umount", control)
	put(t, filepath.Join(control, strconv.FormatUint(uint64(unix.Minor(st.Dev)), 10), "abort"), []byte("1"))
}

// TestStick (F9) does with a FAT file system what its users do: a send, the
// same again, one over an older bundle or what is left of it, volumes, a lost one,
// and unpacks from it.
func TestStick(t *testing.T) {
	b, s := bundleOf(t), newStick(t)
	older, err := pack("older", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("a", filepath.Join(s.dir, "b")); err == nil {
		t.Fatal("this stick has links")
	}
	ends(t, 0, "sent, ", "send", s.dir)
	b.arrived(t, s.dir)
	ends(t, 0, "already there", "send", s.dir)
	for _, old := range [][]byte{older.raw, older.raw[:len(older.raw)/2], b.raw[:len(b.raw)-1], nil} {
		put(t, filepath.Join(s.dir, bundleName), old)
		ends(t, 0, "sent, replacing", "send", s.dir)
		b.arrived(t, s.dir)
	}
	put(t, filepath.Join(s.dir, bundleName), []byte("notes"))
	ends(t, exitRefused, "is not replaced", "send", s.dir)
	must(t, "rm", filepath.Join(s.dir, bundleName))
	ends(t, 0, "sent, ", "send", s.dir)
	b.arrived(t, s.dir)
	ends(t, 0, "verified and imported", "unpack", "--to", "oci:"+filepath.Join(folder(t), "layout"), filepath.Join(s.dir, bundleName))
	must(t, "rm", filepath.Join(s.dir, bundleName), filepath.Join(s.dir, bundleName+".sha256"))

	ends(t, 0, "sent, ", "send", "--volume-size", "4MiB", "--parity", "40%", "--with-binary", s.dir)
	must(t, "rm", filepath.Join(s.dir, bundleName+".002"))
	ends(t, 0, "verified and imported", "unpack", "--to", "oci:"+filepath.Join(folder(t), "layout"), s.dir)
	ends(t, 0, "", "repair", s.dir)
	ends(t, 0, "", "verify", s.dir)
}

// TestStickPulled (F12) pulls it at several moments before all is written. That
// is told as a fault of the medium, nothing has the final name, and the next send
// goes through.
func TestStickPulled(t *testing.T) {
	b := bundleOf(t)
	n := times(3, 50)
	for i := range n {
		s := newStick(t)
		cmd := command(t, world.airgap, "send", "--limit", "30MiB/s", s.dir)
		out := begun(t, cmd)
		start := time.Now()
		grown(t, filepath.Join(s.on, b.partial()), int64(len(b.raw)/(n+2)*(i+1)))
		s.pull(t)
		if status := finished(t, cmd, cmd.Wait()); status != exitMedium {
			t.Errorf("status %d:\n%s", status, out)
		}
		if there, whole := b.final(t, s.on); there {
			t.Errorf("the final name is there, whole: %t", whole)
		}
		t.Logf("pulled after %v", time.Since(start).Round(time.Millisecond))
		ends(t, 0, "sent, ", "send", s.on)
		b.arrived(t, s.on)
	}
	t.Logf("F12: %d sticks pulled, %d survived, wrong results 0", n, n)
}
