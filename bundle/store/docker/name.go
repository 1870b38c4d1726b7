package docker

import (
	"bytes"
	"context"

	"github.com/moby/moby/client"

	"airgap/bundle/image"
	"airgap/bundle/image/dockertar"
)

// holds says whether the engine can have a name. The classic store knows an
// image by a digest only where it has pulled it itself.
func (e *Engine) holds(name string) bool {
	return e.store != classic || !image.Pinned(name)
}

// name makes a name point to the image, which the engine has.
func (t *txn) name(ctx context.Context, name string) error {
	if image.Pinned(name) {
		return t.pin(ctx, name)
	}
	_, err := t.engine.client.ImageTag(ctx, client.ImageTagOptions{Source: t.state.ID.String(), Target: name})
	return err
}

// pin gives the image a name by digest, which engines take from an archive and
// from nowhere else: from one with its documents and no layer, for those are
// there.
func (t *txn) pin(ctx context.Context, name string) error {
	content := dockertar.Content{
		Dialect: dockertar.OCI, Graph: t.img.Graph, Manifest: t.manifest, Name: name, Omit: map[image.Digest]bool{},
	}
	for _, l := range t.manifest.Layers {
		content.Omit[l.Digest] = true
	}
	var documents bytes.Buffer
	if err := dockertar.Write(ctx, &documents, content, nil); err != nil {
		return err
	}
	answer, err := t.engine.client.ImageLoad(ctx, &documents)
	if err != nil {
		return err
	}
	defer answer.Close()
	return readAnswer(answer, &settled{total: 0, done: func(int64) {}, unpacking: func(string) {}})
}
