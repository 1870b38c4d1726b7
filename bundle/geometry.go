package bundle

// geometry is where everything is in the tar, and how the tar is cut into
// frames. Both follow from names and sizes alone, so writer and reader compute
// it by the same rule.
type geometry struct {
	entries []span  // content of each entry in the tar: the manifest, the signature if there is one, then Manifest.Entries
	size    int64   // of the whole tar
	frames  []int64 // where each frame's content starts in the tar; one more element holds size
}

// span is a stretch of bytes.
type span struct{ off, size int64 }

func (s span) end() int64 { return s.off + s.size }

// slot is one entry that geometry is computed for.
type slot struct {
	name string
	size int64
	own  bool // has frames that it shares with nothing, header and padding included
}

// slots lists the tar's entries. signature is -1 where there is none.
func slots(manifest, signature int64, entries []Entry) []slot {
	list := []slot{{manifestName, manifest, true}}
	if signature >= 0 {
		list = append(list, slot{signatureName, signature, true})
	}
	for _, e := range entries {
		list = append(list, slot{e.Name, e.Size, false})
	}
	return list
}

// newGeometry cuts as FORMAT.md says: the manifest and its signature have
// frames of their own; so has the content of a blob of MinOwnFrame bytes or
// more; what is between two of these shares frames.
func newGeometry(list []slot) geometry {
	var g geometry
	var cut int64 // everything before it is in frames
	flush := func(to int64) {
		for ; cut < to; cut = min(cut+MaxFrame, to) {
			g.frames = append(g.frames, cut)
		}
	}
	for _, s := range list {
		content := span{g.size + headerSize(s.size), s.size}
		g.entries = append(g.entries, content)
		g.size = content.end() + padding(s.size)
		switch {
		case s.own:
			flush(g.size)
		case s.size >= MinOwnFrame:
			flush(content.off)
			flush(content.end())
		}
	}
	g.size += tarEnd
	flush(g.size)
	g.frames = append(g.frames, g.size)
	return g
}
