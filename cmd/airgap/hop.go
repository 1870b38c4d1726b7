package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"airgap/bundle"
	"airgap/cmd/airgap/internal/excerpt"
	"airgap/cmd/airgap/internal/ui"
	"airgap/transfer"
	"airgap/transfer/sftp"
	"airgap/transfer/volume"
	"airgap/verify"
)

// hopOptions are send's flags for what is done at the far side.
type hopOptions struct {
	unpack, bootstrap bool
	binaries          string
	patience          patience
	far               unpackOptions  // of the unpack there
	given             *pflag.FlagSet // its flags
}

func (o *hopOptions) flags(flags *pflag.FlagSet) {
	o.patience = usualPatience
	flags.BoolVar(&o.unpack, "unpack", false, "run airgap unpack at each host afterwards; ask it beforehand whether that will do")
	flags.BoolVar(&o.bootstrap, "bootstrap", false, "with --unpack: where a host has no airgap that will do, put one there for this user alone")
	flags.StringVar(&o.binaries, "binaries", "", "with --bootstrap or --with-binary: take it from `DIR`, where make cross has put airgap-OS-ARCH (default: this program itself)")
	o.given = pflag.NewFlagSet("unpack", pflag.ContinueOnError)
	o.far.which(o.given)
	o.given.VisitAll(func(f *pflag.Flag) {
		f.Usage = "with --unpack: " + f.Usage
		if f.Name == "to" {
			f.DefValue = "" // what counts is the host's
		}
		flags.AddFlag(f)
	})
}

// args are the flags that have been given for the far side, as they were.
func (o *hopOptions) args() (args []string) {
	o.given.VisitAll(func(f *pflag.Flag) {
		if !f.Changed {
			return
		}
		for _, v := range valuesOf(f) {
			args = append(args, "--"+f.Name+"="+v)
		}
	})
	return args
}

// misused says why the flags do not go together, or "".
func (o *hopOptions) misused(dests []string) string {
	switch {
	case !o.unpack && o.bootstrap:
		return "--bootstrap is for --unpack"
	case !o.unpack && len(o.args()) > 0:
		flag, _, _ := strings.Cut(o.args()[0], "=")
		return flag + " is for --unpack"
	case !o.unpack:
		return ""
	}
	for _, arg := range o.args() {
		if _, dir, ok := cutFarPath(arg); ok && strings.HasPrefix(dir, "~") && dir != "~" && !strings.HasPrefix(dir, "~/") {
			return fmt.Sprintf("%q: only ~/ stands for a folder there, the login folder", dir)
		}
	}
	for _, dest := range dests {
		if _, remote, err := sftp.ParseDest(dest); err == nil && !remote {
			return fmt.Sprintf("--unpack is for hosts: %q is a folder here", dest)
		}
	}
	return ""
}

// excerptOf gives, time and again, what of a bundle a plan for it needs.
func excerptOf(ctx context.Context, b *bundleFile) (*excerpt.Recorder, error) {
	r := excerpt.Record(b.data, b.size)
	part, err := bundle.Open(r, b.size)
	if err == nil {
		_, err = verify.Read(ctx, part)
	}
	return r, named(b.name, err)
}

// hop is the way of the bundle to one host and into what runs there.
type hop struct {
	*way
	airgap string // the command there
}

// remote is the host by the connection that is in use.
func (h *hop) remote() *sftp.Place { return h.place.(*sftp.Place) }

// sendAndUnpack sends to a host and unpacks there, if that will do; what is there
// already is not sent.
func (w *way) sendAndUnpack(ctx context.Context, show shower) error {
	h := &hop{way: w, airgap: "airgap"}
	file, err := w.file()
	if err != nil {
		return inState(unsent, err)
	}
	var there probeAnswer
	err = w.try(ctx, func(p transfer.Place) (err error) {
		found, err := p.Find(ctx, volume.Kin(file.Name, []transfer.File{file})[0])
		if err == nil {
			there, err = h.ask(ctx, file, found)
		}
		return err
	})
	if err != nil {
		return inState(unsent, err)
	}
	if there.Unchanged {
		there.Plan.Path = w.bundle.name
		if w.together() {
			show(w.dest, file.Size).Add(file.Size)
		}
		return h.report(there.Plan, false)
	}
	receipt, err := w.carry(ctx, show)
	if err != nil {
		return err
	}
	return h.unpack(ctx, receipt.Path)
}

