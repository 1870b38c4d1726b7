package list

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// A file is read by a process of its own, the reader: compose's loader reads
// whatever a file names, devices and pipes too, makes of a few bytes as many as it
// is told to, and cannot be asked to end. The reader is this executable, started
// again with readerArg. It is sent the question, and answers:
//
//	to its standard input      Options, then the file in pieces, then an empty piece; all in gob
//	to its standard output     an answer, in gob
//
// Standard input stays open: when it ends, nobody waits for the answer any more.
const readerArg = "internal:read-list" // nothing that anybody types

const (
	maxFile   = 64 << 20    // bytes of the file
	maxAnswer = 4 << 20     // bytes
	maxFault  = 4 << 10     // bytes of an error's text, which may quote what the file says
	patience  = time.Minute // for the answer
)

// answer is what the reader has found out.
type answer struct {
	List  List
	Fault string
}

// Read reads a file: the one that the options name, or standard input.
func Read(ctx context.Context, stdin io.Reader, o Options) (List, error) {
	l, _, err := read(ctx, stdin, o)
	return l, err
}

// read also tells what the reader took, once it has ended.
func read(ctx context.Context, stdin io.Reader, o Options) (List, *os.ProcessState, error) {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	self, err := os.Executable()
	if err != nil {
		return List{}, nil, err
	}
	cmd := exec.CommandContext(ctx, self, readerArg)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	question, err := cmd.StdinPipe()
	if err != nil {
		return List{}, nil, err
	}
	if err := cmd.Start(); err != nil {
		return List{}, nil, err
	}
	// What the file is read from may keep this waiting for ever: it is left to itself then.
	go func() {
		if err := ask(question, stdin, o); err != nil {
			end(err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(patience):
			end(fmt.Errorf("it is not read after %v: it may name a pipe or a device, or be made to take long", patience))
		}
	}()
	err = cmd.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return List{}, cmd.ProcessState, cause
	}
	if err != nil {
		return List{}, cmd.ProcessState, whyEnded(err, stderr.String())
	}
	var a answer
	if err := gob.NewDecoder(&stdout).Decode(&a); err != nil {
		return List{}, cmd.ProcessState, fmt.Errorf("what the process that reads it answers: %w", err)
	}
	if a.Fault != "" {
		return a.List, cmd.ProcessState, errors.New(a.Fault)
	}
	return a.List, cmd.ProcessState, nil
}

// ask sends the question. Its errors are those of the file: the reader tells its own.
func ask(w io.Writer, r io.Reader, o Options) error {
	if o.Path != "" {
		f, err := os.Open(o.Path)
		if err != nil {
			return err
		}
		defer f.Close()
		if info, err := f.Stat(); err == nil && !info.Mode().IsRegular() {
			o.Path = "" // there is no reading it twice
		}
		r = f
	}
	to := gob.NewEncoder(w)
	if to.Encode(o) != nil {
		return nil
	}
	for piece, sent := make([]byte, 64<<10), 0; ; {
		n, err := io.ReadFull(r, piece)
		if sent += n; sent > maxFile {
			return fmt.Errorf("it has more than %d bytes", maxFile)
		}
		if n > 0 && to.Encode(piece[:n]) != nil {
			return nil
		}
		switch {
		case err == io.EOF, err == io.ErrUnexpectedEOF:
			_ = to.Encode([]byte{})
			return nil
		case err != nil:
			return err
		}
	}
}

// whyEnded is why the reader has not answered.
func whyEnded(err error, stderr string) error {
	for _, sign := range []string{outOfMemory, "cannot allocate memory", "failed to create new OS thread"} {
		if strings.Contains(stderr, sign) {
			return fmt.Errorf("it takes more than %d MiB of memory to read: it may be too large a document, name a device, or be made to", maxMemory>>20)
		}
	}
	line, _, _ := strings.Cut(stderr, "\n")
	return fmt.Errorf("the process that reads it has ended without an answer: %w: %s", err, line)
}

// ServeReader is the whole life of a process that Read has started, and does
// nothing in any other. What calls Read has it first thing in its main.
func ServeReader() {
	if len(os.Args) != 2 || os.Args[1] != readerArg {
		return
	}
	// Who waits gets these as well, and decides.
	signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	limitMemory()
	o, file, err := asked(os.Stdin)
	if err == nil {
		_, err = os.Stdout.Write(answerTo(file, o))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// asked receives the question, and ends the process when who asks does.
func asked(r io.Reader) (o Options, file pieces, err error) {
	from := gob.NewDecoder(r)
	if err := from.Decode(&o); err != nil {
		return o, nil, err
	}
	for {
		var piece []byte
		if err := from.Decode(&piece); err != nil {
			return o, nil, err
		}
		if len(piece) == 0 {
			break
		}
		file = append(file, piece)
	}
	go func() {
		_, _ = io.Copy(io.Discard, r) // until it ends, however
		os.Exit(1)
	}()
	return o, file, nil
}

// answerTo is what is answered, as it is sent.
func answerTo(file pieces, o Options) []byte {
	var a answer
	var err error
	if a.List, err = understand(file, o); err != nil {
		a.Fault = err.Error()
	}
	if len(a.Fault) > maxFault {
		a.Fault = strings.ToValidUTF8(a.Fault[:maxFault], "") + "…"
	}
	sent := encode(a)
	if len(sent) > maxAnswer {
		sent = encode(answer{Fault: fmt.Sprintf("the names of its images have more than %d MiB", maxAnswer>>20)})
	}
	return sent
}

func encode(a answer) []byte {
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(a); err != nil {
		panic(err) // there is nothing in it that cannot be
	}
	return b.Bytes()
}
