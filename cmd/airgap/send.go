package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"airgap/cmd/airgap/internal/ui"
	"airgap/transfer"
	"airgap/transfer/media"
	"airgap/transfer/sftp"
)

// sendOptions are send's flags.
type sendOptions struct {
	ssh          string
	passwordFile string
}

func newSend() *cobra.Command {
	var o sendOptions
	cmd := &cobra.Command{
		Use:   "send [BUNDLE] DEST…",
		Short: "carry a bundle to hosts and media, and prove that it arrived",
		Long: `Send carries a bundle to each DEST and compares its hash there. Nothing has the
bundle's name before it is whole. What is cut off is continued by the same
command. The first argument is the bundle if it is a file, else it is
bundle.tar.zst. A DEST is

  user@host:DIR, host:DIR   a host, over SSH; without DIR the login folder
  sftp://user@host:PORT/DIR  the same
  DIR                       an existing folder, such as a mounted stick: written,
                            synced, and read back from the medium itself

SSH is used as ssh itself would be: ~/.ssh/config, agent, keys and known_hosts
count. Unknown hosts are asked about on a terminal and refused elsewhere. What
only the ssh command can do (hardware keys, Kerberos, ProxyCommand) is done
through it with --ssh ssh.`,
		Example: `  airgap send user@server:/tmp
  airgap send bundle.tar.zst host1:/srv host2:/srv
  airgap send /media/usb
  airgap send --ssh 'ssh -o ControlPath=~/.ssh/%C' user@server:/tmp
  airgap send --password-file secret.txt sftp://user@server:2222/upload`,
		Annotations: statuses(ui.Damaged, ui.Refused, ui.Transfer, ui.NoSpace, ui.Medium),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, dests := splitSendArgs(args)
			switch {
			case len(dests) == 0:
				return usage(cmd, "%s needs a destination: user@host:DIR or a folder", cmd.CommandPath())
			case o.ssh != "" && o.passwordFile != "":
				return usage(cmd, "--password-file does not go with --ssh: that command asks for passwords itself")
			}
			return runSend(cmd.Context(), ui.From(cmd.Context()), o, name, dests)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.ssh, "ssh", "", "connect with this `COMMAND`, such as ssh or 'ssh -p 2222', instead of airgap's own SSH")
	flags.StringVar(&o.passwordFile, "password-file", "", "log in with the password in the first line of `FILE`")
	environment(flags, "ssh", "AIRGAP_SSH")
	environment(flags, "password-file", "AIRGAP_PASSWORD_FILE")
	return cmd
}

// splitSendArgs finds out which argument is the bundle: the first, if it is a
// file.
func splitSendArgs(args []string) (name string, dests []string) {
	if len(args) > 0 {
		if info, err := os.Stat(args[0]); err == nil && info.Mode().IsRegular() {
			return args[0], args[1:]
		}
	}
	return defaultBundle, args
}

