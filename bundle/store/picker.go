package store

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"airgap/bundle/image"
)

// picker finds out where each spec is, and opens what is wanted place by place.
type picker struct {
	Options
	openers openers

	wanted []*wanted
	places map[place]*wanted // those of wanted
	at     map[place]image.Source
	opened Opened

	engineErr error // why the engine could not be asked
}

func (p *picker) pickAll(ctx context.Context, specs []string) error {
	for _, spec := range specs {
		at, name, err := parse(spec)
		if err != nil {
			return err
		}
		if at.transport == transportNone {
			if at.transport, err = p.find(ctx, name); err != nil {
				return err
			}
		}
		p.want(at, name)
	}
	return nil
}

// want notes a name once.
func (p *picker) want(at place, name string) {
	if p.places == nil {
		p.places = map[place]*wanted{}
	}
	w := p.places[at]
	if w == nil {
		w = &wanted{place: at, has: map[string]bool{}}
		p.places[at], p.wanted = w, append(p.wanted, w)
	}
	if !w.has[name] {
		w.has[name], w.names = true, append(w.names, name)
	}
}

// find decides where a name without a prefix is taken from.
func (p *picker) find(ctx context.Context, name string) (transport, error) {
	switch p.From {
	case "engine":
		return transportEngine, nil
	case "registry":
		return transportRegistry, nil
	}
	why, err := p.inEngine(ctx, name)
	if err != nil {
		return "", err
	}
	if why == nil {
		p.Note("%s: from the Docker engine", name)
		return transportEngine, nil
	}
	if isID(name) {
		return "", why
	}
	if errors.Is(why, errDigestLost) {
		p.Note("%s: from its registry, for the Docker engine does not keep its digest", name)
	} else if errors.Is(why, image.ErrNotFound) {
		p.Note("%s: from its registry, for the Docker engine does not have it", name)
	} else {
		p.Note("%s: from its registry: %v", name, why)
	}
	return transportRegistry, nil
}

// errDigestLost says that an engine has an image, but not under the digest that
// names it.
var errDigestLost = errors.New("the engine does not keep this digest")

// keepsName says whether images of an engine have the names that were asked for.
func keepsName(set image.Set) error {
	if s, ok := set.(image.Streamer); ok && slices.ContainsFunc(s.Estimate(), func(e image.Estimate) bool { return e.Asked != "" }) {
		return errDigestLost
	}
	return nil
}

// inEngine asks the engine for a name. It answers why not, where the registry
// may know better, and fails only when nobody should be asked any more.
func (p *picker) inEngine(ctx context.Context, name string) (why, err error) {
	if p.engineErr != nil {
		return p.engineErr, nil
	}
	source, err := p.source(ctx, place{transport: transportEngine})
	if err == nil {
		var set image.Set
		if set, err = source.Open(ctx, []string{name}, p.Want); err == nil {
			return keepsName(set), set.Close()
		}
	}
	if cause := context.Cause(ctx); cause != nil {
		return nil, cause
	}
	var platform *image.PlatformError
	var hollow *image.HollowError
	if !errors.Is(err, image.ErrNotFound) && !errors.As(err, &platform) && !errors.As(err, &hollow) {
		p.engineErr = fmt.Errorf("the Docker engine could not be asked: %w", err)
		return p.engineErr, nil
	}
	return err, nil
}

// isID says whether a name can only be the ID of an image in an engine.
func isID(name string) bool { return wholeID.MatchString(name) }

var wholeID = regexp.MustCompile(`^(sha256:[0-9a-f]+|[0-9a-f]{64})$`)

// source opens a place once.
func (p *picker) source(ctx context.Context, at place) (image.Source, error) {
	if s := p.at[at]; s != nil {
		return s, nil
	}
	s, err := p.openers.source(ctx, at, p.Options)
	if err != nil {
		return nil, err
	}
	p.at[at] = s
	p.opened.sources = append(p.opened.sources, s)
	return s, nil
}

func (p *picker) openSets(ctx context.Context) error {
	for _, w := range p.wanted {
		s, err := p.source(ctx, w.place)
		if err != nil {
			return err
		}
		set, err := s.Open(ctx, w.names, p.Want)
		if err != nil && w.transport == transportRegistry && p.engineErr != nil {
			// Perhaps it is not the registry that is to blame.
			err = fmt.Errorf("%w; and %w", err, p.engineErr)
		}
		if err != nil {
			return err
		}
		if _, ok := set.(image.Referring); ok && p.NoReferrers {
			set = withoutReferrers{set}
		}
		p.opened.Sets = append(p.opened.Sets, set)
	}
	return nil
}
