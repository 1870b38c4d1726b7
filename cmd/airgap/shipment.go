package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"airgap/bundle/image"
	"airgap/cmd/airgap/internal/ui"
	"airgap/transfer"
	"airgap/transfer/volume"
)

// cutOptions are the flags that say how a bundle is cut and protected.
type cutOptions struct {
	volumeSize, percent string
	size                int64 // of a volume in bytes; 0: as the medium needs it
	parity              int   // in percent of the bundle
}

func (o *cutOptions) flags(flags *pflag.FlagSet) {
	flags.StringVar(&o.volumeSize, "volume-size", "auto", "cut the bundle into volumes of this `SIZE`: 4GiB, 650MB, cd, dvd, bd, or auto for what the medium needs")
	flags.StringVar(&o.percent, "parity", "", "add so much to repair damage and lost volumes with: `PERCENT` of the bundle's size, such as 10%")
}

func (o *cutOptions) parse(cmd *cobra.Command) (err error) {
	if o.volumeSize != "auto" {
		if o.size, err = volume.ParseSize(o.volumeSize); err != nil {
			return usage(cmd, "--volume-size: %w", err)
		}
	}
	if o.percent == "" {
		return nil
	}
	o.parity, err = strconv.Atoi(strings.TrimSuffix(o.percent, "%"))
	if err != nil || o.parity < 1 || o.parity > 100 {
		return usage(cmd, "--parity: %q is not a share from 1%% to 100%%", o.percent)
	}
	return nil
}

// shipment is what travels for a bundle: its file, or what that is cut into, and
// what goes along. It is made once for each size of volumes.
type shipment struct {
	*sender
	ctx context.Context

	mu   sync.Mutex
	made map[int64][]transfer.File
	open []io.Closer
}

func newShipment(ctx context.Context, s *sender) *shipment {
	return &shipment{sender: s, ctx: ctx, made: map[int64][]transfer.File{}}
}

// of gives the files for volumes of a size in bytes, in the order in which they
// travel.
func (c *shipment) of(size int64) ([]transfer.File, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if files := c.made[size]; files != nil {
		return files, nil
	}
	files, err := c.cut(size)
	if err != nil {
		return nil, err
	}
	if c.o.withBinary {
		along, err := c.along(files)
		if err != nil {
			return nil, err
		}
		files = append(along, files...)
	}
	c.made[size] = files
	return files, nil
}

// cut cuts the bundle and makes its parity, if either is wanted.
func (c *shipment) cut(size int64) ([]transfer.File, error) {
	file, err := c.file()
	if err != nil {
		return nil, err
	}
	if c.o.cut.parity == 0 && size == 0 {
		beside, err := c.beside()
		return append(beside, file), err
	}
	if c.o.cut.parity == 0 && len(c.bundle.parity()) > 0 {
		c.env.Note("the parity beside %s is for all of it in one and stays: --parity makes some for volumes", c.bundle.name)
	}
	if c.bundle.Plain() && !file.Hashed {
		if _, err := sumOf(c.ctx, c.env, c.bundle, func(int64) {}); err != nil { // it has no trailer
			return nil, err
		}
	}
	passes := int64(1)
	if c.o.cut.parity > 0 {
		passes++
	}
	progress := c.env.Progress("cutting", file.Size*passes)
	defer progress.Stop()
	parts, err := volume.Split(c.ctx, file, volume.Layout{
		ID: c.bundle.ID().Hex, Size: size, Parity: c.o.cut.parity, Progress: progress.Add, Seen: c.bundle.Trailer(),
	})
	if err != nil {
		return nil, err
	}
	progress.Done()
	c.open = append(c.open, parts)
	if c.o.cut.parity > 0 {
		c.env.Note("%s", protection(parts, c.o.cut.parity))
	}
	return parts.Files, nil
}

// beside is the parity that pack has put beside the bundle; where it is unpacked
// at once there is no use for it.
func (c *shipment) beside() (list []transfer.File, err error) {
	if c.o.unpack {
		return nil, nil
	}
	for _, path := range c.bundle.parity() {
		file, err := c.besideAt(path)
		if damaged := (*volume.DamagedError)(nil); errors.As(err, &damaged) {
			c.env.Detail("%s: %v", path, err)
			c.env.Warn("%s is damaged and stays here: airgap repair makes it good", filepath.Base(path))
			continue
		}
		if errors.Is(err, fs.ErrNotExist) { // who packs anew takes the old parity away first
			c.env.Warn("%s has gone meanwhile, and is not sent", path)
			continue
		}
		if err != nil {
			return nil, err
		}
		list = append(list, file)
	}
	return list, nil
}

// besideAt is a parity file. No sum beside it would say as much as it does itself.
func (c *shipment) besideAt(path string) (file transfer.File, err error) {
	f, err := os.Open(path)
	if err != nil {
		return file, err
	}
	c.open = append(c.open, f)
	info, err := f.Stat()
	if err != nil {
		return file, err
	}
	progress := c.env.Progress("checking parity", info.Size())
	defer progress.Stop()
	file = transfer.File{Name: filepath.Base(path), Size: info.Size(), Data: f, Hashed: true, Mode: info.Mode().Perm() | 0o600}
	if file.SHA256, err = volume.SumParity(c.ctx, f, info.Size(), progress.Add); err == nil {
		progress.Done()
	}
	return file, err
}

