package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"airgap/bundle"
	"airgap/bundle/image"
	"airgap/bundle/store"
	"airgap/bundle/store/docker"
	"airgap/bundle/store/registry"
	"airgap/cmd/airgap/internal/ui"
	"airgap/transfer"
	"airgap/transfer/sftp"
	"airgap/verify/load"
)

var amd64 = image.Platform{OS: "linux", Architecture: "amd64"}

// explained tells of every typed error what becomes of it: the command, the
// error, the exit status and a part of the first hint.
var explained = []struct {
	command string
	err     error
	code    ui.Status
	hint    string
}{
	{"verify", &bundle.DamagedError{What: "x", Err: errors.New("y")}, ui.Damaged, "airgap send"},
	{"verify", &bundle.NewerError{Format: 2}, ui.Failed, "newer airgap"},
	{"verify", &bundle.ReadError{Err: syscall.EIO}, ui.Medium, "another"},
	{"verify", fmt.Errorf("damaged: %w", &bundle.DamagedError{Err: &bundle.ReadError{Err: syscall.EIO}}), ui.Medium, "another"},
	{"unpack", &bundle.ForeignError{Kind: bundle.KindDockerArchive}, ui.Damaged, "docker load -i FILE"},
	{"unpack", &bundle.ForeignError{Kind: bundle.KindOCIArchive}, ui.Damaged, "oci-archive:FILE"},
	{"unpack", &bundle.ForeignError{Kind: bundle.KindGzip}, ui.Damaged, "gzip"},
	{"unpack", &bundle.ForeignError{}, ui.Damaged, "airgap pack"},
	{"pack", &image.PlatformError{Image: "a", Have: []image.Platform{amd64}}, ui.Refused, "airgap pack --platform linux/amd64"},
	{"unpack", &image.PlatformError{Image: "a", Want: []image.Platform{amd64}}, ui.Refused, "airgap pack --platform linux/amd64 a"},
	{"verify", &image.WrongLayerError{Err: errors.New("x")}, ui.Refused, "pack it with --verify"},
	{"pack", &image.WrongLayerError{Err: errors.New("x")}, ui.Refused, "pull it again"},
	{"pack", &image.UnsupportedError{Image: "a", Why: "old"}, ui.Failed, ""},
	{"pack", fmt.Errorf("image: %w", image.ErrNotFound), ui.Failed, "check the name"},
	{"pack", &store.SpecError{Spec: "oci:"}, ui.Usage, "airgap pack --help"},
	{"pack", &registry.Error{Host: "r:1", Kind: registry.Unauthorized, Err: errors.New("401")}, ui.Failed, "docker login r:1"},
	{"pack", &registry.Error{Host: "r:1", Kind: registry.Limited, Err: errors.New("429")}, ui.Failed, "docker login r:1"},
	{"pack", &registry.Error{Host: "r:1", Kind: registry.Failed, Err: errors.New("500")}, ui.Failed, "ask those who run r:1"},
	{"pack", &registry.Error{Host: "r:1", Kind: registry.Unreachable, Err: errors.New("refused")}, ui.Failed, "whether r:1 is the right host"},
	{"pack", &registry.Error{Host: "r:1", Kind: registry.Unreachable, Err: &tls.CertificateVerificationError{Err: errors.New("x")}}, ui.Failed, "--ca-file FILE"},
	{"pack", &registry.Error{Host: "r:1", Kind: registry.Unreachable, Err: errors.New("server gave HTTP response to HTTPS client")}, ui.Failed, "--plain-http r:1"},
	{"pack", &registry.Error{Host: "r:1", Kind: registry.Credentials, Err: errors.New("x")}, ui.Failed, "mend what is stored on this machine: ~/.docker/config.json"},
	{"pack", errors.Join(image.ErrNotFound, &docker.Error{Kind: docker.Settings, Err: errors.New("x")}), ui.Failed, "only in the local engine: mend DOCKER_HOST"},
	{"unpack", &docker.Error{Kind: docker.Settings, Err: errors.New("x")}, ui.Engine, "mend DOCKER_HOST"},
	{"pack", errors.Join(image.ErrNotFound, &docker.Error{Kind: docker.Unreachable, Err: errors.New("x")}), ui.Failed, "only in the local engine"},
	{"pack", errors.Join(&registry.Error{Kind: registry.Unauthorized, Err: errors.New("401")}, &docker.Error{Kind: docker.Unreachable, Err: errors.New("x")}), ui.Failed, "only in the local engine"},
	{"unpack", &docker.Error{Kind: docker.Unreachable, Err: errors.New("x")}, ui.Engine, "DOCKER_HOST"},
	{"unpack", &docker.Error{Kind: docker.Permission, Err: errors.New("x")}, ui.Engine, "sudo"},
	{"unpack", &docker.Error{Kind: docker.Failed, Err: errors.New("x")}, ui.Engine, "log"},
	{"unpack", &docker.Error{Kind: docker.Mismatch, Err: errors.New("x")}, ui.Engine, "disk"},
	{"unpack", &docker.Error{Kind: docker.NoSpace, Err: errors.New("x")}, ui.NoSpace, "docker system df"},
	{"unpack", fmt.Errorf("its name by digest %w", image.ErrPinned), ui.Refused, "pull it again"},
	{"unpack", &load.ReplaceError{}, ui.Refused, "--no-replace"},
	{"unpack", &load.NoMatchError{Glob: "x"}, ui.Failed, "airgap inspect"},
	{"unpack", &load.CommitError{Err: errors.New("x")}, ui.Engine, "same command again"},
	{"unpack", &load.CommitError{Err: &load.ReplaceError{}}, ui.Refused, "--no-replace"},
	{"unpack", &load.ChangedError{Gone: []string{"x"}}, ui.Failed, "who else changes images"},
	{"unpack", &load.ChangedError{Err: &docker.Error{Kind: docker.Unreachable}}, ui.Engine, "start the engine"},
	{"unpack", fmt.Errorf("image: %w", image.ErrGone), ui.Failed, "who else changes images"},
	{"pack", &os.PathError{Op: "write", Path: "p", Err: syscall.ENOSPC}, ui.NoSpace, "make room"},
	{"pack", &os.PathError{Op: "create", Path: "p", Err: fs.ErrExist}, ui.Refused, "--no-clobber"},
	{"send", &transfer.HostKeyError{Kind: transfer.UnknownHost, Host: "[h]:2222", KeyType: "ed25519", Files: []string{"/k"}}, ui.Refused, "ssh-keyscan -t ed25519 -p 2222 h >> /k"},
	{"send", &transfer.HostKeyError{Kind: transfer.UnknownHost, Host: "h", KeyType: "ecdsa-sha2-nistp256"}, ui.Refused, "ssh-keyscan -t ecdsa -p 22 h >> ~/.ssh/known_hosts"},
	{"send", &transfer.HostKeyError{Kind: transfer.ChangedKey, Host: "h", Files: []string{"/k"}}, ui.Refused, "ssh-keygen -R 'h' -f /k"},
	{"send", &transfer.HostKeyError{Kind: transfer.RevokedKey, Host: "h"}, ui.Refused, "revoked"},
	{"send", &transfer.AuthError{Host: "h", User: "u"}, ui.Transfer, "ssh u@h"},
	{"send", &sftp.ConfigError{Host: "h", Setting: "ProxyCommand x"}, ui.Transfer, "--ssh ssh"},
	{"send", &transfer.NoSpaceError{Place: "h", Path: "/x", Need: 3000, Free: 1000}, ui.NoSpace, "2.0 kB"},
	{"send", &transfer.NoSpaceError{Place: "h", Path: "/x", Need: 3000, Free: -1}, ui.NoSpace, "3.0 kB"},
	{"send", &transfer.NoSpaceError{Place: "h", Path: "/x", Need: 3000, Free: 5000, Err: errors.New("disk quota exceeded")}, ui.NoSpace, "below your quota"},
	{"send", &transfer.MediumError{Path: "/x", Err: errors.New("x")}, ui.Medium, "another medium"},
	{"send", &transfer.MediumError{Path: "/x", Err: fs.ErrPermission}, ui.Failed, "may write to"},
	{"send", &transfer.BusyError{Path: "/x"}, ui.Transfer, "wait for its end"},
	{"send", &transfer.GoneError{Path: "/x", Err: fs.ErrNotExist}, ui.Transfer, "what removes"},
	{"send", fmt.Errorf("folder: %w", fs.ErrNotExist), ui.Failed, "make the folder"},
	{"send", &sftp.FolderError{Dest: sftp.Dest{User: "u", Host: "h", Port: "22"}, Dir: "/a"}, ui.Failed, "ssh -p 22 u@h mkdir -p /a"},
	{"send", &sftp.FolderError{Dest: sftp.Dest{Host: "h"}, Dir: "-a b"}, ui.Failed, `ssh h 'mkdir -p ./-a\ b'`},
	{"send", &sftp.FolderError{Dest: sftp.Dest{Host: "h"}, Dir: "/a/b", File: "/a"}, ui.Failed, "name a folder that is there"},
	{"send", &transfer.InterruptedError{Place: "h", Err: &net.DNSError{IsNotFound: true}}, ui.Transfer, "airgap pack"},
	{"send", &transfer.MediumError{Path: "/x", Err: transfer.ErrNotRegular}, ui.Refused, "remove it first"},
	{"send", &transfer.MediumError{Path: "/x", Err: &os.PathError{Err: syscall.ENAMETOOLONG}}, ui.Failed, "shorter name"},
	{"send", &transfer.MediumError{Path: "/x", Err: &os.PathError{Err: syscall.EROFS}}, ui.Medium, "mounted read-only"},
	{"send", &unexpectedError{"a", "b"}, ui.Refused, "another folder"},
	{"send", &transfer.NoSpaceError{Place: "h", Path: "/x", Need: 100, Free: 15 << 20}, ui.NoSpace, "make room there"},
	{"send", &transfer.ForeignError{Place: "h", Path: "/x"}, ui.Refused, "remove it first"},
	{"send", &transfer.MeanwhileError{Place: "h", Path: "/x", Appeared: true, Kept: "h:/.x.partial"}, ui.Refused, "not sent again"},
	{"send", &transfer.MeanwhileError{Place: "h", Path: "/x.sha256", Named: true}, ui.Refused, "another name"},
	{"send", &transfer.ReplacedError{Place: "h", Path: "/x"}, ui.Transfer, "another name"},
	{"send", &transfer.ChangedError{Name: "b"}, ui.Damaged, "airgap verify b"},
	{"send", &transfer.InterruptedError{Place: "h", Err: errors.New("x")}, ui.Transfer, "check the host"},
	{"send", &transfer.InterruptedError{Place: "h", Partial: "/.b.partial", Err: errors.New("x")}, ui.Transfer, "where it stopped"},
	{"send", &thereError{Host: "h", Status: ui.Engine, Text: "x", Hints: []string{"start the engine"}}, ui.Engine, "at h: start the engine"},
	{"send", &thereError{Host: "h", Status: ui.Refused, Text: "x", Hints: []string{"airgap pack --platform all"}}, ui.Refused, "airgap pack"},
	{"send", &thereError{Host: "h", Status: ui.Failed, Text: "x"}, ui.Failed, "log in at h"},
	{"send", &noAirgapError{Host: "h"}, ui.Failed, "--bootstrap"},
	{"send", &noAirgapError{Host: "h", Version: "v1"}, ui.Failed, "--bootstrap"},
	{"send", &noBinaryError{Host: "h", Platform: "linux/arm64"}, ui.Refused, "make cross"},
	{"send", &cannotRunError{"h", "/x", "permission denied"}, ui.Failed, "noexec"},
	{"send", fmt.Errorf("running: %w", sftp.ErrNoCommands), ui.Failed, "leave out --unpack"},
	{"probe", &roomError{"/var/lib/docker", 3000, 1000}, ui.NoSpace, "2.0 kB"},
	{"probe", &image.PlatformError{Image: "a", Want: []image.Platform{amd64}}, ui.Refused, "airgap pack --platform linux/amd64 a"},
	{"pack", errors.New("anything"), ui.Failed, ""},
}

