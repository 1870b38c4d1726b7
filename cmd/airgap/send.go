package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"airgap/cmd/airgap/internal/excerpt"
	"airgap/cmd/airgap/internal/ui"
	"airgap/transfer"
	"airgap/transfer/media"
	"airgap/transfer/sftp"
)

// sendOptions are send's flags.
type sendOptions struct {
	hopOptions
	ssh          string
	passwordFile string
	hosts, limit string
	parallel     int
	noReconnect  bool
	bytesASecond int64 // of limit
	cut          cutOptions
	withBinary   bool
}

func newSend() *cobra.Command {
	var o sendOptions
	cmd := &cobra.Command{
		Use:   "send [BUNDLE] DEST…",
		Short: "carry a bundle to hosts and media, and prove that it arrived",
		Long: `Send carries a bundle to each DEST and compares its hash there. Nothing has the
bundle's name before it is whole. What is cut off is continued by the same
command. A DEST is

  user@host:DIR, host:DIR   a host, over SSH; without DIR the login folder
  sftp://user@host:PORT/DIR  the same
  DIR                       an existing folder, such as a mounted stick: written,
                            synced, and read back from the medium itself

The first argument is the bundle if it is a file; otherwise bundle.tar.zst is
sent. All other arguments have to be destinations, or nothing is sent. A bundle
that is not there is refused, and so is an image. Among several destinations
name:word could be an image, and a first folder that holds another bundle could be
meant as the bundle: name the bundle first, and they are destinations.

A path that is not there at a host becomes the bundle's name if it ends like one,
such as in .tar.zst; otherwise it is a folder that is missing. An older bundle of
that name is replaced, with its volumes and parity. No other file is replaced.

Where a medium does not take files that large (FAT: 4 GiB), the bundle is cut into
volumes, bundle.tar.zst.001 and so on, which airgap unpack reads where they are;
--volume-size cuts for discs. Earlier volumes of that name stay whole until all new
ones have come, if there is room for both; volumes of the set that is read always
do. --parity 10% adds what damage of up to a tenth is repaired with, lost volumes
included; parity that pack has put beside the bundle goes along with it. Before a
bundle is cut or given parity, it is compared with the hash that it ends with; a
bundle that is sent whole, with the .sha256 beside it if there is one. --with-binary
puts airgap itself beside it, and a README.txt for whoever has nothing else.

SSH is used as ssh itself would be: ~/.ssh/config, agent, keys and known_hosts
count. Unknown hosts are asked about on a terminal and refused elsewhere. Where
the configuration asks for what only the ssh command can do, such as a
ProxyCommand, it is used, which is said; --ssh ssh always uses it, as hardware
keys and Kerberos need.

When the connection breaks, send tries again for some minutes and the transfer
goes on; so it does with a host that has too many connections. Only one send at a
time writes a bundle of one name into a folder: a second one fails. Where an
earlier one may have been killed, send watches for a minute at most whether it is
still alive. What is left of a bundle of that name that was never sent to its end,
whole or in volumes, is removed, unless this send goes on with it.

--unpack does the rest of the way: airgap unpack runs at each host, with the
flags of it that are given, and its exit status is send's. Before the first byte
the host is asked whether that will do: whether what takes the images answers,
runs what the bundle holds and has room, and what it has already. Where all of
it is there, or no answer comes for five minutes, nothing is sent. Paths are those
there, from the login folder (~/); the bundle stays. A host without airgap is
brought one by --bootstrap, into ~/.cache/airgap.

--hosts takes destinations from a file too, one per line, where # starts a
comment. Running the command again does what is left.`,
		Example: `  airgap send user@server:/tmp
  airgap send bundle.tar.zst host1:/srv host2:/srv
  airgap send --unpack --bootstrap user@server
  airgap send --unpack --to podman --rename my-app:v1=app:v1 user@server:/tmp
  airgap send --hosts hosts.txt --parallel 4 --limit 2MiB/s
  airgap send /media/usb --parity 10% --with-binary
  airgap send --volume-size dvd /srv/to-burn
  airgap send --ssh 'ssh -o ControlPath=~/.ssh/%C' user@server:/tmp
  airgap send --password-file secret.txt sftp://user@server:2222/upload`,
		Annotations: statuses(ui.Damaged, ui.Refused, ui.Transfer, ui.NoSpace, ui.Medium, ui.Engine),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, dests, err := o.parse(cmd, args)
			if err != nil {
				return err
			}
			return runSend(cmd.Context(), ui.From(cmd.Context()), o, name, dests)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.ssh, "ssh", "", "connect with this `COMMAND`, such as ssh or 'ssh -p 2222', instead of airgap's own SSH")
	flags.StringVar(&o.passwordFile, "password-file", "", "log in with the password in the first line of `FILE`")
	flags.StringVar(&o.hosts, "hosts", "", "send to the destinations that `FILE` lists too")
	flags.IntVar(&o.parallel, "parallel", 1, "send to `N` destinations side by side")
	flags.StringVar(&o.limit, "limit", "", "send at most so much a second to each destination: a `RATE` such as 2MiB/s or 500kB/s")
	flags.BoolVar(&o.noReconnect, "no-reconnect", false, "give up when the way to a host breaks off")
	flags.BoolVar(&o.withBinary, "with-binary", false, "put airgap itself beside the bundle, for its platforms, and a README.txt")
	o.cut.flags(flags)
	o.flags(flags)
	environment(flags, "ssh", "AIRGAP_SSH")
	environment(flags, "password-file", "AIRGAP_PASSWORD_FILE")
	return cmd
}

