package volume

import (
	"context"
	"os"
	"regexp"
	"slices"
	"strings"
)

// Earlier is what a folder has under the names of the volumes and parity files of
// a file.
type Earlier struct {
	// Volumes, their Parity, and what is Beside a file that was not cut as its
	// parity have a footer that names the file, and are called as that has it.
	// What somebody has renamed is theirs.
	Volumes, Parity, Beside []string
	// Others only have such a name.
	Others []string
}

// Outdated is what has to go where the file is written anew, but for what is
// kept. Parity beside a whole file that stays is that one's.
func (e Earlier) Outdated(stays bool, keep []string) []string {
	names := slices.Concat(e.Volumes, e.outdatedParity(stays))
	return slices.DeleteFunc(names, func(name string) bool { return slices.Contains(keep, name) })
}

func (e Earlier) outdatedParity(stays bool) []string {
	if stays {
		return e.Parity
	}
	return slices.Concat(e.Parity, e.Beside)
}

// FindEarlier looks for what earlier cuts of a file of that name have left in a
// folder.
func FindEarlier(ctx context.Context, dir, name string) (found Earlier, err error) {
	defer wrap(&err, "looking for old volumes in", dir)
	entries, err := readFolder(ctx, dir)
	if err != nil {
		return found, err
	}
	ours := map[string]bool{}
	for _, e := range entries {
		switch f := e.footer; {
		case f == nil || f.Name != name || !f.calls(e.name):
		case f.Parity != nil && f.Parity.Slice == 0:
			found.Beside, ours[e.name] = append(found.Beside, e.name), true
		case f.Parity != nil:
			found.Parity, ours[e.name] = append(found.Parity, e.name), true
		default:
			found.Volumes, ours[e.name] = append(found.Volumes, e.name), true
		}
	}
	all, err := os.ReadDir(dir)
	for _, d := range all {
		if !ours[d.Name()] && IsName(d.Name(), name) {
			found.Others = append(found.Others, d.Name())
		}
	}
	return found, err
}

// suffix is what volumes and parity files are called behind the name of the file.
var suffix = regexp.MustCompile(`^\.(par|(par)?[0-9]{3,})$`)

// IsName says whether something is called as a volume or a parity file of a file
// of that name would be.
func IsName(base, name string) bool {
	rest, ok := strings.CutPrefix(base, name)
	return ok && suffix.MatchString(rest)
}

// calls says whether a file of that footer is called so, or is while it waits for
// its name.
func (f Footer) calls(name string) bool {
	right := volumeName(f.Name, f.Number)
	if f.Parity != nil {
		right = parityName(f.Name, f.Number, f.Parity.Files)
	}
	rest, ok := strings.CutPrefix(name, right)
	return ok && (rest == "" || waiting.MatchString(rest))
}
