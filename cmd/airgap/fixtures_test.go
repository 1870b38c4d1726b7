package main

import (
	"archive/tar"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"
	"github.com/rogpeppe/go-internal/testscript"

	"airgap/bundle/image"
	"airgap/internal/forge"
)

// refName is the annotation by which a layout names its images.
const refName = "org.opencontainers.image.ref.name"

// scriptLayout makes an OCI layout. A name may be followed by its platforms;
// with more than one it is an index.
func scriptLayout(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: layout DIR NAME[@PLATFORM,…]…")
	}
	path, err := layout.Write(ts.MkAbs(args[0]), empty.Index)
	ts.Check(err)
	for _, arg := range args[1:] {
		ref, platforms, _ := strings.Cut(arg, "@")
		addToLayout(ts, path, ref, strings.Split(platforms, ","))
	}
}

// scriptWrong makes an OCI layout of an image whose layers have their digests,
// and not the content that its config names.
func scriptWrong(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: wrong DIR NAME")
	}
	img := smallImage(ts, args[1], hostPlatform)
	config, err := img.ConfigFile()
	ts.Check(err)
	config = config.DeepCopy()
	slices.Reverse(config.RootFS.DiffIDs)
	img, err = mutate.ConfigFile(img, config)
	ts.Check(err)
	path, err := layout.Write(ts.MkAbs(args[0]), empty.Index)
	ts.Check(err)
	ts.Check(path.AppendImage(img, layout.WithAnnotations(map[string]string{refName: args[1]})))
}

func addToLayout(ts *testscript.TestScript, path layout.Path, ref string, platforms []string) {
	annotation := layout.WithAnnotations(map[string]string{refName: ref})
	if platforms[0] == "" {
		ts.Check(path.AppendImage(smallImage(ts, ref, hostPlatform), annotation))
		return
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, platform := range platforms {
		p, err := v1.ParsePlatform(platform)
		ts.Check(err)
		img := smallImage(ts, ref, platform)
		if len(platforms) == 1 {
			ts.Check(path.AppendImage(img, annotation, layout.WithPlatform(*p)))
			return
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: p}})
	}
	ts.Check(path.AppendIndex(index, annotation))
}

// hostPlatform is what a bundle is for unless told otherwise.
var hostPlatform = image.HostPlatform().String()

// smallImage is two layers, the lower of which all images have.
func smallImage(ts *testscript.TestScript, ref, platform string) v1.Image {
	p, err := v1.ParsePlatform(platform)
	ts.Check(err)
	img, err := mutate.ConfigFile(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), &v1.ConfigFile{
		OS: p.OS, Architecture: p.Architecture, Variant: p.Variant, RootFS: v1.RootFS{Type: "layers"},
	})
	ts.Check(err)
	img, err = mutate.Append(img,
		addendum(ts, "etc/base", baseText(), "/bin/sh -c #(nop) COPY base /etc/base"),
		addendum(ts, "etc/image", ref+" for "+platform, "/bin/sh -c echo "+ref+" > /etc/image"),
		mutate.Addendum{History: v1.History{CreatedBy: "CMD [\"cat\"]", EmptyLayer: true}},
	)
	ts.Check(err)
	return img
}

// baseText does not compress, so that a bundle of it has a frame of its own.
func baseText() string {
	b := make([]byte, 100_000)
	rand.NewChaCha8([32]byte{}).Read(b)
	return string(b)
}

func addendum(ts *testscript.TestScript, file, text, createdBy string) mutate.Addendum {
	var raw bytes.Buffer
	w := tar.NewWriter(&raw)
	ts.Check(w.WriteHeader(&tar.Header{Name: file, Mode: 0o644, Size: int64(len(text))}))
	_, err := io.WriteString(w, text)
	ts.Check(err)
	ts.Check(w.Close())
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(raw.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer))
	ts.Check(err)
	return mutate.Addendum{Layer: l, MediaType: types.OCILayer, History: v1.History{CreatedBy: createdBy}}
}

// scriptDockerSave writes the first image of a layout as docker save does.
func scriptDockerSave(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: dockersave LAYOUT FILE")
	}
	ref, add := firstImage(ts, args[0])
	img, ok := add.(v1.Image)
	if !ok {
		ts.Fatalf("the first of %s is not a single image", args[0])
	}
	tag, err := name.NewTag(ref)
	ts.Check(err)
	ts.Check(tarball.WriteToFile(ts.MkAbs(args[1]), tag, img))
}

