package image_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"airgap/bundle/image"
	"airgap/internal/vectors"
)

func TestCheckJSON(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, good := range []string{
		`{}`, `[]`, `null`, `1e400`, ` {"a":1,"b":{"a":1}} `, `[{"a":1},{"a":1}]`,
		`{"annotations":{"a":"1","A":"2"}}`, `{"config":{"Labels":{"x":"","X":""}},"container_config":{"Labels":{}}}`,
		deep(image.MaxDepth),
	} {
		if err := image.CheckJSON([]byte(good)); err != nil {
			t.Errorf("%.60s: %v", good, err)
		}
	}
	for _, bad := range []string{
		``, ` `, `{`, `{"a"`, `{"a":`, `{"a":1`, `[1,`, `{"a":1}{`, `{} {}`, `{}x`, `{"a":1,}`,
		`{"a":1,"a":2}`, `{"config":1,"Config":2}`, `{"x":[{"layers":1,"LAYERS":2}]}`, `{"a":1,"\u0061":2}`,
		`{"layers":1,"layer\u017f":2}`, `{"layers":1,"layerſ":2}`, "{\"token\":1,\"to\u212aen\":2}",
		`{"annotations":{"a":"1","a":"2"}}`, `{"annotations":{},"Annotations":{}}`,
		"{\"a\":\"\xff\"}", deep(image.MaxDepth + 1), strings.Repeat(`{"a":`, image.MaxDepth+1) + "1" + strings.Repeat("}", image.MaxDepth+1),
	} {
		if err := image.CheckJSON([]byte(bad)); err == nil {
			t.Errorf("%.60s was accepted", bad)
		}
	}
}

// TestCheckJSONDeep is refused without recursion into its depth.
func TestCheckJSONDeep(t *testing.T) {
	if err := image.CheckJSON([]byte(strings.Repeat("[", 4<<20))); err == nil {
		t.Error("four million brackets were accepted")
	}
}

func FuzzCheckJSON(f *testing.F) {
	for _, seed := range []string{`{"a":[1,{"b":null}]}`, `{"a":1,"A":2}`, `[`, "\xff", `"x"`} {
		f.Add([]byte(seed))
	}
	addDocuments(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		_ = image.CheckJSON(raw) // must end, and not panic
	})
}

// addDocuments seeds a target with the documents of the vectors.
func addDocuments(f *testing.F) {
	f.Helper()
	seeds, err := vectors.Entries("{", "[")
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range seeds {
		f.Add(seed)
	}
}

// TestFoldsAsJSONDoes: what encoding/json takes for one field is one key.
func TestFoldsAsJSONDoes(t *testing.T) {
	for _, key := range []string{"Layers", "LAYERS", "layerſ", "ſchemaVersion", "\u212aey", "Key"} {
		var fields struct{ Layers, SchemaVersion, Key int }
		if err := json.Unmarshal([]byte(`{"`+key+`":1}`), &fields); err != nil || fields == (struct{ Layers, SchemaVersion, Key int }{}) {
			t.Fatalf("%q is no field to encoding/json: %v", key, err)
		}
		doc := `{"layers":0,"schemaVersion":0,"key":0,"` + key + `":1}`
		if err := image.CheckJSON([]byte(doc)); err == nil {
			t.Errorf("%s was accepted", doc)
		}
	}
}

// TestFoldsNothingElse: keys are the same by a rule that no table of Unicode
// changes, and that knows every character that is a letter of ASCII to any.
func TestFoldsNothingElse(t *testing.T) {
	for r := rune(0x80); r <= unicode.MaxRune; r++ {
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			err := image.CheckJSON([]byte(`{"` + string(r) + `":1,"` + string(next) + `":2}`))
			if ascii := next < 0x80 || r == 'ſ' || r == '\u212a'; (err != nil) != ascii {
				t.Errorf("%U and %U: %v", r, next, err)
			}
		}
	}
}

// counted is what a decoded value consists of.
func counted(v any, n *image.JSONCount) {
	n.Values++
	switch v := v.(type) {
	case []any:
		n.Elements += len(v)
		for _, e := range v {
			counted(e, n)
		}
	case map[string]any:
		for k, e := range v {
			n.Longest = max(n.Longest, len(k))
			counted(e, n)
		}
	case string:
		n.Longest = max(n.Longest, len(v))
	}
}

// FuzzCountJSON: no JSON has more in it than was counted.
func FuzzCountJSON(f *testing.F) {
	for _, seed := range []string{
		`{}`, `[]`, `[[]]`, `[1,2,[3,4],{"a":[5,6],"b":7}]`, `{"a":{"b":[{},{}]},"c":"],["}`, `["\"",",","[\\"]`, `"x"`, ` [ 1 , "\u00e4" ] `,
		strings.Repeat("[", 40) + `1,2` + strings.Repeat("]", 40),
	} {
		f.Add([]byte(seed))
	}
	addDocuments(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		got := image.CountJSON(raw) // must end, and not panic
		var v any
		if json.Unmarshal(raw, &v) != nil || bytes.Contains(raw, []byte(`\u`)) || !utf8.Valid(raw) {
			return // escapes may stand for fewer bytes, and invalid UTF-8 for more
		}
		var want image.JSONCount
		counted(v, &want)
		if got.Values < want.Values || got.Elements < want.Elements || got.Longest < want.Longest {
			t.Errorf("counted %+v in %q, which holds %+v", got, raw, want)
		}
	})
}

// TestTooManyValues are refused before they are decoded.
func TestTooManyValues(t *testing.T) {
	few, many := strings.Repeat("0,", image.MaxValues-10), strings.Repeat("0,", image.MaxValues+10)
	if err := image.CheckJSON([]byte("[" + few + "0]")); err != nil {
		t.Error(err)
	}
	if err := image.CheckJSON([]byte("[" + many + "0]")); err == nil {
		t.Error("more than that many values pass")
	}
}
