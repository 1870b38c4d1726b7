package serve

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// TestUnknownUsers: who is not listed costs as much as who is, so that nobody
// learns from the time who that is.
func TestUnknownUsers(t *testing.T) {
	lines := ""
	for user, cost := range map[string]int{"a": bcrypt.MinCost, "b": bcrypt.MinCost + 1} {
		hash, err := bcrypt.GenerateFromPassword([]byte("open"), cost)
		if err != nil {
			t.Fatal(err)
		}
		lines += user + ":" + string(hash) + "\n"
	}
	users, err := ReadUsers(strings.NewReader(lines))
	if err != nil {
		t.Fatal(err)
	}
	var compared []int
	users.same = func(hash, _ []byte) error {
		cost, err := bcrypt.Cost(hash)
		compared = append(compared, cost)
		return errors.Join(err, bcrypt.ErrMismatchedHashAndPassword)
	}
	for i, user := range []string{"b", "nobody", ""} {
		if users.knows(user, "open") || len(compared) != i+1 || compared[i] != bcrypt.MinCost+1 {
			t.Errorf("%q: compared with hashes of costs %v", user, compared)
		}
	}
	users.same = func([]byte, []byte) error { return nil }
	if users.knows("nobody", "open") {
		t.Error("somebody who is not listed knows the password of another")
	}
}