// parse checks the flags and gives the bundle and its destinations.
func (o *sendOptions) parse(cmd *cobra.Command, args []string) (name string, dests []string, err error) {
	listed, err := readHosts(o.hosts)
	if err != nil {
		return "", nil, err
	}
	if name, dests, err = splitSendArgs(cmd, args, listed); err != nil {
		return "", nil, err
	}
	if err := o.cut.parse(cmd); err != nil {
		return "", nil, err
	}
	if o.bytesASecond, err = parseRate(o.limit); err != nil {
		return "", nil, usage(cmd, "--limit: %w", err)
	}
	switch {
	case o.parallel < 1:
		err = usage(cmd, "--parallel %d is less than one", o.parallel)
	case len(dests) == 0:
		err = usage(cmd, "%s needs a destination: user@host:DIR or a folder", cmd.CommandPath())
	case o.ssh != "" && o.passwordFile != "":
		err = usage(cmd, "--password-file does not go with --ssh: that command asks for passwords itself")
	case o.binaries != "" && !o.bootstrap && !o.withBinary:
		err = usage(cmd, "--binaries is for --bootstrap and --with-binary")
	case o.misused(dests) != "":
		err = usage(cmd, "%s", o.misused(dests))
	case o.unpack:
		err = o.far.parse(cmd)
	}
	return name, dests, err
}

// runSend is the whole of `airgap send`.
func runSend(ctx context.Context, env *ui.Env, o sendOptions, name string, dests []string) error {
	b, err := openBundle(ctx, env, name)
	if err != nil {
		return inState(unsent, err)
	}
	defer b.Close()
	dests, again := distinct(dests)
	for _, dest := range again {
		env.Note("%s is named twice: the bundle is sent there once", dest)
	}
	s := &sender{
		env: env, o: o, bundle: b,
		excerpt: sync.OnceValues(func() (*excerpt.Recorder, error) { return excerptOf(ctx, b) }),
		file:    sync.OnceValues(func() (transfer.File, error) { return fileToSend(ctx, env, b) }),
	}
	s.dests, s.source = sourceLast(dests, b)
	s.shipment = newShipment(ctx, s)
	defer s.shipment.close()
	total := b.size
	if s.together() { // its progress is not shown beside theirs
		files, err := s.shipment.of(o.cut.size)
		if err != nil {
			return inState(unsent, err)
		}
		total = sizeOf(files)
	}
	failed := s.all(ctx, total)
	b.noteRebuilt(env)
	if err := s.allFailed(ctx, failed); err != nil {
		return err
	}
	return env.Report("summary", sentAllAnswer{"send", b.name, b.ID().String(), len(dests)})
}

// sender carries a bundle to several destinations.
type sender struct {
	env      *ui.Env
	o        sendOptions
	dests    []string
	source   string // the one that the bundle is read from, which is the last; or empty
	bundle   *bundleFile
	excerpt  func() (*excerpt.Recorder, error) // what hosts are asked with
	file     func() (transfer.File, error)     // asked for when a destination has answered: making its sum may take a while
	shipment *shipment                         // what travels, made of it

	mu     sync.Mutex // held while something is reported
	asking sync.Mutex // held while somebody is asked
}

// together says that destinations are sent to side by side, under one progress.
func (s *sender) together() bool { return s.o.parallel > 1 && len(s.dests) > 1 }

// failure is the error of a destination.
type failure struct {
	dest string
	err  error
}