// firstImage is the first image or index of a layout, with its name.
func firstImage(ts *testscript.TestScript, dir string) (string, mutate.Appendable) {
	index, err := layout.ImageIndexFromPath(ts.MkAbs(dir))
	ts.Check(err)
	manifest, err := index.IndexManifest()
	ts.Check(err)
	if len(manifest.Manifests) == 0 {
		ts.Fatalf("%s holds no image", dir)
	}
	first := manifest.Manifests[0]
	var add mutate.Appendable
	if first.MediaType.IsIndex() {
		add, err = index.ImageIndex(first.Digest)
	} else {
		add, err = index.Image(first.Digest)
	}
	ts.Check(err)
	return first.Annotations[refName], add
}

// scriptRegistry serves a registry on loopback until the script ends.
func scriptRegistry(ts *testscript.TestScript, _ bool, args []string) {
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	how := strings.Join(args, " ")
	if how == "-login" {
		handler = needLogin(handler)
	}
	start := httptest.NewServer
	if how == "-tls" {
		start = httptest.NewTLSServer
	}
	server := start(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	ts.Defer(server.Close)
	_, host, _ := strings.Cut(server.URL, "://")
	ts.Setenv("REGISTRY", host)
	if how == "-tls" {
		cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
		ts.Check(os.WriteFile(ts.MkAbs("ca.pem"), cert, 0o644))
	}
}

// needLogin lets in only who knows the password.
func needLogin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "somebody" || password != "open" {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// scriptPush pushes the first image of a layout, and sets DIGEST to its digest.
func scriptPush(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: push NAME LAYOUT")
	}
	ref, err := name.ParseReference(args[0])
	ts.Check(err)
	_, add := firstImage(ts, args[1])
	digest, err := add.Digest()
	ts.Check(err)
	ts.Setenv("DIGEST", digest.String())
	insecure := remote.WithTransport(trusting())
	if index, ok := add.(v1.ImageIndex); ok {
		ts.Check(remote.WriteIndex(ref, index, insecure))
		return
	}
	ts.Check(remote.Write(ref, add.(v1.Image), insecure))
}

// scriptAttach puts two artifacts beside an image in a registry: one with the
// image as its subject, and one under the tag of a cosign signature.
func scriptAttach(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: attach NAME")
	}
	ref, err := name.ParseReference(args[0])
	ts.Check(err)
	subject, err := remote.Head(ref)
	ts.Check(err)
	artifact := func(mediaType types.MediaType) v1.Image {
		img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), "application/vnd.oci.empty.v1+json")
		img, err := mutate.AppendLayers(img, static.NewLayer([]byte(mediaType), mediaType))
		ts.Check(err)
		return img
	}
	sbom := mutate.Subject(artifact("application/spdx+json"), *subject).(v1.Image)
	digest, err := sbom.Digest()
	ts.Check(err)
	ts.Check(remote.Write(ref.Context().Digest(digest.String()), sbom))
	signature := ref.Context().Tag("sha256-" + subject.Digest.Hex + ".sig")
	ts.Check(remote.Write(signature, artifact("application/vnd.dev.cosign.simplesigning.v1+json")))
}

// trusting takes every certificate, that of scriptRegistry too.
func trusting() http.RoundTripper {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	return t
}

// scriptJSONLines demands that every line of standard output is an object with
// a type, and that there are so many.
func scriptJSONLines(ts *testscript.TestScript, _ bool, args []string) {
	lines := strings.Split(strings.TrimSuffix(ts.ReadFile("stdout"), "\n"), "\n")
	for _, line := range lines {
		var object struct{ Type string }
		if err := json.Unmarshal([]byte(line), &object); err != nil || object.Type == "" {
			ts.Fatalf("not an object with a type: %q: %v", line, err)
		}
	}
	if len(args) != 1 || len(lines) != atoi(ts, args[0]) {
		ts.Fatalf("%d lines", len(lines))
	}
}

// scriptPlainTar decompresses a bundle.
func scriptPlainTar(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: plaintar BUNDLE TAR")
	}
	in, err := os.Open(ts.MkAbs(args[0]))
	ts.Check(err)
	defer in.Close()
	dec, err := zstd.NewReader(in)
	ts.Check(err)
	defer dec.Close()
	out, err := os.Create(filepath.Clean(ts.MkAbs(args[1])))
	ts.Check(err)
	_, err = io.Copy(out, dec)
	ts.Check(err)
	ts.Check(out.Close())
}

// scriptSign puts a signature behind the manifest of a decompressed bundle.
func scriptSign(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: sign TAR SIGNED FILE")
	}
	content, signature := ts.ReadFile(args[0]), ts.ReadFile(args[2])
	first, err := tar.NewReader(strings.NewReader(content)).Next()
	ts.Check(err)
	at := 512 + (first.Size+511)&^511
	signed := content[:at] + string(forge.Header("airgap.json.sig", int64(len(signature)))) + signature + strings.Repeat("\x00", -len(signature)&511) + content[at:]
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(signed), 0o644))
}
