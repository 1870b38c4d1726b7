package volume

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"airgap/transfer"
	"airgap/transfer/volume/parity"
)

// protection makes the parity of one file.
type protection struct {
	facts    Footer // name, set, file, whole and slice
	size     int64  // of a parity file at most, in bytes; 0: as large as it is
	percent  int
	tempDir  string
	progress func(int64)
}

// geometry is how the parity that a footer speaks of was made.
func (f Footer) geometry() parity.Geometry {
	return parity.Geometry{Size: f.Whole.Total, Shard: f.Parity.Shard, Data: f.Parity.Data, Parity: f.Parity.Check}
}

// parts makes the parity in a temporary file, and its files from that.
func (p protection) parts(ctx context.Context, data io.ReaderAt) (_ *Parts, err error) {
	g, err := parity.NewGeometry(p.facts.Whole.Total, Shard, p.percent)
	if err != nil {
		return nil, err
	}
	per, err := p.shardsPerFile(g)
	if err != nil {
		return nil, err
	}
	staged, err := newScratch(p.tempDir)
	if err != nil {
		return nil, err
	}
	table, err := parity.Encode(ctx, g, data, staged, p.progress)
	if err != nil {
		return nil, errors.Join(err, staged.Close())
	}
	p.facts.Parity = &Parity{Slice: p.facts.Parity.Slice, Shard: g.Shard, Data: g.Data, Check: g.Parity, Files: int((g.ParityShards()-1)/per + 1)}
	parts := &Parts{staged: staged, Losable: losable(g, p.facts.Parity.Slice)}
	if parts.Losable == 0 {
		parts.ToLose = toLose(g.Size, p.facts.Parity.Slice)
	}
	for n := 1; n <= p.facts.Parity.Files; n++ {
		off := int64(n-1) * per * Shard
		f, err := parityFile(ctx, p.facts.parityPart(n, off, min(per*Shard, g.ParitySize()-off)), staged, table.Marshal())
		if err != nil {
			return nil, errors.Join(err, staged.Close())
		}
		parts.Files = append(parts.Files, f)
	}
	return parts, nil
}

// shardsPerFile is how many parity shards fit into one file.
func (p protection) shardsPerFile(g parity.Geometry) (int64, error) {
	if p.size == 0 {
		return g.ParityShards(), nil
	}
	per := (p.size - 2*FooterSize - 2*g.TableSize()) / Shard
	if per < 1 {
		return 0, fmt.Errorf("volumes of %d bytes are too small for the parity of %d bytes", p.size, g.Size)
	}
	return min(per, g.ParityShards()), nil
}

func (f Footer) parityPart(n int, off, length int64) Footer {
	f.Number, f.Offset, f.Length = n, off, length
	return f
}

// parityFile puts a stretch of the parity shards between two tables and two
// blocks.
func parityFile(ctx context.Context, f Footer, shards io.ReaderAt, table []byte) (transfer.File, error) {
	body := joined{memory(table), stretch(shards, f.Offset, f.Length), memory(table)}
	var err error
	if f.SHA256, err = hashOf(ctx, body, nil); err != nil {
		return transfer.File{}, err
	}
	block, err := f.Marshal()
	if err != nil {
		return transfer.File{}, err
	}
	data := append(append(joined{memory(block)}, body...), memory(block))
	file := transfer.File{Name: parityName(f.Name, f.Number, f.Parity.Files), Size: data.size(), Data: data, Hashed: true}
	file.SHA256, err = hashOf(ctx, data, nil)
	return file, err
}

// sized is what can be hashed from its start to its end.
type sized interface {
	io.ReaderAt
	size() int64
}

func hashOf(ctx context.Context, r sized, progress func(int64)) (string, error) {
	h := sha256.New()
	w := io.Writer(h)
	if progress != nil {
		w = io.MultiWriter(h, progressWriter(progress))
	}
	n, err := io.CopyBuffer(w, transfer.ContextReader(ctx, stretch(r, 0, r.size())), make([]byte, 1<<20))
	if err == nil && n < r.size() {
		err = io.ErrUnexpectedEOF
	}
	return hexSum(h), err
}

// losable is how many volumes parity can stand for: each costs each group the
// shards of it that are there.
func losable(g parity.Geometry, slice int64) int {
	shards := g.DataShards()
	if slice > 0 {
		shards = min(shards, slice/Shard)
	}
	each := (shards-1)/g.Groups() + 1
	return int(int64(g.Parity) / each)
}

// toLose is the least parity in percent that can stand for a volume, or 0.
func toLose(total, slice int64) int {
	for percent := 1; percent <= 100 && slice > 0; percent++ {
		if g, err := parity.NewGeometry(total, Shard, percent); err == nil && losable(g, slice) > 0 {
			return percent
		}
	}
	return 0
}

// AddParity makes the parity of what a Writer has written: the set of the file
// name in a folder, or that file itself. The parts are the parity files only.
// l.ID is that of the Writer, for a file that was not cut; what is there is read
// twice.
func AddParity(ctx context.Context, dir, name string, l Layout) (_ *Parts, err error) {
	defer wrap(&err, "making parity for", name)
	if l.Progress == nil {
		l.Progress = func(int64) {}
	}
	p := protection{size: l.Size, percent: l.Parity, tempDir: l.TempDir, progress: l.Progress}
	data, err := p.source(ctx, dir, name, l)
	if err != nil {
		return nil, err
	}
	defer data.Close()
	sum, err := hashOf(ctx, data, l.Progress)
	if err != nil {
		return nil, err
	}
	whole := p.facts.Whole
	if whole.SHA256 == "" {
		whole.SHA256, p.facts.Set = sum, setID(sum, plan{total: whole.Total}, l.Parity)
		if p.facts.File == "" {
			p.facts.File = sum
		}
	}
	if sum != whole.SHA256 {
		return nil, &transfer.ChangedError{Name: name, Want: whole.SHA256, Got: sum}
	}
	return p.parts(ctx, data)
}

// source opens what parity is made for, and learns what is known of it.
func (p *protection) source(ctx context.Context, dir, name string, l Layout) (interface {
	sized
	io.Closer
}, error) {
	if f, err := openRegular(filepath.Join(dir, name)); err == nil {
		p.facts = Footer{Name: name, File: l.ID, Whole: &Whole{Volumes: 1, Total: f.size()}, Parity: &Parity{}}
		return f, nil
	}
	s, err := Open(ctx, dir, name, OpenOptions{})
	if err != nil {
		return nil, err
	}
	whole := *s.whole
	p.facts = Footer{Name: s.name, Set: s.id, File: s.file, Whole: &whole, Parity: &Parity{Slice: s.slice}}
	return s, nil
}

// regular is a file of a known size.
type regular struct{ transfer.Regular }

func (r regular) size() int64 { return r.Size() }

// openRegular opens a regular file here.
func openRegular(path string) (regular, error) {
	f, err := transfer.LocalDir(filepath.Dir(path)).Open(filepath.Base(path))
	return regular{f}, err
}
