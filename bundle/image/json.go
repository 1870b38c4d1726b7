package image

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Limits of JSON documents.
const (
	// MaxDepth is how deep they may nest.
	MaxDepth = 32
	// MaxValues is how many values a document of an image may hold: {} takes two
	// bytes there and, as a descriptor, more than a hundred in memory.
	MaxValues = 1 << 18
)

// freeKeys are the members whose value is a map with keys of the image's own,
// where only exact repetition is ambiguous.
var freeKeys = map[string]bool{
	"annotations": true, "Labels": true, "ExposedPorts": true, "Volumes": true,
}

// CheckJSON refuses documents that two parsers could read differently: keys
// given twice (for the field's own keys also in other case), text after the
// value, invalid UTF-8, and nesting beyond MaxDepth. More than MaxValues are
// refused too, before anything is decoded.
func CheckJSON(raw []byte) error {
	if !utf8.Valid(raw) {
		return fmt.Errorf("not valid UTF-8")
	}
	if n := CountJSON(raw); n.Values > MaxValues {
		return fmt.Errorf("JSON of %d values, at most %d are allowed", n.Values, MaxValues)
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := checkValue(dec, 0, false); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("text after the JSON value")
	}
	return nil
}

func checkValue(dec *json.Decoder, depth int, free bool) error {
	token, err := dec.Token()
	if err != nil {
		return noEOF(err)
	}
	delim, ok := token.(json.Delim)
	if !ok {
		return nil
	}
	if depth == MaxDepth {
		return fmt.Errorf("JSON nested deeper than %d", MaxDepth)
	}
	seen := map[string]bool{}
	for dec.More() {
		childFree := false
		if delim == '{' {
			token, err := dec.Token()
			if err != nil {
				return noEOF(err)
			}
			key := token.(string)
			same := key
			if !free {
				same = fold(key)
			}
			if seen[same] {
				return fmt.Errorf("JSON key %q given twice", key)
			}
			seen[same] = true
			childFree = freeKeys[key]
		}
		if err := checkValue(dec, depth+1, childFree); err != nil {
			return err
		}
	}
	_, err = dec.Token() // the closing delimiter
	return noEOF(err)
}

// fold gives keys that a decoder may take for the same field the same form. To
// encoding/json "layerſ" is "layers", which lower case does not tell. Fields have
// names in ASCII: what else Unicode folds, and will fold one day, is no field's.
func fold(key string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'A' <= r && r <= 'Z':
			return r - 'A' + 'a'
		case r == 'ſ': // U+017F
			return 's'
		case r == '\u212a': // the sign of Kelvin
			return 'k'
		}
		return r
	}, key)
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// JSONCount bounds what JSON text is decoded to.
type JSONCount struct {
	Values   int // objects, arrays, strings, numbers: no more than so many
	Elements int // those of them that are in arrays: no more than so many
	Longest  int // bytes of the longest string, with its escapes
}

// CountJSON counts in one pass and without memory of its own. Whether the text
// is JSON at all it does not ask: a decoder stops where it is not.
func CountJSON(raw []byte) JSONCount {
	n := JSONCount{Values: 1}
	var arrays [MaxDepth + 1]bool // which of the values that are open are arrays
	for i, depth := 0, 0; i < len(raw); i++ {
		// Beyond MaxDepth, which is refused in its turn, all counts as elements.
		inArray := depth > MaxDepth || arrays[depth]
		switch c := raw[i]; c {
		case '"':
			start := i + 1
			i = endOfString(raw, start)
			n.Longest = max(n.Longest, i-start)
		case '{', '[':
			n.Values++
			if c == '[' {
				n.Elements++
			}
			if depth++; depth <= MaxDepth {
				arrays[depth] = c == '['
			}
		case '}', ']':
			depth = max(0, depth-1)
		case ',':
			n.Values++
			if inArray {
				n.Elements++
			}
		}
	}
	return n
}

// endOfString is where the string ends whose content starts at i.
func endOfString(raw []byte, i int) int {
	for ; i < len(raw) && raw[i] != '"'; i++ {
		if raw[i] == '\\' {
			i++
		}
	}
	return i
}
