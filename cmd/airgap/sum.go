package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"

	"airgap/cmd/airgap/internal/ui"
	"airgap/transfer"
)

// fileToSend is the bundle as the bytes that travel. Their sum is that of the
// file beside it, which pack has written; without one it is made.
func fileToSend(ctx context.Context, env *ui.Env, b *bundleFile) (transfer.File, error) {
	file := transfer.File{Name: filepath.Base(b.name), Size: b.size, Data: b.data}
	if b.set != nil {
		file.Name, file.SHA256 = b.set.Name(), b.set.SHA256()
		return file, nil
	}
	var err error
	file.SHA256, err = sumFor(ctx, env, b.name, b.data, b.size)
	return file, err
}

// sumFor is the sum of a file: that beside it, or one that is made.
func sumFor(ctx context.Context, env *ui.Env, name string, data io.ReaderAt, size int64) (string, error) {
	sum, err := readSum(name + ".sha256")
	if err == nil {
		return sum, nil
	}
	env.Detail("%s.sha256 cannot be used (%v): making the sum", name, err)
	return makeSum(ctx, env, name, data, size)
}

// sumForm is how a line of sha256sum starts.
var sumForm = regexp.MustCompile(`^([0-9a-f]{64})[ \n]`)

func readSum(path string) (string, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	m := sumForm.FindSubmatch(raw)
	if m == nil {
		return "", fmt.Errorf("%q does not start with a sum", path)
	}
	return string(m[1]), nil
}

func makeSum(ctx context.Context, env *ui.Env, name string, data io.ReaderAt, size int64) (string, error) {
	progress := env.Progress("hashing", size)
	defer progress.Stop()
	h := sha256.New()
	r := counted{io.NewSectionReader(data, 0, size), func(n int64) { progress.Add(n) }}
	for {
		if _, err := io.CopyN(h, r, 8<<20); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return "", fmt.Errorf("reading %q: %w", name, err)
		}
		if err := context.Cause(ctx); err != nil {
			return "", err
		}
	}
	progress.Done()
	return hex.EncodeToString(h.Sum(nil)), nil
}
