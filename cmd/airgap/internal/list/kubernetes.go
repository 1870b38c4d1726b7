package list

import (
	"fmt"
	"maps"
	"slices"
)

// containerLists are the members of a pod that hold containers.
var containerLists = []string{"initContainers", "containers", "ephemeralContainers"}

// walk takes the images of all pods of a document: of a manifest itself and of the
// templates in it, however deep, so that kinds that it has never heard of count too.
func (l *List) walk(node any) error {
	switch node := node.(type) {
	case []any:
		for _, child := range node {
			if err := l.walk(child); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, key := range containerLists {
			if err := l.containers(key, node[key]); err != nil {
				return err
			}
		}
		for _, volume := range asList(node["volumes"]) {
			l.imageVolume(volume)
		}
		for _, key := range slices.Sorted(maps.Keys(node)) {
			if err := l.walk(node[key]); err != nil {
				return err
			}
		}
	}
	return nil
}

// containers takes the image of each container.
func (l *List) containers(key string, list any) error {
	for i, c := range asList(list) {
		container, ok := c.(map[string]any)
		if !ok {
			continue // somebody else's idea of containers
		}
		switch name := container["image"].(type) {
		case nil:
		case string:
			l.add(name)
		default:
			return fmt.Errorf("%s[%d].image is not a text: %v", key, i, name)
		}
	}
	return nil
}

// imageVolume takes an image that is mounted as a volume.
func (l *List) imageVolume(volume any) {
	v, _ := volume.(map[string]any)
	img, _ := v["image"].(map[string]any)
	if name, ok := img["reference"].(string); ok {
		l.add(name)
	}
}

func asList(v any) []any {
	list, _ := v.([]any)
	return list
}
