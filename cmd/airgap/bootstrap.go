package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"

	"airgap/bundle/image"
	"airgap/transfer"
	"airgap/transfer/sftp"
)

// privateFolder is where programs are put that only this user runs, below the
// login folder.
const privateFolder = ".cache/airgap"

// bring puts an airgap for the host's platform there, under a name that says
// what is in it. One that is there already is proven and used; what is installed
// there stays as it is.
func (h *hop) bring(ctx context.Context, bundle string) error {
	platform, err := h.platform(ctx)
	if err != nil {
		return err
	}
	binary, err := h.o.binaryFor(h.remote().Host(), platform)
	if err != nil {
		return err
	}
	defer binary.Close()
	file, err := programFile(binary)
	if err != nil {
		return err
	}
	folder, err := h.remote().Private(ctx, privateFolder)
	if err != nil && context.Cause(ctx) == nil { // no home there
		folder, err = h.remote().Private(ctx, path.Join(path.Dir(bundle), ".airgap"))
	}
	if err != nil {
		return err
	}
	receipt, err := h.upload(ctx, folder, file)
	if err != nil {
		return err
	}
	if h.airgap = receipt.Path; receipt.AlreadyThere {
		h.env.Note("%s: using %s, which was brought before", h.remote().Host(), h.airgap)
	}
	return folder.LetRun(ctx)
}

// upload sends the program, as far as possible from where it broke off.
func (h *hop) upload(ctx context.Context, folder transfer.Place, file transfer.File) (transfer.Receipt, error) {
	// Another send to the same host may be bringing the same program.
	o := transfer.SendOptions{Note: h.env.Note, Limit: h.o.bytesASecond, Wait: true}
	if h.together() { // its progress is not shown beside theirs
		return transfer.Send(ctx, folder, file, o)
	}
	progress := h.env.Progress("bringing airgap to "+h.remote().Host(), file.Size)
	defer progress.Stop()
	o.Progress = progress.Add
	receipt, err := transfer.Send(ctx, folder, file, o)
	if err == nil && !receipt.AlreadyThere {
		progress.Done()
	}
	return receipt, err
}

// programFile is a program as a file that is sent.
func programFile(f *os.File) (transfer.File, error) {
	sum := sha256.New()
	n, err := io.Copy(sum, f)
	digits := hex.EncodeToString(sum.Sum(nil))
	return transfer.File{Name: "airgap-" + digits[:16], Size: n, SHA256: digits, Data: f, Hashed: true}, err
}

// platformFollows is a line of its own before what uname says: whatever a .bashrc
// prints comes before it, with or without a line's end.
const platformFollows = "airgap-asks-uname"

// platform asks the host what it is.
func (h *hop) platform(ctx context.Context) (image.Platform, error) {
	out, err := h.question(ctx, "which platform it is", nil, "sh", "-c", "echo; echo "+platformFollows+"; exec uname -sm")
	var exit *sftp.ExitError
	if err != nil && !errors.As(err, &exit) {
		return image.Platform{}, err
	}
	greeting, said, asked := strings.Cut(out.String(), "\n"+platformFollows+"\n")
	said = strings.TrimSpace(said)
	if greeting = lastLine(greeting); exit != nil && !asked && greeting != "" { // as accounts have it that only take files, or let nobody in
		return image.Platform{}, fmt.Errorf("running uname at %s: %q: %w", h.remote().Host(), greeting, sftp.ErrNoCommands)
	}
	p, ok := unameIs[said]
	if !ok || err != nil {
		return p, &noBinaryError{Host: h.remote().Host(), Platform: strings.TrimSpace("uname -sm: " + said)}
	}
	return p, nil
}

// unameIs is what `uname -sm` says of platforms that make cross knows.
var unameIs = map[string]image.Platform{
	"Linux x86_64":  {OS: "linux", Architecture: "amd64"},
	"Linux aarch64": {OS: "linux", Architecture: "arm64"},
	"Linux arm64":   {OS: "linux", Architecture: "arm64"},
	"Darwin x86_64": {OS: "darwin", Architecture: "amd64"},
	"Darwin arm64":  {OS: "darwin", Architecture: "arm64"},
}

// binaryFor opens the program for a platform: from --binaries, else this one.
func (o *hopOptions) binaryFor(host string, p image.Platform) (*os.File, error) {
	missing := &noBinaryError{Host: host, Platform: p.String(), Dir: o.binaries}
	if o.binaries != "" {
		return binaryIn(filepath.Join(o.binaries, "airgap-"+p.OS+"-"+p.Architecture), p, missing)
	}
	if p.OS != runtime.GOOS || p.Architecture != runtime.GOARCH {
		return nil, missing
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return os.Open(self)
}

// binaryIn opens a program, unless it is missing or plainly for another platform.
func binaryIn(path string, p image.Platform, missing *noBinaryError) (*os.File, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, missing
	}
	if err != nil {
		return nil, err
	}
	if is := builtFor(f); is != "" && is != p.OS+"/"+p.Architecture {
		missing.Wrong, missing.Is = path, is
		return nil, errors.Join(missing, f.Close())
	}
	return f, nil
}

// builtFor is the platform that a program says it is for; empty for what is no
// program that is known.
func builtFor(r io.ReaderAt) string {
	head := make([]byte, 20)
	if _, err := r.ReadAt(head, 0); err != nil {
		return ""
	}
	word, half := binary.LittleEndian.Uint32, binary.LittleEndian.Uint16
	switch {
	case bytes.HasPrefix(head, []byte("\x7fELF")):
		return cmp.Or(map[uint16]string{62: "linux/amd64", 183: "linux/arm64"}[half(head[18:])], "another processor")
	case word(head) == 0xfeedfacf: // Mach-O
		return cmp.Or(map[uint32]string{0x01000007: "darwin/amd64", 0x0100000c: "darwin/arm64"}[word(head[4:])], "another processor")
	case bytes.HasPrefix(head, []byte("MZ")):
		return "windows"
	}
	return ""
}
