//go:build linux

package e2e_test

import (
	"os"
	"os/exec"
	"testing"
)

// TestForeignSystems runs the binaries for other systems as far as this machine can:
// that for Windows under Wine, that for arm64 under qemu. What they write is the
// same to the byte, and they read what they have written and lost a part of.
func TestForeignSystems(t *testing.T) {
	const images = " oci:samples:airgap-demo/hello:v1 oci:samples:airgap-demo/clock:v1"
	for _, s := range []struct{ name, needs, run, os, arch string }{
		{"windows", "wine", "wine airgap.exe", "windows", "amd64"},
		{"arm64", "qemu-aarch64", "qemu-aarch64 ./airgap.exe", "linux", "arm64"},
	} {
		t.Run(s.name, func(t *testing.T) {
			program(t, s.needs, s.needs)
			m := newMachine(t)
			build := exec.Command("go", "build", "-buildvcs=false", "-trimpath", "-tags", "grpcnotrace", "-o", m.path("airgap.exe"), "airgap/cmd/airgap")
			build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+s.os, "GOARCH="+s.arch)
			if text, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			packSamples(m)
			m.airgap("unpack", "--to", "oci:here", "bundle.tar.zst").ok()
			m.shell(s.run + " pack --platform all -o there.tar.zst" + images + " && cmp bundle.tar.zst there.tar.zst")
			m.shell(s.run + " verify there.tar.zst && mkdir usb && " + s.run + " send --volume-size 1MiB --parity 20% there.tar.zst usb")
			m.shell("rm usb/there.tar.zst.001 && " + s.run + " unpack --to oci:there usb && diff -r here there")
			m.shell(s.run + " repair usb")
			m.airgap("verify", "usb").ok()
			m.shell("truncate -s 1000 there.tar.zst && { " + s.run + " verify there.tar.zst || test $? = 3; }")
			m.shell("rm there.tar.zst; " + s.run + " verify there.tar.zst || test $? = 1")
		})
	}
}
