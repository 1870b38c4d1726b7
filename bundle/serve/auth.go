package serve

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"golang.org/x/crypto/bcrypt"
)

// Users are those who may read a registry.
type Users struct {
	hashes map[string][]byte
	nobody []byte                            // a hash for all others, who shall not learn from a faster answer that they are not listed
	same   func(hash, password []byte) error // bcrypt's, which is slow by design

	mu     sync.Mutex
	passed map[[sha256.Size]byte]bool // a client sends its password with every request
}

// ReadUsers reads an htpasswd file, as `htpasswd -B` makes it. Other hashes than
// bcrypt are refused: they are none.
func ReadUsers(htpasswd io.Reader) (*Users, error) {
	u := &Users{hashes: map[string][]byte{}, same: bcrypt.CompareHashAndPassword, passed: map[[sha256.Size]byte]bool{}}
	lines, dearest := bufio.NewScanner(htpasswd), 0
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		user, hash, _ := strings.Cut(line, ":")
		cost, err := bcrypt.Cost([]byte(hash))
		if user == "" || err != nil {
			return nil, fmt.Errorf("line %d is not USER:HASH with a bcrypt hash (htpasswd -B)", n)
		}
		u.hashes[user] = []byte(hash)
		if cost > dearest {
			dearest, u.nobody = cost, []byte(hash)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(u.hashes) == 0 {
		return nil, errors.New("it lists nobody")
	}
	return u, nil
}

// Protect lets nobody else in.
func (u *Users) Protect(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		user, password, ok := req.BasicAuth()
		if !ok || !u.knows(user, password) {
			w.Header().Set("WWW-Authenticate", `Basic realm="airgap"`)
			refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "a name and a password are needed")
			return
		}
		next.ServeHTTP(w, req)
	})
}

func (u *Users) knows(user, password string) bool {
	key := sha256.Sum256([]byte(user + "\x00" + password))
	u.mu.Lock()
	passed := u.passed[key]
	u.mu.Unlock()
	if passed {
		return true
	}
	hash, listed := u.hashes[user]
	if !listed {
		hash = u.nobody
	}
	if u.same(hash, []byte(password)) != nil || !listed {
		return false
	}
	u.mu.Lock()
	u.passed[key] = true
	u.mu.Unlock()
	return true
}
