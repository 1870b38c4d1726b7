package main

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"airgap/bundle"
	"airgap/cmd/airgap/internal/ui"
	"airgap/transfer"
	"airgap/transfer/sftp"
	"airgap/transfer/volume"
)

// splitSendArgs tells the bundle from its destinations: the first argument is it
// if that is a file, or one that was cut. Else it is the default one, and every
// argument has to be a destination: what is not, or may not be, is refused.
// listed are destinations from elsewhere.
func splitSendArgs(cmd *cobra.Command, args, listed []string) (name string, dests []string, err error) {
	name = defaultBundle
	named := len(args) > 0 && isFile(args[0])
	if named {
		name, args = args[0], args[1:]
	}
	dests = append(slices.Clone(args), listed...)
	several := len(dests) > 1
	if !named && several && len(args) > 0 {
		if err := checkFirst(cmd, args); err != nil {
			return "", nil, err
		}
	}
	for _, dest := range args {
		if !named && several && mayBeImage.MatchString(dest) {
			return "", nil, &ui.Error{
				Err: fmt.Errorf("%q may be an image, of which no bundle is named", dest), Code: ui.Usage, State: unsent,
				Hints: []string{imageHint(dest), fmt.Sprintf("if it is a host, name the bundle before it: airgap send %s %s …", defaultBundle, dest)},
			}
		}
		if err := checkDest(cmd, dest, several && !named); err != nil {
			return "", nil, err
		}
	}
	return name, dests, nil
}

// checkFirst refuses a folder that may be meant as the bundle, since one is in it
// that is another than the one here.
func checkFirst(cmd *cobra.Command, args []string) error {
	held := otherIn(args[0])
	if held == "" {
		return nil
	}
	rest := strings.Join(append(slices.Clone(args[1:]), "…")[:max(1, len(args)-1)], " ") // the others are in a list
	return &ui.Error{
		Err: fmt.Errorf("is %q the bundle? There is one in it, and none is named", args[0]), Code: ui.Usage, State: unsent,
		Hints: []string{
			fmt.Sprintf("to send what is in it: %s %s %s", cmd.CommandPath(), held, rest),
			fmt.Sprintf("to send %s there too: %s %s %s %s", defaultBundle, cmd.CommandPath(), defaultBundle, args[0], rest),
		},
	}
}

// otherIn is the path of a bundle in a folder, or of a part of one, that is not
// the default one; or nothing.
func otherIn(dir string) string {
	here := idIn(transfer.LocalDir("."), defaultBundle)
	if here == "" {
		here = idIn(transfer.LocalDir("."), defaultBundle+".001")
	}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if !e.Type().IsRegular() || !isBundleName(e.Name()) {
			continue
		}
		f, err := transfer.LocalDir(dir).Open(e.Name())
		if err != nil {
			continue
		}
		ours, err := isCargo(f, f.Size())
		f.Close()
		if id := idIn(transfer.LocalDir(dir), e.Name()); ours && err == nil && (id == "" || id != here) {
			return filepath.Join(dir, e.Name())
		}
	}
	return ""
}

// idIn is the id of the bundle that a file is, or is a part of; empty if that is
// not to be read.
func idIn(dir transfer.LocalDir, name string) string {
	f, err := dir.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	if b, err := bundle.Open(f, f.Size()); err == nil {
		return b.ID().Hex
	}
	return volume.FileOf(f, f.Size())
}