// unsent is the state of things before a transfer.
const unsent = "nothing has been sent"

// ask finds out whether unpack will do there, with the airgap there or with one
// that is brought.
func (h *hop) ask(ctx context.Context, file transfer.File, found transfer.Found) (probeAnswer, error) {
	rest := file.Size - max(0, min(found.Begun, file.Size))
	if found.Final == file.Size {
		rest = 0 // most likely the file itself
	}
	if free := found.Room(); free >= 0 && free < rest {
		return probeAnswer{}, found.Full(rest)
	}
	rest = max(0, rest-found.Cleared())
	flags, err := h.flags(ctx)
	if err != nil {
		return probeAnswer{}, err
	}
	args := append([]string{"probe", "--json", h.expect(), "--beside=" + found.Path, "--rest=" + strconv.FormatInt(rest, 10)}, flags...)
	answer, err := h.probe(ctx, args)
	var none *noAirgapError
	if !errors.As(err, &none) || !h.o.bootstrap {
		return answer, err
	}
	h.env.Note("%v", err)
	if err := h.bring(ctx, found.Path); err != nil {
		return answer, err
	}
	if answer, err = h.probe(ctx, args); errors.As(err, &none) {
		return answer, &cannotRunError{h.remote().Host(), h.airgap, none.Why}
	}
	return answer, err
}

// probe asks the airgap there.
func (h *hop) probe(ctx context.Context, args []string) (answer probeAnswer, err error) {
	parts, err := h.excerpt()
	if err != nil {
		return answer, err
	}
	in, err := parts.Reader()
	if err != nil {
		return answer, err
	}
	out, err := h.question(ctx, "what unpack would do with the bundle"+h.into(), in, append([]string{h.airgap}, args...)...)
	said, explained := h.answered(out, "probe", &answer, err)
	said = said && answer.Command == "probe" && answer.Plan.Bundle == h.bundle.ID()
	var there *thereError
	if errors.As(explained, &there) && there.Status == ui.Usage {
		said, explained = false, nil // an older one, that does not know what it is asked
	}
	if said || explained != nil {
		return answer, explained
	}
	return answer, h.noAirgap(ctx, err)
}

// answered finds the answer of that type in what airgap there has printed, or
// the error that it has explained. said is false if there is neither, where no
// airgap that knows its part has run; a connection that broke is an error.
func (h *hop) answered(out *bounded, kind string, answer any, err error) (said bool, _ error) {
	var exit *sftp.ExitError
	if err == nil {
		return out.find(kind, answer), nil
	}
	if !errors.As(err, &exit) {
		return false, err
	}
	e := &thereError{Host: h.remote().Host()}
	if out.find("error", e) && int(e.Status) == exit.Status {
		return true, e
	}
	return false, nil
}

// noAirgap says what there is instead of an airgap that can be asked.
func (h *hop) noAirgap(ctx context.Context, cause error) error {
	var v versionAnswer
	out, err := h.question(ctx, "which version of airgap it has", nil, h.airgap, "version", "--json")
	if _, err := h.answered(out, "version", &v, err); err != nil {
		return err
	}
	none := &noAirgapError{Host: h.remote().Host(), Version: v.Version}
	var exit *sftp.ExitError
	if errors.As(cause, &exit) {
		none.Why = lastLine(exit.Stderr)
	}
	return none
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}

// unpack runs airgap unpack there and says what came of it.
func (h *hop) unpack(ctx context.Context, path string) error {
	args := []string{h.airgap, "unpack", "--json", "--attended", h.expect()}
	if h.env.Verbose {
		args = append(args, "--verbose")
	}
	flags, err := h.flags(ctx)
	if err != nil {
		return inState(arrived(path, &bounded{}, err), err)
	}
	args = append(append(args, flags...), "--", path)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	out, said := &bounded{full: cancel}, &relay{env: h.env, host: h.remote().Host()}
	err = h.remote().Run(ctx, sftp.Command{Args: args, Stdout: out, Stderr: said, Attended: true})
	said.end()
	var answer unpackAnswer
	switch ok, explained := h.answered(out, "summary", &answer, err); {
	case explained != nil:
		return inState(arrived(path, out, explained), explained)
	case !ok, answer.Command != "unpack", answer.Bundle != h.bundle.ID():
		return inState(arrived(path, out, err), &thereError{Host: h.remote().Host(), Status: ui.Failed, Text: "airgap unpack: " + unsaid(err, said.last)})
	}
	return h.report(answer, true)
}

