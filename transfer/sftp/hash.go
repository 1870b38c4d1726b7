package sftp

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"airgap/transfer"
)

// Hash implements transfer.Place: by a program of the far side where it has
// one, which has begun already if the partial was just written, else by reading
// back.
func (p *Place) Hash(ctx context.Context, which transfer.Which, n int64) (sum, how string, err error) {
	name := p.final()
	if which == transfer.Partial {
		name = p.partial()
	}
	err = p.guard(ctx, func() error {
		// Of a stream nobody knows the sum yet: "" would be that of no shell.
		if want := p.file.SHA256; which == transfer.Partial && n == p.file.Size && want != "" && p.arrived.sum(p.shell.patient(n)) == want {
			sum, how = p.file.SHA256, "hashed there as it arrived"
			return nil
		}
		if sum = p.remoteSum(ctx, name, n); sum != "" {
			how = "hashed there"
			return nil
		}
		how = "read back"
		sum, err = p.readBack(name, n)
		return p.failed(err)
	})
	return sum, how, err
}

// remoteSum asks a shell there; empty where there is none, or nothing that
// makes sums.
func (p *Place) remoteSum(ctx context.Context, name string, n int64) string {
	// Of a file that is gone there is no sum: exec ends the shell then.
	out, err := p.output(ctx, posix(fmt.Sprintf("exec <%s; head -c %d | "+sumProgram, quoted(name), n)), nil, n)
	if err != nil {
		return ""
	}
	return parseSum(out)
}

// sumProgram hashes what it reads. OpenSSL is several times as fast as
// coreutils where processors have instructions for it.
const sumProgram = "if command -v openssl >/dev/null 2>&1; then openssl dgst -sha256 -r; else sha256sum; fi"

// posix has a POSIX shell run a script, whichever shell a user logs in to. What the
// script prints begins a line: a greeting before it may not have ended its own.
func posix(script string) string { return "exec sh -c " + quoted("echo; "+script) }

// parseSum reads what programs print: the sum, and a name for the file.
func parseSum(out string) string {
	sum, _, _ := strings.Cut(out, " ")
	if raw, err := hex.DecodeString(sum); err != nil || len(raw) != sha256.Size {
		return ""
	}
	return sum
}

func (p *Place) readBack(name string, n int64) (string, error) {
	f, err := p.client.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	limited := &limitedWriter{h, n}
	if _, err := f.WriteTo(limited); err != nil && limited.n > 0 {
		return "", err
	}
	if limited.n > 0 {
		return "", nil // shorter: no hash is that of n bytes
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// limitedWriter takes n bytes, and then ends the copy.
type limitedWriter struct {
	w io.Writer
	n int64
}

func (l *limitedWriter) Write(b []byte) (int, error) {
	take := min(int64(len(b)), l.n)
	if _, err := l.w.Write(b[:take]); err != nil {
		return 0, err
	}
	if l.n -= take; l.n == 0 && take < int64(len(b)) {
		return int(take), io.ErrShortWrite
	}
	return len(b), nil
}