func TestExplain(t *testing.T) {
	for _, c := range explained {
		err := inState("as it was", fmt.Errorf("doing: %w", c.err))
		var got *ui.Error
		if !errors.As(explain(t.Context(), "airgap "+c.command, err), &got) {
			t.Fatalf("%v: not explained", c.err)
		}
		hint := strings.Join(got.Hints, " ")
		if got.Code != c.code || !strings.Contains(hint, c.hint) || c.hint == "" && hint != "" {
			t.Errorf("%T %v: status %d, hints %q; expected %d, %q", c.err, c.err, got.Code, got.Hints, c.code, c.hint)
		}
		if got.State != "as it was" || !strings.Contains(got.Error(), "doing: ") {
			t.Errorf("%v: state %q, error %q", c.err, got.State, got)
		}
	}
}

// TestExplainInterrupted does not blame what only came of the interruption.
func TestExplainInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errInterrupted)
	err := explain(ctx, "airgap pack", inState("nothing has been written", &registry.Error{Kind: registry.Unreachable, Err: context.Canceled}))
	var got *ui.Error
	if !errors.As(err, &got) || got.Code != ui.Interrupted || got.State != "nothing has been written" || got.Error() != "interrupted" {
		t.Errorf("got %+v", got)
	}
}

// TestTransferState names the partial that a resumed transfer continues, also
// when it was interrupted.
func TestTransferState(t *testing.T) {
	cut := &transfer.InterruptedError{Place: "h", Partial: "h:/.b.partial", Err: errors.New("x")}
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	for _, want := range []ui.Status{ui.Transfer, ui.Interrupted} {
		var got *ui.Error
		errors.As(explain(ctx, "airgap send", cut), &got)
		if got.Code != want || got.State != "what has arrived is kept as partial file h:/.b.partial" || len(got.Hints) != 1 {
			t.Errorf("status %d, state %q, hints %q", got.Code, got.State, got.Hints)
		}
		cancel(errInterrupted)
	}
}

