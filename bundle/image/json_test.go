package image_test

import (
	"strings"
	"testing"

	"airgap/bundle/image"
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
	f.Fuzz(func(t *testing.T, raw []byte) {
		_ = image.CheckJSON(raw) // must end, and not panic
	})
}
