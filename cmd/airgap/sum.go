package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"regexp"

	"airgap/cmd/airgap/internal/ui"
	"airgap/transfer"
	"airgap/verify"
)

// fileToSend is the bundle as the bytes that travel. Their sum is that of the
// file beside it, which pack has written; without one it is made, and the bundle
// is proven on the way.
func fileToSend(ctx context.Context, env *ui.Env, b *bundleFile) (_ transfer.File, err error) {
	file := transfer.File{Name: b.fileName(), Size: b.size, Data: b.data, Mode: b.perm()}
	if b.set != nil {
		file.SHA256 = b.set.SHA256()
		return file, nil
	}
	if file.SHA256, err = sumBeside(b.name); err == nil {
		return file, nil
	}
	env.Detail("%s.sha256 cannot be used (%v): making the sum", b.name, err)
	progress := env.Progress("hashing", file.Size)
	defer progress.Stop()
	if file.SHA256, err = sumOf(ctx, env, b, progress.Add); err == nil {
		progress.Done()
	}
	file.Hashed = true
	return file, err
}

// perm are the permission bits that each file has in which the bundle is.
func (b *bundleFile) perm() fs.FileMode {
	if b.set == nil {
		return permOf(b.name)
	}
	return permOf(b.set.Files()...)
}

// permOf are the permission bits that all of some files have; 0 if that is not known.
func permOf(paths ...string) fs.FileMode {
	perm := fs.ModePerm
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return 0
		}
		perm &= info.Mode().Perm() | 0o600
	}
	return perm
}

// sumOf makes the sum of a bundle, and compares the one in its trailer. A plain
// tar has none: all that is in it is proven instead.
func sumOf(ctx context.Context, env *ui.Env, b *bundleFile, progress func(int64)) (string, error) {
	if b.Plain() {
		docs, err := verify.Read(ctx, b.Bundle)
		if err == nil {
			_, _, err = check(ctx, env, b, docs, verify.Digests)
		}
		if err != nil {
			return "", named(b.name, err)
		}
	}
	sum, err := b.Sum(ctx, progress)
	return sum, named(b.name, err)
}

// sumForm is how a line of sha256sum starts.
var sumForm = regexp.MustCompile(`^\\?([0-9a-f]{64})[ \n]`)

// sumBeside is the sum in the file of sums beside a file. One that is older than
// the file is most likely about another.
func sumBeside(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	sums, err := os.Stat(path + ".sha256")
	if err != nil {
		return "", err
	}
	if !sums.Mode().IsRegular() {
		return "", errors.New("it is not a regular file")
	}
	if sums.ModTime().Before(info.ModTime()) {
		return "", errors.New("it is older than the file")
	}
	f, err := os.Open(path + ".sha256")
	if err != nil {
		return "", err
	}
	defer f.Close()
	start := make([]byte, hex.EncodedLen(sha256.Size)+2) // the rest may be as long as somebody likes
	n, err := io.ReadFull(f, start)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return "", err
	}
	m := sumForm.FindSubmatch(start[:n])
	if m == nil {
		return "", errors.New("it does not start with a sum")
	}
	return string(m[1]), nil
}
