package parity

import (
	"bytes"
	"fmt"
	"math/big"
	"os"
	"strings"
	"testing"

	"github.com/klauspost/reedsolomon"
)

func document(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile("PARITY.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// TestDocument: the numbers of PARITY.md are those of the code.
func TestDocument(t *testing.T) {
	text := document(t)
	for _, want := range []string{
		fmt.Sprintf("%d (`MinShardSize`)", MinShardSize), fmt.Sprintf("%d (`MaxShardSize`)", MaxShardSize),
		fmt.Sprintf("%d (`Shard`)", Shard), fmt.Sprintf("%d (`PacketShard`)", PacketShard),
		fmt.Sprintf("%d (`MaxShards`)", MaxShards), fmt.Sprintf("%d (`MaxTotal`)", MaxTotal),
		fmt.Sprintf("%d: `HeaderSize`", HeaderSize), fmt.Sprintf("page is %d bytes", pageSize), fmt.Sprintf("then %d hashes", pageHashes),
		fmt.Sprintf("magic: `% x`", magic),
	} {
		if !strings.Contains(text, want) {
			t.Errorf("PARITY.md does not say %q", want)
		}
	}
	for _, km := range [][2]int64{{200, 20}, {209, 11}, {100, 10}} {
		row := fmt.Sprintf("| %d, %d |", km[0], km[1])
		for _, percent := range []int64{1, 2, 4} {
			row += fmt.Sprintf(" %.1e |", death(km[0], km[1], percent))
		}
		if !strings.Contains(text, row) {
			t.Errorf("PARITY.md does not say %q", row)
		}
	}
}

// death is the probability that a group of k and m shards dies.
func death(k, m, percent int64) *big.Float {
	power := func(x, n int64) *big.Int { return new(big.Int).Exp(big.NewInt(x), big.NewInt(n), nil) }
	sum := new(big.Int)
	for i := m + 1; i <= k+m; i++ {
		term := new(big.Int).Binomial(k+m, i)
		sum.Add(sum, term.Mul(term, power(percent, i)).Mul(term, power(100-percent, k+m-i)))
	}
	ratio := new(big.Rat).SetFrac(sum, power(100, k+m))
	return new(big.Float).SetRat(ratio)
}

// example is that of PARITY.md: two shards, of which the second has 2 bytes.
func example(t *testing.T) string {
	g := Geometry{Size: 66, Shard: 64, Data: 2, Parity: 1}
	data := make(memory, 66)
	for i := range data {
		data[i] = byte(i)
	}
	parity := make(memory, g.ParitySize())
	table, err := Encode(t.Context(), g, data, parity, nil)
	if err != nil {
		t.Fatal(err)
	}
	page := table.Marshal()
	var packet [HeaderSize]byte
	header{stream{[16]byte{1}, table.root(), g}, 2, hash(table.at(2))}.encode(packet[:])
	var b strings.Builder
	fmt.Fprintf(&b, "The 66 bytes 00 01 … 41, in shards of 64: n = 2, k = 2, m = 1, G = 1. The parity shard, then the beginning of the table:\n\n")
	dump(&b, parity)
	fmt.Fprintf(&b, "\n")
	dump(&b, page[:4*hashSize])
	fmt.Fprintf(&b, "    00 …             up to byte %d\n\nThe header of the packet of the parity shard, in the stream with the id 01 00 … 00:\n\n", len(page))
	dump(&b, packet[:])
	return b.String()
}

func dump(b *strings.Builder, p []byte) {
	for ; len(p) > 0; p = p[16:] {
		fmt.Fprintf(b, "    % x\n", p[:16])
	}
}

func TestExample(t *testing.T) {
	if want := example(t); !strings.Contains(document(t), want) {
		t.Errorf("the example of PARITY.md is not:\n%s", want)
	}
}

// TestMatrix: the document's formula, computed as it is written, is what the
// library encodes with.
func TestMatrix(t *testing.T) {
	g := Geometry{Size: 200 * 64, Shard: 64, Data: 200, Parity: 20}
	code, err := reedsolomon.New(g.Data, g.Parity, reedsolomon.WithCauchyMatrix())
	if err != nil {
		t.Fatal(err)
	}
	for pos := range g.Data {
		parity := make([][]byte, g.Parity)
		for j := range parity {
			parity[j] = make([]byte, 1)
		}
		if err := code.EncodeIdx([]byte{1}, pos, parity); err != nil {
			t.Fatal(err)
		}
		for j := range parity {
			a := g.factor(j, pos)
			if parity[j][0] != a || multiply(a, byte(g.Data+j)^byte(pos)) != 1 {
				t.Fatalf("a(%d, %d) is %#x, not %#x", j, pos, parity[j][0], a)
			}
		}
	}
}

// multiply is the product in GF(2^8), by hand.
func multiply(a, b byte) byte {
	var product byte
	for ; b > 0; b >>= 1 {
		if b&1 > 0 {
			product ^= a
		}
		carry := a&0x80 > 0
		if a <<= 1; carry {
			a ^= 0x1d
		}
	}
	return product
}

// TestTablePages: each page is taken from where it is good, and proves itself
// only in its place and for its geometry.
func TestTablePages(t *testing.T) {
	g := Geometry{Size: 64 * 600, Shard: 64, Data: 100, Parity: 10}
	table, err := Encode(t.Context(), g, make(memory, g.Size), make(memory, g.ParitySize()), nil)
	if err != nil {
		t.Fatal(err)
	}
	a, b := bytes.Clone(table.Marshal()), bytes.Clone(table.Marshal())
	a[5]++
	b[pageSize+100]++
	got, err := ReadTable(t.Context(), g, nil, memory(a), memory(b))
	if err != nil || got.Unknown() != 0 || !bytes.Equal(got.Marshal(), table.Marshal()) {
		t.Errorf("%v: two copies that complete each other", err)
	}
	if got, err = ReadTable(t.Context(), g, memory(a)); err != nil || got.Unknown() != pageHashes {
		t.Errorf("%v: one page is lost", err)
	}
	if _, err = ReadTable(t.Context(), g, memory(table.pages[pageSize:])); err == nil {
		t.Error("pages in other places are accepted")
	}
	other := g
	other.Size--
	if _, err = ReadTable(t.Context(), other, memory(table.pages)); err == nil {
		t.Error("pages for another geometry are accepted")
	}
	if _, err = ReadTable(t.Context(), g); err == nil {
		t.Error("no copy is a table")
	}
}
