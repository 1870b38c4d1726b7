// Index joins images of a plain-HTTP registry to a multi-platform one.
//
//	go run ./testdata/e2e/index HOST:PORT REPOSITORY TAG CHILD-TAG…
//
// It asks the registry for each child's manifest and config, and puts an OCI
// index of them, each with the platform that its config names, under TAG.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
)

const (
	typeOCIIndex       = "application/vnd.oci.image.index.v1+json"
	typeOCIManifest    = "application/vnd.oci.image.manifest.v1+json"
	typeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
)

type descriptor struct {
	MediaType string          `json:"mediaType"`
	Digest    string          `json:"digest"`
	Size      int             `json:"size"`
	Platform  json.RawMessage `json:"platform,omitempty"`
}

func main() {
	if len(os.Args) < 5 {
		fmt.Fprintln(os.Stderr, "usage: index HOST:PORT REPOSITORY TAG CHILD-TAG…")
		os.Exit(2)
	}
	repository := "http://" + os.Args[1] + "/v2/" + os.Args[2]
	if err := run(repository, os.Args[3], os.Args[4:]); err != nil {
		fmt.Fprintln(os.Stderr, "index:", err)
		os.Exit(1)
	}
}

func run(repository, tag string, children []string) error {
	var list []descriptor
	for _, child := range children {
		d, err := describe(repository, child)
		if err != nil {
			return fmt.Errorf("describing %q: %w", child, err)
		}
		list = append(list, d)
	}
	body, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": typeOCIIndex, "manifests": list})
	if err != nil {
		return err
	}
	req, err := http.NewRequest(http.MethodPut, repository+"/manifests/"+tag, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", typeOCIIndex)
	_, _, err = do(req, http.StatusCreated)
	return err
}

// describe makes the descriptor of a child.
func describe(repository, tag string) (descriptor, error) {
	raw, mediaType, err := get(repository + "/manifests/" + tag)
	if err != nil {
		return descriptor{}, err
	}
	var manifest struct{ Config descriptor }
	if err := json.Unmarshal(raw, &manifest); err != nil {
		return descriptor{}, err
	}
	rawConfig, _, err := get(repository + "/blobs/" + manifest.Config.Digest)
	if err != nil {
		return descriptor{}, err
	}
	var platform struct {
		Architecture string `json:"architecture"`
		OS           string `json:"os"`
		Variant      string `json:"variant,omitempty"`
	}
	if err := json.Unmarshal(rawConfig, &platform); err != nil {
		return descriptor{}, err
	}
	d := descriptor{MediaType: mediaType, Digest: fmt.Sprintf("sha256:%x", sha256.Sum256(raw)), Size: len(raw)}
	d.Platform, err = json.Marshal(platform)
	return d, err
}

func get(url string) (body []byte, mediaType string, err error) {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return nil, "", err
	}
	req.Header.Set("Accept", typeOCIManifest+", "+typeDockerManifest)
	return do(req, http.StatusOK)
}

func do(req *http.Request, want int) (body []byte, mediaType string, err error) {
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != want {
		err = fmt.Errorf("%s %s: %s: %s", req.Method, req.URL, resp.Status, body)
	}
	return body, resp.Header.Get("Content-Type"), err
}
