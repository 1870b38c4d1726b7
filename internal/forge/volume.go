package forge

import (
	"bytes"
	"crypto/sha256"
	"fmt"
)

// Footer is the block that a volume ends with: its lines, their hash, and line
// feeds.
func Footer(lines string) []byte {
	const size = 1024
	lines += fmt.Sprintf("sum %x\n", sha256.Sum256([]byte(lines)))
	return append([]byte(lines), bytes.Repeat([]byte("\n"), max(0, size-len(lines)))...)
}

// Part is a volume or a parity file.
type Part struct {
	Name   string
	Body   []byte
	Lines  string // of its footer, without the last
	Parity bool   // begins with the footer, too
}

// Bytes is the file.
func (p Part) Bytes() []byte {
	f := Footer(p.Lines)
	if p.Parity {
		return bytes.Join([][]byte{f, p.Body, f}, nil)
	}
	return append(bytes.Clone(p.Body), f...)
}

// Volumes cuts a file into volumes with slices of that length, or leaves it whole
// if that is 0, and makes parity of so many percent in one file, if that is not 0.
// name is quoted as in a footer if it needs to be.
func Volumes(name, id string, file []byte, slice, percent int) (parts []Part) {
	whole := fmt.Sprintf("%x", sha256.Sum256(file))
	set := fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "airgap set 1\n%s %d %d\n", whole, slice, percent)))[:32]
	lines := func(kind string, number, offset, length int, body []byte) string {
		return fmt.Sprintf("airgap %s 1\nname \"%s\"\nset %s\nfile %s\nnumber %d\noffset %d\nlength %d\nsha256 %x\n",
			kind, name, set, id, number, offset, length, sha256.Sum256(body))
	}
	count := 1
	if slice > 0 {
		count = (len(file) + slice - 1) / slice
	}
	total := fmt.Sprintf("volumes %d\ntotal %d\nwhole %s\n", count, len(file), whole)
	for n := 1; n <= count && slice > 0; n++ {
		body := file[(n-1)*slice : min(n*slice, len(file))]
		p := Part{Name: fmt.Sprintf("%s.%03d", name, n), Body: body, Lines: lines("volume", n, (n-1)*slice, len(body), body)}
		if n == count {
			p.Lines += total
		}
		parts = append(parts, p)
	}
	if percent == 0 {
		return parts
	}
	const shard = 65536
	g := For(len(file), shard, percent)
	shards := g.Shards(file)
	table, made := g.Table(shards), bytes.Join(shards[g.data():], nil)
	body := bytes.Join([][]byte{table, made, table}, nil)
	return append(parts, Part{
		Name: name + ".par", Body: body, Parity: true,
		Lines: lines("parity", 1, 0, len(made), body) + total + fmt.Sprintf("slice %d\nshard %d\ndata %d\nparity %d\nfiles 1\n", slice, shard, g.K, g.M),
	})
}
