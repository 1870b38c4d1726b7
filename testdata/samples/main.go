// Samples makes small, real container images for the demonstration and for
// tests, on any machine that has Go: no engine, no registry and no network.
//
//	go run ./testdata/samples DIR
//
// writes an OCI image layout to DIR with two images, each an index of
// linux/amd64 and linux/arm64:
//
//	airgap-demo/hello:v1   says hello, with its version and platform
//	airgap-demo/clock:v1   tells the time in several places
//
// Both stand on one base layer: a few tools (cat, ls, …) and the time zones of
// the world. The binaries are compiled from the folders beside this file, so
// the images run. The same Go release makes the same bytes every time.
package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go run ./testdata/samples DIR")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "samples:", err)
		os.Exit(1)
	}
}

var architectures = []string{"amd64", "arm64"}

// run writes the layout and prints the names of its images.
func run(dir string) error {
	work, err := os.MkdirTemp("", "airgap-samples-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	l, err := createLayout(dir)
	if err != nil {
		return err
	}
	for _, name := range []string{"hello", "clock"} {
		if err := addImage(l, work, name); err != nil {
			return fmt.Errorf("making the image %q: %w", name, err)
		}
		fmt.Printf("airgap-demo/%s:%s\n", name, version)
	}
	return l.writeIndex()
}

// addImage adds the image of an application for all architectures.
func addImage(l *layout, work, name string) error {
	var manifests []descriptor
	for _, arch := range architectures {
		base, err := baseLayer(work, arch)
		if err != nil {
			return err
		}
		app, err := appLayer(work, name, arch)
		if err != nil {
			return err
		}
		m, err := l.addManifest(arch, name, []layer{base, app})
		if err != nil {
			return err
		}
		manifests = append(manifests, m)
	}
	return l.addIndex("docker.io/airgap-demo/"+name+":"+version, manifests)
}
