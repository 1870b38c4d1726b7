package bundle

import (
	"fmt"

	"airgap/bundle/image"
)

// LostName is a name, familiar, or a part of one, that was asked for and that
// the bundle does not have.
type LostName struct {
	Name   string
	Reason string
}

// lost says what Root.Asked has that the image does not.
func lost(asked string) []LostName {
	if asked == "" {
		return nil
	}
	return []LostName{{image.Familiar(asked), "the engine does not keep this digest"}}
}

// settleNames refuses one name for two images. A tag that stands beside a
// digest says less than the digest: where others are asked for by that tag, it
// is theirs, or nobody's.
func (p *Plan) settleNames() error {
	holders := map[string]image.Digest{} // of tags; zero for nobody
	for _, g := range p.graphs {
		tagged, _, _, pinned := image.Pin(g.Root.Name)
		if pinned || tagged == "" {
			continue
		}
		if old, twice := holders[tagged]; twice && old != g.Root.Desc.Digest {
			return fmt.Errorf("image %q is asked for from two places that disagree: %s and %s", g.Root.Label(), old, g.Root.Desc.Digest)
		}
		holders[tagged] = g.Root.Desc.Digest
	}
	disputed := map[string]bool{}
	for _, g := range p.graphs {
		tagged, _, digest, pinned := image.Pin(g.Root.Name)
		if !pinned || tagged == "" {
			continue
		}
		if old, twice := holders[tagged]; !twice {
			holders[tagged], disputed[tagged] = digest, true
		} else if disputed[tagged] && old != digest {
			holders[tagged] = image.Digest{}
		}
	}
	for i, g := range p.graphs {
		tagged, pinned, digest, _ := image.Pin(g.Root.Name)
		if pinned == "" || tagged == "" || holders[tagged] == digest {
			continue
		}
		delete(p.taken, imageKey{g.Root.Name, digest})
		g.Root.Name, p.Images[i].Name = pinned, image.Familiar(pinned)
		p.taken[imageKey{pinned, digest}] = true
		p.Images[i].Lost = append(p.Images[i].Lost, LostName{image.Familiar(tagged), "other images are asked for by this tag too"})
	}
	return nil
}

// named gives each graph one of the names that its root stands for.
func named(graphs []*image.Graph) []*image.Graph {
	var list []*image.Graph
	for _, g := range graphs {
		names := image.Names(g.Root.Name)
		if len(names) < 2 {
			list = append(list, g)
			continue
		}
		for _, name := range names {
			one := *g
			one.Root.Name = name
			list = append(list, &one)
		}
	}
	return list
}