// runSend is the whole of `airgap send`.
func runSend(ctx context.Context, env *ui.Env, o sendOptions, name string, dests []string) error {
	b, err := openBundle(name)
	if err != nil {
		return inState("nothing has been sent", err)
	}
	defer b.Close()
	file := sync.OnceValues(func() (transfer.File, error) { return fileToSend(ctx, env, b) })
	var failed []error
	for _, dest := range dests {
		receipt, err := sendTo(ctx, env, o, file, dest)
		if err == nil {
			err = env.Report("sent", sendAnswer{"send", dest, receipt})
		}
		if err != nil {
			failed = append(failed, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	if err := allFailed(ctx, env, dests, failed); err != nil {
		return err
	}
	return env.Report("summary", sentAllAnswer{"send", b.name, b.ID().String(), len(dests)})
}

// fileToSend is the bundle as the bytes that travel. Their sum is that of the
// file beside it, which pack has written; without one it is made.
func fileToSend(ctx context.Context, env *ui.Env, b *bundleFile) (transfer.File, error) {
	file := transfer.File{Name: filepath.Base(b.name), Size: b.size, Data: b.file}
	var err error
	if file.SHA256, err = readSum(b.name + ".sha256"); err == nil {
		return file, nil
	}
	env.Detail("%s.sha256 cannot be used (%v): making the sum", b.name, err)
	file.SHA256, err = makeSum(ctx, env, b)
	return file, err
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

func makeSum(ctx context.Context, env *ui.Env, b *bundleFile) (string, error) {
	progress := env.Progress("hashing", b.size)
	defer progress.Stop()
	h := sha256.New()
	r := counted{io.NewSectionReader(b.file, 0, b.size), func(n int64) { progress.Add(n) }}
	for {
		if _, err := io.CopyN(h, r, 8<<20); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return "", fmt.Errorf("reading %q: %w", b.name, err)
		}
		if err := context.Cause(ctx); err != nil {
			return "", err
		}
	}
	progress.Done()
	return hex.EncodeToString(h.Sum(nil)), nil
}

// sendTo carries the file to one destination. It is asked for once that
// answers: making its sum may take a while.
func sendTo(ctx context.Context, env *ui.Env, o sendOptions, get func() (transfer.File, error), dest string) (transfer.Receipt, error) {
	place, err := openPlace(ctx, env, o, dest)
	if err != nil {
		return transfer.Receipt{}, inState("nothing has been sent", err)
	}
	defer place.Close()
	file, err := get()
	if err != nil {
		return transfer.Receipt{}, inState("nothing has been sent", err)
	}
	progress := env.Progress("sending to "+dest, file.Size)
	defer progress.Stop()
	receipt, err := transfer.Send(ctx, place, file, transfer.SendOptions{Progress: progress.Add, Note: env.Note})
	if err != nil {
		return receipt, err
	}
	progress.Done()
	if !receipt.Durable {
		env.Warn("%s: it is not confirmed that the bundle is on the disk: %s", dest, receipt.Why)
	}
	return receipt, nil
}

// openPlace opens a destination: a host, or a folder here.
func openPlace(ctx context.Context, env *ui.Env, o sendOptions, dest string) (transfer.Place, error) {
	at, remote, err := sftp.ParseDest(dest)
	if err != nil {
		return nil, &ui.Error{Err: err, Code: ui.Usage, Hints: []string{"airgap send --help"}}
	}
	if !remote {
		return openFolder(dest)
	}
	options := sftp.Options{SSH: o.ssh}
	if env.CanAsk() {
		options.Ask = env
	}
	if o.passwordFile != "" {
		if options.Password, err = readPassword(o.passwordFile); err != nil {
			return nil, err
		}
	}
	return sftp.Open(ctx, at, options)
}

// openFolder opens a folder here, or says what a destination looks like.
func openFolder(dir string) (transfer.Place, error) {
	place, err := media.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &ui.Error{
			Err: fmt.Errorf("destination %q: there is no such folder", dir), Code: ui.Failed, State: "nothing has been sent",
			Hints: []string{"make the folder or mount the medium; a host is written user@host:DIR"},
		}
	}
	return place, err
}

// readPassword reads the first line of a file.
func readPassword(path string) (string, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	first, _, _ := strings.Cut(string(raw), "\n")
	if first = strings.TrimSuffix(first, "\r"); first == "" {
		return "", fmt.Errorf("reading the password: the first line of %q is empty", path)
	}
	return first, nil
}

// allFailed makes one error of those of several destinations, with the exit
// status that they share.
func allFailed(ctx context.Context, env *ui.Env, dests []string, failed []error) error {
	if len(failed) == 0 || len(dests) == 1 {
		return errors.Join(failed...)
	}
	all := &ui.Error{Err: fmt.Errorf("%d of %d destinations failed", len(failed), len(dests))}
	for i, err := range failed {
		var one *ui.Error
		errors.As(explain(ctx, "airgap send", err), &one)
		env.Warn("%v", err)
		if i == 0 {
			all.Code, all.Hints = one.Code, one.Hints
		} else if all.Code != one.Code {
			all.Code, all.Hints = ui.Failed, []string{"run the same command again: what is there already is recognised"}
		}
	}
	return all
}