// needed are those of the files that have to travel: all but the parity beside,
// which has the names of what --parity makes.
func (c *shipment) needed(files []transfer.File) []transfer.File {
	if c.o.cut.parity > 0 {
		return files
	}
	return slices.DeleteFunc(slices.Clone(files), func(f transfer.File) bool { return c.bundle.isParity(f.Name) })
}

// protection says what parity is good for.
func protection(p *volume.Parts, percent int) string {
	switch {
	case p.Losable > 0:
		return fmt.Sprintf("parity of %d%%: any %s may be lost, or as much be damaged", percent, ui.Plural(p.Losable, "volume"))
	case p.ToLose > 0:
		return fmt.Sprintf("parity of %d%%: so much of the bundle may be damaged; for the loss of a whole volume it takes %d%%", percent, p.ToLose)
	}
	return fmt.Sprintf("parity of %d%%: so much of the bundle may be damaged", percent)
}

// along are the programs for the bundle's platforms, and what to do with them.
func (c *shipment) along(files []transfer.File) ([]transfer.File, error) {
	var along []transfer.File
	var missing error
	for _, platform := range c.platforms() {
		f, err := c.o.binaryFor("the medium", platform)
		if none := (*noBinaryError)(nil); errors.As(err, &none) {
			missing = err
			continue
		}
		if err != nil {
			return nil, err
		}
		c.open = append(c.open, f)
		program, err := programFile(f)
		if err != nil {
			return nil, err
		}
		program.Name = "airgap-" + platform.OS + "-" + platform.Architecture
		along = append(along, program)
	}
	if len(along) == 0 {
		return nil, missing
	}
	if missing != nil {
		c.env.Note("%v", missing)
	}
	return append([]transfer.File{readme(c.bundle, files, along)}, along...), nil
}

// platforms are those of hosts that the bundle can be meant for: its own, of
// which programs for Linux are made.
func (c *shipment) platforms() []image.Platform {
	var list []image.Platform
	seen := map[string]bool{}
	add := func(p image.Platform) {
		if key := p.OS + "/" + p.Architecture; p.OS == "linux" && !seen[key] {
			seen[key] = true
			list = append(list, p)
		}
	}
	for _, img := range c.bundle.Manifest().Images {
		for _, m := range img.Manifests {
			os, rest, _ := strings.Cut(m.Platform, "/")
			architecture, _, _ := strings.Cut(rest, "/")
			add(image.Platform{OS: os, Architecture: architecture})
		}
	}
	if len(list) == 0 {
		list = append(list, image.Platform{OS: runtime.GOOS, Architecture: runtime.GOARCH})
	}
	return list
}

func (c *shipment) close() {
	for _, f := range c.open {
		f.Close()
	}
}

// load decides what travels to a place: where its files cannot be large enough,
// the bundle is cut. It says whether something is left there of earlier sends.
func (s *sender) load(ctx context.Context, place transfer.Place) (files []transfer.File, left bool, err error) {
	file, err := s.file()
	if err != nil {
		return nil, false, err
	}
	size, name := s.o.cut.size, file.Name
	if size == 0 {
		found, err := place.Find(ctx, volume.Kin(name, []transfer.File{file})[0])
		if err != nil {
			return nil, false, err
		}
		left = len(found.Older) > 0
		if found.Limit > 0 && file.Size > found.Limit {
			size = found.Limit
			s.env.Note("%s takes files of at most %s: the bundle is cut into volumes", found.Place, ui.Size(size))
		}
	}
	if files, err = s.shipment.of(size); err != nil {
		return nil, false, err
	}
	files = volume.Kin(name, files)
	if len(files) == 1 && s.o.cut.size == 0 {
		return files, left, nil // its own send tells what does not fit
	}
	left, misfit, err := s.misfit(ctx, place, files)
	if needed := s.shipment.needed(files); misfit != nil && len(needed) < len(files) {
		s.env.Note("the parity beside the bundle stays here: %v", misfit)
		files = volume.Kin(name, needed)
		left, misfit, err = s.misfit(ctx, place, files)
	}
	return files, left, errors.Join(misfit, err)
}

// misfit says why files cannot go to a place, or nil, and whether something is left
// there of earlier sends.
func (s *sender) misfit(ctx context.Context, place transfer.Place, files []transfer.File) (left bool, why, err error) {
	found, err := transfer.Room(ctx, place, files)
	left = len(found.Older) > 0
	var full *transfer.NoSpaceError
	switch {
	case errors.As(err, &full):
		return left, full, nil
	case err == nil && len(files) > 1 && found.Name != files[len(files)-1].Name:
		return left, &ui.Error{
			Err: fmt.Errorf("several files are to be sent, and %q at %s is not a folder", found.Path, found.Place), Code: ui.Usage, State: unsent,
			Hints: []string{"name a folder that exists"},
		}, nil
	}
	return left, nil, err
}

// sizeOf is that of all files together, in bytes.
func sizeOf(files []transfer.File) (total int64) {
	for _, f := range files {
		total += f.Size
	}
	return total
}
