// Package vectors is small files that are right in one way, or wrong in one:
// bundles, volumes with their parity, streams of packets. They are in
// testdata/vectors with a table of what every reader says of each; this package
// makes both, and its test compares them with what is there.
//
// No library that compresses has a part in them: what is here is not changed by
// anybody's next version.
package vectors

import (
	"archive/tar"
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// Table is the name of the table.
const Table = "table.jsonl"

// Vector is a line of the table.
type Vector struct {
	Name  string `json:"name"`
	About string `json:"about"` // what is special about it, or wrong
	// Files are what it consists of: the name in a folder of its own, and the
	// file's name here.
	Files map[string]string `json:"files"`
	// Arg is which of them a command is given; "." for the folder, "-" for standard
	// input.
	Arg string `json:"arg"`
	// Exit statuses of the commands; a stream is only unpacked.
	Verify  int `json:"verify"`
	Inspect int `json:"inspect"`
	Serve   int `json:"serve"`
	Unpack  int `json:"unpack"`
	// Phrase is a part of the reason that all commands that fail give.
	Phrase string `json:"phrase,omitempty"`
	// Reader is the exit status of the second reader, which does not look at
	// vectors for which Unseen says why.
	Reader int    `json:"reader"`
	Unseen string `json:"unseen,omitempty"`
	// Large is a bundle of 8 GiB, for which not all tests have the time. Its file of
	// 300 kB is not kept.
	Large bool `json:"large,omitempty"`
}

// IsBundle says whether it is one file that is, or should be, a bundle.
func (v Vector) IsBundle() bool { return len(v.Files) == 1 && v.Arg != "." && v.Arg != "-" }

// IsStream says whether it is packets.
func (v Vector) IsStream() bool { return v.Arg == "-" }

// Dir is testdata/vectors, seen from any package of the module.
func Dir() (string, error) {
	for dir, err := filepath.Abs("."); ; dir = filepath.Dir(dir) {
		if err != nil {
			return "", err
		}
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, "testdata", "vectors"), nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("this is not below the module's top")
		}
	}
}

// Load reads the table.
func Load() (list []Vector, err error) {
	dir, err := Dir()
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(filepath.Join(dir, Table))
	if err != nil {
		return nil, err
	}
	for lines := bufio.NewScanner(bytes.NewReader(raw)); lines.Scan(); {
		var v Vector
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	if len(list) == 0 {
		err = errors.New("there are no vectors")
	}
	return list, err
}

// Read gives the contents of a vector's files, by their names in its folder.
func (v Vector) Read() (map[string][]byte, error) {
	dir, err := Dir()
	files := map[string][]byte{}
	for name, stored := range v.Files {
		if v.Large {
			files[name], err = large8GiB()
		} else if err == nil {
			files[name], err = os.ReadFile(filepath.Join(dir, filepath.FromSlash(stored)))
		}
	}
	return files, err
}

// Seeds are the contents of all files whose names end so, for fuzzing.
func Seeds(ends ...string) (seeds [][]byte, err error) {
	list, err := Load()
	if err != nil {
		return nil, err
	}
	for _, v := range list {
		files, err := v.Read()
		if err != nil {
			return nil, err
		}
		for name, content := range files {
			for _, end := range ends {
				if ok, _ := path.Match("*"+end, name); ok && !v.Large {
					seeds = append(seeds, content)
				}
			}
		}
	}
	if len(seeds) == 0 {
		err = errors.New("no vector is of this kind")
	}
	return seeds, err
}

// Entries are the contents of all entries of all bundles that begin so, each once:
// documents, layers. Of what is damaged they are as far as it can be read.
func Entries(begins ...string) (entries [][]byte, err error) {
	files, err := Seeds(".tar.zst", ".tar")
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, file := range files {
		for _, content := range entriesOf(file) {
			for _, begin := range begins {
				if bytes.HasPrefix(content, []byte(begin)) && !seen[string(content)] {
					seen[string(content)] = true
					entries = append(entries, content)
				}
			}
		}
	}
	if len(entries) == 0 {
		err = errors.New("no entry of any vector begins so")
	}
	return entries, err
}

func entriesOf(file []byte) (entries [][]byte) {
	var plain io.Reader = bytes.NewReader(file)
	if bytes.HasPrefix(file, []byte{0x28, 0xb5, 0x2f, 0xfd}) {
		dec, err := zstd.NewReader(plain)
		if err != nil {
			return nil
		}
		defer dec.Close()
		plain = dec
	}
	for r := tar.NewReader(plain); ; {
		if _, err := r.Next(); err != nil {
			return entries
		}
		content, err := io.ReadAll(r)
		if err != nil {
			return entries
		}
		entries = append(entries, content)
	}
}

// made is a vector with its content.
type made struct {
	Vector
	content map[string][]byte
}

// Make makes all vectors: the files of testdata/vectors by name, the table among
// them. What several vectors share is there once.
func Make() (map[string][]byte, error) {
	files, stored := map[string][]byte{}, map[string]string{}
	var table bytes.Buffer
	enc := json.NewEncoder(&table)
	enc.SetEscapeHTML(false)
	list, err := all()
	if err != nil {
		return nil, err
	}
	for _, v := range list {
		v.Files = map[string]string{}
		for _, name := range slices.Sorted(maps.Keys(v.content)) {
			key := string(v.content[name])
			if stored[key] == "" {
				stored[key] = v.Name + strings.TrimPrefix(name, "bundle")
				if v.Arg == "." || len(v.content) > 1 {
					stored[key] = path.Join(v.Name, name)
				}
				if !v.Large {
					files[stored[key]] = v.content[name]
				}
			}
			v.Files[name] = stored[key]
		}
		if err := enc.Encode(v.Vector); err != nil {
			return nil, err
		}
	}
	files[Table] = table.Bytes()
	return files, nil
}