// flags are the flags for the airgap there, with their paths below the login folder
// as whole ones: the shell there may be somewhere else.
func (h *hop) flags(ctx context.Context) (args []string, err error) {
	for _, arg := range h.o.args() {
		kind, dir, ok := cutFarPath(arg)
		if ok && !path.IsAbs(dir) {
			login, err := h.remote().Login(ctx)
			if err != nil {
				return nil, err
			}
			if login != "/" && path.IsAbs(login) && !driveForm.MatchString(login) {
				arg = kind + path.Join(login, strings.TrimPrefix(dir+"/", "~/"))
			}
		}
		args = append(args, arg)
	}
	return args, nil
}

// driveForm is how paths of Windows begin as SFTP has them.
var driveForm = regexp.MustCompile(`^/[A-Za-z]:`)

// cutFarPath takes a flag for the far side apart that has a folder there.
func cutFarPath(arg string) (kind, dir string, ok bool) {
	for _, kind := range []string{"--files=", "--to=oci:"} {
		if dir, ok := strings.CutPrefix(arg, kind); ok && dir != "" {
			return kind, dir, true
		}
	}
	return "", "", false
}

// expect has the airgap there refuse any bundle but this one.
func (h *hop) expect() string { return "--expect=" + h.bundle.ID().String() }

// unsaid is what is known of a command that has not said what came of it.
func unsaid(err error, last string) string {
	text := "it ended without saying that it has unpacked this bundle"
	if err != nil {
		text = err.Error()
	}
	if last != "" {
		text += "; " + last
	}
	return text
}

// arrived is the state of things when the transfer is over and unpack has failed.
func arrived(path string, out *bounded, err error) string {
	state := "the bundle is there whole, as " + path
	var there thereError
	var cut *transfer.InterruptedError
	switch {
	case out.find("error", &there) && there.State != "":
		state += "; " + there.State
	case errors.As(err, &cut):
		state += "; the import there ends by itself, whole or taken back"
	}
	return state
}

// report tells what is at the host now.
func (h *hop) report(a unpackAnswer, sent bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !a.Durable {
		h.env.Warn("%s: it is not confirmed that everything is on the disk: %s", h.remote().Host(), a.Why)
	}
	return h.env.Report("unpacked", unpackedThere{Dest: h.dest, Sent: sent, unpackAnswer: a})
}

// unpackedThere is what unpack has done at a host.
type unpackedThere struct {
	Dest string `json:"dest"`
	Sent bool   `json:"sent"` // false where nothing had to be
	unpackAnswer
}

func (a unpackedThere) Text(p *ui.Printer) {
	if a.Sent {
		p.Line("%s: unpacked there", a.Dest)
	} else {
		p.Line("%s: nothing had to be sent", a.Dest)
	}
	a.unpackAnswer.Text(p)
}

// relay shows the messages of an airgap at a host as they come. Its error is
// not among them: that comes with its answer.
type relay struct {
	env    *ui.Env
	host   string
	buf    []byte
	last   string // the last line
	failed bool
}

var _ io.Writer = (*relay)(nil)

const maxMessage = 64 << 10 // bytes of a line

func (r *relay) Write(p []byte) (int, error) {
	r.buf = append(r.buf, p...)
	for {
		i := bytes.IndexByte(r.buf, '\n')
		if i < 0 && len(r.buf) < maxMessage {
			return len(p), nil
		}
		if i < 0 {
			i = len(r.buf) - 1
		}
		r.show(string(r.buf[:i]))
		r.buf = r.buf[i+1:]
	}
}

// end shows what has no line's end.
func (r *relay) end() {
	if len(r.buf) > 0 {
		r.show(string(r.buf))
		r.buf = nil
	}
}

func (r *relay) show(line string) {
	r.last = strings.TrimPrefix(strings.TrimSpace(line), "airgap: ")
	r.failed = r.failed || strings.HasPrefix(r.last, "error: ")
	warning, isWarning := strings.CutPrefix(r.last, "warning: ")
	switch {
	case r.failed || r.last == "":
	case isWarning:
		r.env.Warn("%s: %s", r.host, warning)
	default:
		r.env.Note("%s: %s", r.host, r.last)
	}
}
