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

// Hash implements transfer.Place: by the far side's own sha256sum where it has
// one, else by reading back.
func (p *Place) Hash(ctx context.Context, which transfer.Which, n int64) (sum, how string, err error) {
	name := p.final()
	if which == transfer.Partial {
		name = p.partial()
	}
	err = p.guard(ctx, func() error {
		if sum = p.remoteSum(ctx, name, n); sum != "" {
			how = "sha256sum there"
			return nil
		}
		how = "read back"
		sum, err = p.readBack(name, n)
		return p.failed(err)
	})
	return sum, how, err
}

// remoteSum asks a shell there; empty where there is none, or no sha256sum.
func (p *Place) remoteSum(ctx context.Context, name string, n int64) string {
	out, err := p.output(ctx, fmt.Sprintf("head -c %d %s | sha256sum", n, quoted(name)))
	sum, _, _ := strings.Cut(out, " ")
	if raw, hexErr := hex.DecodeString(sum); err != nil || hexErr != nil || len(raw) != sha256.Size {
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
