package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"io"

	"airgap/bundle"
	"airgap/transfer"
	"airgap/transfer/volume"
)

// mayReplace says what may be lost for a file of the bundle that is called name.
// Where that has its name: bundles, volumes and parity, in whatever state they are.
// Where a volume or parity has its own: what an earlier set of that name has left,
// as pack has it. And of what goes along an earlier one. Anything else is dear to
// somebody.
func mayReplace(file transfer.File, name string) func(old io.ReaderAt, size int64) (bool, error) {
	switch {
	case file.Name == readmeName:
		return isReadme
	case programName.MatchString(file.Name):
		return isProgram
	case volume.IsName(file.Name, name):
		return func(old io.ReaderAt, size int64) (bool, error) { return volume.MayReplace(old, size, file, name) }
	}
	return isCargo
}

// mayReplaceAll refuses several files before the first of them is sent, where one
// of the others would be refused: else half a set is there, and nothing of an
// earlier one is whole.
func (w *way) mayReplaceAll(ctx context.Context, p transfer.Place, files []transfer.File, name string) error {
	if len(files) < 2 {
		return nil
	}
	found, err := p.Find(ctx, files[0]) // where Visit looks
	if err != nil {
		return err
	}
	w.begin(found)
	there := map[string]bool{}
	err = p.Visit(ctx, func(dir transfer.Dir) error {
		entries, err := dir.ReadDir()
		for _, file := range files {
			in := listed{dir, entries}
			there[file.Name] = in.entry(file.Name) != nil || in.entry(file.Name+".sha256") != nil
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, file := range files {
		if !there[file.Name] {
			continue
		}
		if err := transfer.MayReplace(ctx, p, file, transfer.SendOptions{MayReplace: mayReplace(file, name)}); err != nil {
			return err
		}
	}
	return nil
}

// isCargo knows bundles, volumes and parity.
func isCargo(old io.ReaderAt, size int64) (bool, error) {
	ours, err := bundle.LooksLike(old, size)
	if ours || err != nil {
		return ours, err
	}
	return volume.LooksLike(old, size)
}

// isProgram knows an airgap, by what Go notes in its programs.
func isProgram(old io.ReaderAt, size int64) (bool, error) {
	info, err := buildinfo.Read(io.NewSectionReader(old, 0, size))
	return err == nil && info.Main.Path == "airgap", nil
}

// isReadme knows the text that goes along.
func isReadme(old io.ReaderAt, size int64) (bool, error) {
	title, _, _ := bytes.Cut([]byte(readmeText), []byte("\n"))
	got := make([]byte, len(title))
	n, err := old.ReadAt(got, 0)
	if err == io.EOF {
		err = nil
	}
	return bytes.Equal(got[:n], title), err
}
