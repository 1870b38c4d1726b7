//go:build linux

package e2e_test

import (
	"strings"
	"testing"
)

// TestCosign carries what cosign and oras have put beside an image to where
// they find it again.
func TestCosign(t *testing.T) {
	src := needSources(t)
	cosign := program(t, "cosign", "cosign")
	oras := program(t, "cosign", "oras")
	m := newMachine(t, "COSIGN_PASSWORD=")
	front := startRegistry(t, fresh(t, "front"), "")
	t.Cleanup(func() { front.stop() })
	m.airgap("pack", "docker://"+src.registry.addr+"/e2e/app:v1").ok()
	m.airgap("unpack", "--to", "docker://"+front.addr).ok()
	image := front.addr + "/e2e/app:v1"
	signed := front.addr + "/e2e/app@" + front.digest(t, image)
	write(t, m.path("report.json"), `{"found": 0}`)
	m.shell(cosign + " generate-key-pair")
	offline := " --key cosign.key --tlog-upload=false --yes "
	m.shell(cosign + " sign" + offline + signed)
	m.shell(cosign + " attest" + offline + "--type custom --predicate report.json " + signed)
	m.shell(oras + " attach --plain-http --artifact-type application/vnd.example.report " + image + " report.json:application/json")

	m.airgap("pack", "docker://"+image).ok("1 image with 3 referrers")
	behind := startRegistry(t, fresh(t, "behind"), "")
	t.Cleanup(func() { behind.stop() })
	m.airgap("unpack", "--to", "docker://"+behind.addr+"/mirror", "--rename", image+"=app:1").ok()
	for _, there := range []string{behind.addr + "/mirror/library/app:1", serving(t, m.path("bundle.tar.zst")) + "/e2e/app:v1"} {
		known := " --key cosign.pub --insecure-ignore-tlog=true "
		m.shell(cosign + " verify" + known + there)
		m.shell(cosign + " verify-attestation --type custom" + known + there)
		if out := m.shell(oras + " discover --plain-http " + there); !strings.Contains(out, "application/vnd.example.report") {
			t.Errorf("oras finds\n%s", out)
		}
	}
}
