package excerpt

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

// file is the bytes 0, 1, 2, … of a file.
var file = func() []byte {
	b := make([]byte, 1000)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}()

// excerptOf reads stretches of the file, given as offset and length, and
// carries what that needs.
func excerptOf(t testing.TB, stretches ...part) []byte {
	t.Helper()
	r := Record(bytes.NewReader(file), int64(len(file)))
	for _, s := range stretches {
		if _, err := r.ReadAt(make([]byte, s[1]), s[0]); err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
	}
	out, err := r.Reader()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(out)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestExcerpt finds there what was read here, and nothing else.
func TestExcerpt(t *testing.T) {
	raw := excerptOf(t, part{500, 10}, part{0, 4}, part{2, 8}, part{990, 20}, part{510, 5})
	if line, _, _ := strings.Cut(string(raw), "\n"); line != `{"size":1000,"parts":[[0,10],[500,15],[990,10]]}` {
		t.Errorf("it starts with %s", line)
	}
	e, err := Read(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		off  int64
		n    int
		got  int
		want error
	}{
		{0, 10, 10, nil}, {3, 4, 4, nil}, {500, 15, 15, nil}, {990, 10, 10, nil}, {995, 10, 5, io.EOF}, {1000, 1, 0, io.EOF},
		{5, 10, 5, ErrNotThere}, {10, 1, 0, ErrNotThere}, {499, 2, 0, ErrNotThere}, {515, 1, 0, ErrNotThere},
	} {
		b := make([]byte, c.n)
		n, err := e.ReadAt(b, c.off)
		if n != c.got || !errors.Is(err, c.want) || !bytes.Equal(b[:n], file[c.off:c.off+int64(n)]) {
			t.Errorf("%d bytes at %d: %d, %v", c.n, c.off, n, err)
		}
	}
	if e.Size() != 1000 {
		t.Errorf("its size is %d", e.Size())
	}
}

// TestReadRefuses takes nothing that is not an excerpt.
func TestReadRefuses(t *testing.T) {
	whole := excerptOf(t, part{0, 10})
	for name, text := range map[string]string{
		"nothing":        "",
		"no line":        "{",
		"no JSON":        "hello\n",
		"cut short":      string(whole[:len(whole)-1]),
		"out of order":   `{"size":10,"parts":[[5,1],[0,1]]}` + "\nab",
		"overlapping":    `{"size":10,"parts":[[0,2],[1,1]]}` + "\nabc",
		"negative":       `{"size":10,"parts":[[0,-1]]}` + "\n",
		"behind the end": `{"size":10,"parts":[[9,2]]}` + "\nab",
		"overflow":       `{"size":9223372036854775807,"parts":[[9223372036854775807,9223372036854775807]]}` + "\n",
		"too much":       `{"size":99999999999,"parts":[[0,99999999999]]}` + "\n",
		"a long line":    strings.Repeat(" ", 5<<20),
	} {
		if _, err := Read(strings.NewReader(text)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// FuzzRead demands that what is accepted can be read without a fault.
func FuzzRead(f *testing.F) {
	f.Add(excerptOf(f, part{0, 4}, part{500, 10}, part{990, 10}), int64(3))
	f.Add([]byte(`{"size":10,"parts":[[0,2],[1,1]]}`+"\nabc"), int64(0))
	f.Fuzz(func(t *testing.T, raw []byte, off int64) {
		e, err := Read(bytes.NewReader(raw))
		if err != nil {
			return
		}
		for _, at := range append([]int64{off}, 0, e.Size()-1) {
			if n, err := e.ReadAt(make([]byte, 3), at); n < 3 && err == nil {
				t.Errorf("%d bytes at %d without an error", n, at)
			}
		}
	})
}
