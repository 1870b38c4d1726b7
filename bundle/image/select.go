package image

// Annotations by which BuildKit ties an attestation to its image.
const (
	annotationReferenceType   = "vnd.docker.reference.type"
	annotationReferenceDigest = "vnd.docker.reference.digest"
	attestationManifest       = "attestation-manifest"
)

// Select keeps the children for the wanted platforms and the attestations of
// those that it keeps.
func (p Platforms) Select(children []Descriptor) (keep []Descriptor, left []Left) {
	wanted := func(d Descriptor) bool {
		return d.MediaType.IsIndex() || d.Platform == nil || p.Match(*d.Platform)
	}
	for _, d := range children {
		switch subject, isAttestation := attested(d, children); {
		case !isAttestation && wanted(d), subject != nil && wanted(*subject):
			keep = append(keep, d)
		case isAttestation:
			left = append(left, Left{d, "attestation of a platform that is left out"})
		default:
			left = append(left, Left{d, "platform not asked for"})
		}
	}
	return keep, left
}

// NotWhole is why a child is left out of which content is missing.
const NotWhole = "not all of it is there"

// Whole keeps, of what is chosen, the children that has says are there whole, and
// the attestations of those.
func (choose Select) Whole(has func(Descriptor) bool) Select {
	return func(children []Descriptor) (keep []Descriptor, left []Left) {
		chosen, left := choose(children)
		there := map[Digest]bool{}
		for _, d := range chosen {
			there[d.Digest] = has(d)
		}
		for _, d := range chosen {
			switch subject, isAttestation := attested(d, children); {
			case subject != nil && !there[subject.Digest]:
				left = append(left, Left{d, "attestation of a platform that is left out"})
			case isAttestation || there[d.Digest]: // attestations are looked at by who reads them
				keep = append(keep, d)
			default:
				left = append(left, Left{d, NotWhole})
			}
		}
		return keep, left
	}
}

// SelectPresent keeps the children whose manifests has says are there.
func SelectPresent(has func(Digest) bool) Select {
	return func(children []Descriptor) (keep []Descriptor, left []Left) {
		for _, d := range children {
			if has(d.Digest) {
				keep = append(keep, d)
			} else {
				left = append(left, Left{d, "not there"})
			}
		}
		return keep, left
	}
}

// attested says whether d is an attestation and, where it is there, of what.
func attested(d Descriptor, children []Descriptor) (subject *Descriptor, isAttestation bool) {
	if d.Annotations[annotationReferenceType] != attestationManifest {
		return nil, false
	}
	for i, c := range children {
		if c.Digest.String() == d.Annotations[annotationReferenceDigest] {
			return &children[i], true
		}
	}
	return nil, true
}