// all sends to every destination and gives those that failed.
func (s *sender) all(ctx context.Context, size int64) (failed []failure) {
	show := func(dest string, size int64) *ui.Progress { return s.env.Progress("sending to "+dest, size) }
	if s.together() {
		together := s.env.Progress(fmt.Sprintf("sending to %d destinations", len(s.dests)), size*int64(len(s.dests)))
		defer func() {
			if len(failed) == 0 {
				together.Done()
			}
			together.Stop()
		}()
		show = func(string, int64) *ui.Progress { return together }
	}
	var group errgroup.Group
	group.SetLimit(s.o.parallel)
	for _, dest := range s.dests {
		if dest == s.source {
			_ = group.Wait() // until the others have read all
		}
		group.Go(func() error {
			err := inState(unsent, context.Cause(ctx))
			if err == nil {
				err = s.sendTo(ctx, dest, show)
			}
			if err != nil {
				s.mu.Lock()
				defer s.mu.Unlock()
				failed = append(failed, failure{dest, err})
			}
			return nil
		})
	}
	_ = group.Wait() // the errors are in failed
	return failed
}

// sendTo carries the file to one destination and reports it.
func (s *sender) sendTo(ctx context.Context, dest string, show shower) error {
	w := &way{sender: s, dest: dest}
	var err error
	if w.place, err = w.persistence().Open(ctx, w.again); err != nil {
		return inState(unsent, err)
	}
	defer func() { _ = w.place.Close() }() // of a connection that may be broken; what matters has been told
	if s.o.unpack {
		return w.nameEarlier(ctx, w.sendAndUnpack(ctx, show))
	}
	_, err = w.carry(ctx, show)
	return w.nameEarlier(ctx, err)
}

// shower shows how far it is with so many bytes to a destination.
type shower = func(dest string, size int64) *ui.Progress

// open opens a destination: a host, or a folder here.
func (s *sender) open(ctx context.Context, dest string) (transfer.Place, error) {
	at, remote, err := sftp.ParseDest(dest)
	if err != nil {
		return nil, &ui.Error{Err: err, Code: ui.Usage, Hints: []string{"airgap send --help"}}
	}
	if !remote {
		return openFolder(s.env, dest)
	}
	options := sftp.Options{SSH: s.o.ssh, Note: s.env.Note, IsFile: isBundleName}
	if s.env.CanAsk() {
		options.Ask = oneByOne{s.env, &s.asking}
	}
	if s.o.passwordFile != "" {
		if options.Password, err = readPassword(s.o.passwordFile); err != nil {
			return nil, err
		}
	}
	return sftp.Open(ctx, at, options)
}

// oneByOne asks one question at a time, whichever destination has it.
type oneByOne struct {
	sftp.Asker
	mu *sync.Mutex
}

func (a oneByOne) Secret(ctx context.Context, prompt string) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.Asker.Secret(ctx, prompt)
}

func (a oneByOne) Ask(ctx context.Context, prompt string) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.Asker.Ask(ctx, prompt)
}

func (a oneByOne) Confirm(ctx context.Context, question string) (bool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.Asker.Confirm(ctx, question)
}

// openFolder opens a folder here, or says what a destination looks like.
func openFolder(env *ui.Env, dir string) (transfer.Place, error) {
	place, err := media.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &ui.Error{
			Err: fmt.Errorf("destination %q: there is no such folder", dir), Code: ui.Failed, State: unsent,
			Hints: []string{"make the folder or mount the medium; a host is written user@host:DIR"},
		}
	}
	if err != nil {
		return nil, err
	}
	warnOfDoubt(env, place)
	return place, nil
}

// allFailed makes one error of those of several destinations, with the exit
// status that they share.
func (s *sender) allFailed(ctx context.Context, failed []failure) error {
	all := &ui.Error{Err: fmt.Errorf("%d of %d destinations failed", len(failed), len(s.dests))}
	for i, f := range failed {
		var one *ui.Error
		errors.As(explain(ctx, "airgap send", f.err), &one)
		if err := s.env.Report("failed", newFailedAnswer(f.dest, one)); err != nil {
			return err
		}
		if len(s.dests) == 1 {
			return f.err
		}
		s.env.Warn("%s: %v", f.dest, one)
		if i == 0 {
			all.Code, all.Hints = one.Code, one.Hints
		} else if all.Code != one.Code {
			all.Code, all.Hints = ui.Failed, []string{"run the same command again: what is there already is recognised"}
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return all
}
