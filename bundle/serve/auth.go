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

// Protect lets in only who gives a name and password of an htpasswd file, as
// `htpasswd -B` makes it. Other hashes than bcrypt are refused: they are none.
func Protect(next http.Handler, htpasswd io.Reader) (http.Handler, error) {
	p := &protected{next: next, users: map[string][]byte{}, passed: map[[sha256.Size]byte]bool{}}
	lines := bufio.NewScanner(htpasswd)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		user, hash, _ := strings.Cut(line, ":")
		if _, err := bcrypt.Cost([]byte(hash)); user == "" || err != nil {
			return nil, fmt.Errorf("line %d is not USER:HASH with a bcrypt hash (htpasswd -B)", n)
		}
		p.users[user] = []byte(hash)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(p.users) == 0 {
		return nil, errors.New("it lists nobody")
	}
	return p, nil
}

type protected struct {
	next  http.Handler
	users map[string][]byte

	mu     sync.Mutex
	passed map[[sha256.Size]byte]bool // a client sends its password with every request, and bcrypt is slow
}

func (p *protected) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	user, password, ok := req.BasicAuth()
	if !ok || !p.knows(user, password) {
		w.Header().Set("WWW-Authenticate", `Basic realm="airgap"`)
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "a name and a password are needed")
		return
	}
	p.next.ServeHTTP(w, req)
}

func (p *protected) knows(user, password string) bool {
	hash, ok := p.users[user]
	if !ok {
		return false
	}
	key := sha256.Sum256([]byte(user + "\x00" + password))
	p.mu.Lock()
	passed := p.passed[key]
	p.mu.Unlock()
	if passed || bcrypt.CompareHashAndPassword(hash, []byte(password)) != nil {
		return passed
	}
	p.mu.Lock()
	p.passed[key] = true
	p.mu.Unlock()
	return true
}