// checkDest refuses what cannot be meant as a destination. A folder that is not
// there may be a medium that is still to come, unless strict.
func checkDest(cmd *cobra.Command, dest string, strict bool) error {
	refusal := func(hint, format string, args ...any) error {
		return &ui.Error{Err: fmt.Errorf(format, args...), Code: ui.Usage, State: unsent, Hints: []string{hint, cmd.CommandPath() + " --help"}}
	}
	if isImage.MatchString(dest) {
		return refusal(imageHint(dest), "%q is an image, and what is sent is a bundle", dest)
	}
	if _, remote, err := sftp.ParseDest(dest); remote || err != nil {
		return nil // opening it tells
	}
	info, err := os.Stat(dest)
	switch {
	case err == nil && info.Mode().IsRegular():
		return refusal(fmt.Sprintf("airgap send %s DEST…", dest), "%q is a file: the bundle comes first, and only one is sent", dest)
	case err == nil && !info.IsDir():
		return refusal("keep the bundle in a file first: cat > "+defaultBundle, "%q is neither a file nor a folder, and what is sent is a bundle in a file", dest)
	case err == nil:
		return nil
	case isBundleName(dest):
		return refusal(fmt.Sprintf("airgap pack -o %s IMAGE… makes it; airgap send DEST… sends %s", dest, defaultBundle), "%q is not there, neither as a bundle nor as a folder", dest)
	case isImagePath.MatchString(dest):
		return refusal(imageHint(dest), "%q is an image, and what is sent is a bundle", dest)
	case strict:
		return refusal("name the bundle first, or make the folder; a host is written user@host:DIR", "%q is neither a bundle nor a folder that is there", dest)
	}
	return nil
}

func imageHint(image string) string {
	return fmt.Sprintf("airgap pack %s makes a bundle of an image, and airgap send DEST… sends it", image)
}

// What images look like, where a host could be meant too: the words that say
// where one is, a digest, a tag behind a port; and a name with a tag, as a host
// with a folder is.
var (
	isImage     = regexp.MustCompile(`^docker://|^(docker-daemon|docker-archive|oci-archive):|@sha256:[0-9a-f]{64}$|^[^/@]+:[0-9]+/.+:[\w][\w.-]*$`)
	isImagePath = regexp.MustCompile(`^[^/:]+/[^:]+:[\w][\w.-]*$`)
	mayBeImage  = regexp.MustCompile(`^[a-z0-9]+([._-]+[a-z0-9]+)*:[\w][\w.-]*$`)
)

// bundleForm is what the names of bundles end with, and of their volumes.
var bundleForm = regexp.MustCompile(`\.(tar|zst)(\.(par|(par)?[0-9]{3,}))?$`)

// isBundleName says whether a name looks like that of a bundle.
func isBundleName(name string) bool { return bundleForm.MatchString(name) }

// isFile says whether a name is that of a file, or of one that was cut into
// volumes.
func isFile(name string) bool {
	info, err := os.Stat(name)
	if err == nil {
		return info.Mode().IsRegular()
	}
	return isCut(context.Background(), name)
}

// readHosts reads a list of destinations; no file is an empty one.
func readHosts(path string) ([]string, error) {
	if path == "" {
		return nil, nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the destinations: %w", err)
	}
	if bytes.IndexByte(raw, 0) >= 0 { // as editors of Windows may write it
		return nil, fmt.Errorf("reading the destinations: %q is not text in UTF-8", path)
	}
	var dests []string
	for line := range strings.Lines(strings.TrimPrefix(string(raw), "\ufeff")) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line != "" {
			dests = append(dests, line)
		}
	}
	if len(dests) == 0 {
		return nil, fmt.Errorf("reading the destinations: %q lists none", path)
	}
	return dests, nil
}

// rateForm is a number of bytes a second.
var rateForm = regexp.MustCompile(`^([0-9]+)(|k|M|G|Ki|Mi|Gi)B?(/s)?$`)

// parseRate reads a rate such as 2MiB/s; nothing is 0.
func parseRate(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	m := rateForm.FindStringSubmatch(s)
	if m == nil {
		return 0, fmt.Errorf("%q is no rate such as 2MiB/s or 500kB/s", s)
	}
	unit := map[string]int64{"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}[m[2]]
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil || n == 0 || n > math.MaxInt64/unit {
		return 0, fmt.Errorf("%q is out of range", s)
	}
	return n * unit, nil
}

// readPassword reads the first line of a file.
func readPassword(path string) (string, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	first, _, _ := strings.Cut(string(raw), "\n")
	if first = strings.TrimSuffix(first, "\r"); first == "" {
		return "", fmt.Errorf("reading the password: the first line of %q is empty", path)
	}
	return first, nil
}
