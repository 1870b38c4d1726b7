package image

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
)

// MaxDocument is the largest index, manifest or config that is read, in bytes.
const MaxDocument = 4 << 20

// NewReader returns a reader of r's bytes that fails with a *DigestError,
// before io.EOF, unless they are exactly the bytes that d names. It never
// yields more than d.Size bytes. Closing it closes r.
func NewReader(r io.ReadCloser, d Descriptor) io.ReadCloser {
	return &verifier{r: r, want: d, hash: sha256.New()}
}

type verifier struct {
	r    io.ReadCloser
	want Descriptor
	hash hash.Hash
	seen int64
	err  error // sticky
}

func (v *verifier) Close() error { return v.r.Close() }

func (v *verifier) Read(p []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if v.seen >= v.want.Size {
		v.err = v.end()
		return 0, v.err
	}
	p = p[:min(int64(len(p)), v.want.Size-v.seen)]
	n, err := v.r.Read(p)
	v.hash.Write(p[:n])
	v.seen += int64(n)
	switch {
	case err == io.EOF && v.seen == v.want.Size:
		v.err = v.digest()
	case err == io.EOF:
		v.err = &DigestError{Want: v.want, GotSize: v.seen}
	case err != nil:
		v.err = err
	}
	return n, v.err
}

// end is reached with all bytes seen: nothing may follow.
func (v *verifier) end() error {
	var one [1]byte
	switch n, err := io.ReadFull(v.r, one[:]); {
	case n > 0:
		return &DigestError{Want: v.want, GotSize: v.seen + 1}
	case err != io.EOF:
		return err
	}
	return v.digest()
}

// digest answers io.EOF when the digest is the expected one.
func (v *verifier) digest() error {
	got := Digest{Algorithm: "sha256", Hex: hex.EncodeToString(v.hash.Sum(nil))}
	if got != v.want.Digest {
		return &DigestError{Want: v.want, Got: got, GotSize: v.seen}
	}
	return io.EOF
}

// SHA256 is the digest of b.
func SHA256(b []byte) Digest {
	sum := sha256.Sum256(b)
	return Digest{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}
}

// HashReader reads r to its end and gives the digest of what it read.
func HashReader(r io.Reader) (Digest, error) {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return Digest{}, err
	}
	return HashDigest(h), nil
}

// HashDigest is the digest that a finished sha256 holds.
func HashDigest(h hash.Hash) Digest {
	return Digest{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}
}

// CheckDigest accepts the canonical form of a sha256 digest only.
func CheckDigest(d Digest) error {
	if d.Algorithm != "sha256" {
		return fmt.Errorf("digest %q: only sha256 is supported", d)
	}
	if raw, err := hex.DecodeString(d.Hex); err != nil || len(raw) != sha256.Size || hex.EncodeToString(raw) != d.Hex {
		return fmt.Errorf("digest %q is not 64 lower-case hexadecimal digits", d)
	}
	return nil
}

// ParseDigest reads what CheckDigest accepts.
func ParseDigest(s string) (Digest, error) {
	algorithm, hex, _ := strings.Cut(s, ":")
	d := Digest{Algorithm: algorithm, Hex: hex}
	return d, CheckDigest(d)
}

// errTooLarge is wrapped when a document is larger than MaxDocument.
var errTooLarge = errors.New("document too large")