// TestMeanwhileState says where the file is that was not named.
func TestMeanwhileState(t *testing.T) {
	for want, err := range map[string]error{
		"what has been sent is whole, and is kept as partial file h:/.b.partial": &transfer.MeanwhileError{Kept: "h:/.b.partial"},
		"the file is there whole under its name, without its sums":               &transfer.MeanwhileError{Named: true},
		"": &transfer.MeanwhileError{},
	} {
		var got *ui.Error
		if errors.As(explain(t.Context(), "airgap send", err), &got); got.State != want {
			t.Errorf("state %q, expected %q", got.State, want)
		}
	}
}

// TestNearestState keeps what was said nearest to the cause.
func TestNearestState(t *testing.T) {
	err := inState("far", fmt.Errorf("more: %w", inState("near", errors.New("x"))))
	var got *ui.Error
	if errors.As(explain(t.Context(), "airgap pack", err), &got); got.State != "near" {
		t.Errorf("state %q", got.State)
	}
	if inState("any", nil) != nil {
		t.Error("a state makes an error of none")
	}
}

// TestStateAfterImport is that in which the import says it left things, also
// when it was interrupted.
func TestStateAfterImport(t *testing.T) {
	x, some := errors.New("x"), make([]image.Tag, 1)
	for _, c := range []struct {
		err  error
		want string
	}{
		{x, "taken back, and no name has changed"},
		{&load.CommitError{Done: some, Err: x}, "not all names are set, and images without one were taken back"},
		{&load.CommitError{Done: some, Err: x, Left: &docker.Error{Kind: docker.Unreachable}}, "does not answer any more; not all names are set"},
		{&load.CommitError{Done: some, Err: x, Left: &docker.Error{Err: errors.New("busy")}}, "which the next unpack there does"},
		{&load.CommitError{Err: x}, "it is not known whether all names are as they were"},
		{&load.CommitError{Err: x, Left: &docker.Error{Kind: docker.Unreachable}}, "does not answer any more; it is not known whether a name is set"},
		{&load.FlushError{Err: x}, "there and named"},
		{&load.ChangedError{Gone: []string{"x"}}, "were there and named"},
		{&load.AbortError{Err: x, Left: errors.New("the engine is gone")}, "could be taken back: the engine is gone"},
		{&load.AbortError{Err: x, Left: &docker.Error{Kind: docker.Unreachable}}, "the engine has ended"},
		{&load.AbortError{Err: x, Left: &docker.Error{Err: errors.New("busy")}}, "which the next unpack there does"},
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		err := inState(unpackOptions{}.after(c.err), c.err)
		for _, want := range []string{c.err.Error(), "interrupted"} {
			var got *ui.Error
			if errors.As(explain(ctx, "airgap unpack", err), &got); got.Error() != want || !strings.Contains(got.State, c.want) {
				t.Errorf("%q in state %q, expected %q and %q", got, got.State, want, c.want)
			}
			cancel(errInterrupted)
		}
	}
	pushed := unpackOptions{load: load.Options{Under: "registry:5000"}}
	if got := pushed.after(x); !strings.Contains(got, "what was pushed stays") {
		t.Errorf("after a push: %q", got)
	}
}
