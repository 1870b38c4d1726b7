// Package e2e proves airgap on real parts: the built command, real images, a
// real registry, a real sshd and real Docker engines.
//
// Everything is in the tests. They need Linux; what else they need they start
// themselves, on loopback and in a folder of their own: docker-registry, sshd,
// and a second, empty Docker engine that plays the isolated host. Only the
// images to pack are built in the machine's own engine, by
// testdata/e2e/make-images, and removed again. As root the tests run in a
// mount namespace of their own with a ~/.ssh of their own, so the OpenSSH
// client reads their configuration and never the developer's.
//
// Debian packages are downloaded for every run, unless AIRGAP_E2E_CACHE names a
// folder to keep them in.
//
// cosign and oras are those of the next Debian, which testdata/e2e/newer-engines has.
//
// A part that is missing skips its tests and says so. AIRGAP_REQUIRE, a list
// such as "docker,docker-registry,sshd,zstd,skopeo,podman,containerd,cosign", makes that a failure.
// AIRGAP_CORPUS, when set, says that the images postgres:15-alpine and
// my-app:v1 are in the machine's engine: they are carried too.
package e2e
