package image

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// MaxDepth is how deep JSON documents may nest.
const MaxDepth = 32

// freeKeys are the members whose value is a map with keys of the image's own,
// where only exact repetition is ambiguous.
var freeKeys = map[string]bool{
	"annotations": true, "Labels": true, "ExposedPorts": true, "Volumes": true,
}

// CheckJSON refuses documents that two parsers could read differently: keys
// given twice (for the field's own keys also in other case), text after the
// value, invalid UTF-8, and nesting beyond MaxDepth.
func CheckJSON(raw []byte) error {
	if !utf8.Valid(raw) {
		return fmt.Errorf("not valid UTF-8")
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
			fold := key
			if !free {
				fold = strings.ToLower(key)
			}
			if seen[fold] {
				return fmt.Errorf("JSON key %q given twice", key)
			}
			seen[fold] = true
			childFree = freeKeys[key]
		}
		if err := checkValue(dec, depth+1, childFree); err != nil {
			return err
		}
	}
	_, err = dec.Token() // the closing delimiter
	return noEOF(err)
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
