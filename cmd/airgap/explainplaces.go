package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"

	"airgap/bundle/image"
	"airgap/bundle/store"
	"airgap/bundle/store/containerd"
	"airgap/bundle/store/docker"
	"airgap/bundle/store/registry"
	"airgap/cmd/airgap/internal/ui"
)

// ofPlaces knows the errors of registries and engines.
func ofPlaces(path string, err error) (ui.Status, []string, bool) {
	var r *registry.Error
	var d *docker.Error
	var spec *store.SpecError
	var sparse *registry.SparseError
	var node *containerd.Error
	switch {
	case errors.As(err, &sparse):
		return ui.Refused, []string{"where the images come from: airgap pack --platform all " + sparse.Image}, true
	case errors.As(err, &spec):
		return ui.Usage, []string{path + " --help"}, true
	case errors.As(err, &r):
		return ui.Failed, append(registryHints(r), besideEngine(err)...), true
	case errors.Is(err, image.ErrNotFound):
		return ui.Failed, append([]string{"check the name and the tag; docker://, docker-daemon: or oci: in front of it says where to look"}, besideEngine(err)...), true
	case errors.As(err, &d):
		return ofEngine(path, d)
	case errors.As(err, &node):
		return ofContainerd(node)
	}
	return 0, nil, false
}

// besideEngine is for a registry that was asked because no engine could be.
func besideEngine(err error) []string {
	var d *docker.Error
	switch {
	case !errors.As(err, &d):
		return nil
	case d.Kind == docker.Settings:
		return []string{"if the image is only in the local engine: " + settingsHint}
	}
	return []string{"if the image is only in the local engine: start that first"}
}

// settingsHint is for an engine of which it cannot be told where it is.
const settingsHint = "mend DOCKER_HOST, DOCKER_CONTEXT or ~/.docker/config.json ($DOCKER_CONFIG), which say where the engine is"

func registryHints(e *registry.Error) []string {
	switch e.Kind {
	case registry.Unauthorized:
		return []string{"docker login " + e.Host}
	case registry.Limited:
		return []string{fmt.Sprintf("wait a while, or log in for a higher limit: docker login %s", e.Host)}
	case registry.Unreachable:
		return []string{unreachableHint(e)}
	case registry.Credentials:
		return []string{"mend what is stored on this machine: ~/.docker/config.json ($DOCKER_CONFIG), containers' auth.json ($REGISTRY_AUTH_FILE), and the credential helper that is named there"}
	}
	return []string{"try again later, or ask those who run " + e.Host}
}

// unreachableHint tells trouble with certificates from trouble with the way.
func unreachableHint(e *registry.Error) string {
	var record tls.RecordHeaderError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(e, &certificate):
		return "trust its certificate: --ca-file FILE"
	case errors.As(e, &record), strings.Contains(e.Error(), "HTTP response to HTTPS client"):
		return "it speaks HTTP without TLS; if that is meant: --plain-http " + e.Host
	}
	return fmt.Sprintf("check the network, HTTPS_PROXY, and whether %s is the right host", e.Host)
}

func ofContainerd(e *containerd.Error) (ui.Status, []string, bool) {
	switch e.Kind {
	case containerd.NoSpace:
		return ui.NoSpace, []string{"make room where containerd keeps its data: df /var/lib/containerd"}, true
	case containerd.Unreachable:
		return ui.Engine, []string{"start it (systemctl start containerd, or k3s), or point CONTAINERD_ADDRESS at its socket"}, true
	case containerd.Permission:
		return ui.Engine, []string{"run it with sudo"}, true
	}
	return ui.Engine, []string{"look into its log: journalctl -u containerd (or k3s)"}, true
}

func ofEngine(path string, e *docker.Error) (ui.Status, []string, bool) {
	isPodman := e.Engine() == "podman"
	switch e.Kind {
	case docker.NoSpace:
		return ui.NoSpace, []string{"make room where the engine keeps its data: " + e.Engine() + " system df"}, true
	case docker.Settings:
		return ui.Engine, []string{settingsHint}, true
	case docker.Unreachable:
		hints := []string{"start the engine (systemctl start docker), or point DOCKER_HOST at the one that is meant"}
		if isPodman {
			hints = []string{"let podman listen (systemctl start podman.socket, with --user for your own), or point CONTAINER_HOST at it"}
		}
		if path != "airgap unpack" {
			hints = append(hints, "or pack without an engine: docker://NAME takes an image from its registry")
		}
		return ui.Engine, hints, true
	case docker.Permission:
		if isPodman {
			return ui.Engine, []string{"run it with sudo, or use your own: CONTAINER_HOST=unix://$XDG_RUNTIME_DIR/podman/podman.sock"}, true
		}
		return ui.Engine, []string{"run it with sudo, or as a member of the group docker"}, true
	case docker.Mismatch:
		return ui.Engine, []string{
			"look at the engine's disk and log before trying again: journalctl -u " + e.Engine(),
			"if its disk has damaged what it has already: airgap unpack --reload removes these images and brings them again",
		}, true
	}
	return ui.Engine, []string{"look into the engine's log: journalctl -u " + e.Engine()}, true
}
