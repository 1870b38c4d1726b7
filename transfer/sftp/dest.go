// Package sftp is a folder on another host as a place, over SSH. It is the only
// door to x/crypto/ssh and to pkg/sftp.
//
// It behaves as the user's own ssh does: settings come from `ssh -G` where
// OpenSSH is installed, keys from the agent and from files, host keys from
// known_hosts, hop by hop through ProxyJump. What it cannot do as ssh does it
// leaves to the ssh command, and says so; Options.SSH does that always. A host
// that is not known is asked about or refused, and just accepted only where
// ssh's configuration says so; one whose key has changed or is revoked never.
// An agent is never forwarded.
//
// Of itself it only runs commands there to make sums; where there is no shell,
// the bytes are read back instead. [Place.Run] runs what its caller wants, with
// arguments that no shell there can take for anything else.
package sftp

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"
)

// Dest is a destination on another host.
type Dest struct {
	User string // empty: as ssh decides
	Host string // a name, an address, or an alias of ~/.ssh/config
	Port string // empty: as ssh decides
	Dir  string // empty: the login folder
}

func (d Dest) String() string {
	host := d.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if d.User != "" {
		host = d.User + "@" + host
	}
	return host + ":" + d.Dir
}

// Canonical is the destination in the spelling that others of the same folder
// have, as far as that shows without asking the host.
func (d Dest) Canonical() Dest {
	if d.Dir == "~" || strings.HasPrefix(d.Dir, "~/") {
		d.Dir = strings.TrimLeft(d.Dir[1:], "/")
	}
	if !strings.Contains(d.Dir, "..") { // which leads elsewhere behind a link
		d.Dir = path.Clean(d.Dir)
	}
	if d.Dir == "." {
		d.Dir = ""
	}
	return d
}

// ParseDest reads user@host, user@host:dir, host:dir with a host of two letters
// or more, and sftp://user@host:port/dir. remote is false for anything else,
// which is a local path.
func ParseDest(s string) (d Dest, remote bool, err error) {
	if rest, ok := strings.CutPrefix(s, "sftp://"); ok {
		d, err = parseURL(rest, s)
		return d, true, err
	}
	head, dir, colon := cutHost(s)
	user, host, at := cutUser(head)
	if strings.ContainsAny(head, `/\`) || !at && (!colon || len(host) < 2) {
		return Dest{}, false, nil
	}
	d = Dest{User: user, Host: strings.Trim(host, "[]"), Dir: dir}
	return d, true, d.check(at)
}

// cutUser splits before the host, at the last @ as ssh does: users of some
// domains have one in their names.
func cutUser(head string) (user, host string, at bool) {
	i := strings.LastIndexByte(head, '@')
	if i < 0 {
		return "", head, false
	}
	return head[:i], head[i+1:], true
}

// cutHost splits at the colon behind the host, which may be [an:address].
func cutHost(s string) (head, dir string, colon bool) {
	from := 0
	if end := strings.Index(s, "]:"); end >= 0 && strings.Contains(s[:end], "[") && !strings.Contains(s[:end], "/") {
		from = end
	}
	i := strings.IndexByte(s[from:], ':')
	if i < 0 {
		return s, "", false
	}
	return s[:from+i], s[from+i+1:], true
}

func parseURL(rest, whole string) (Dest, error) {
	u, err := url.Parse("sftp://" + rest)
	if err != nil {
		return Dest{}, fmt.Errorf("destination %q: %w", whole, err)
	}
	d := Dest{Host: u.Hostname(), Port: u.Port(), Dir: u.Path}
	at := u.User != nil
	if at {
		d.User = u.User.Username()
		if _, has := u.User.Password(); has {
			return Dest{}, fmt.Errorf("destination %q holds a password, which others could see: use --password-file", redacted(u))
		}
	}
	return d, d.check(at)
}

func redacted(u *url.URL) string { return u.Redacted() }

var (
	hostForm = regexp.MustCompile(`^[A-Za-z0-9_.:%][A-Za-z0-9_.:%-]*$`)
	userForm = regexp.MustCompile(`^[A-Za-z0-9_.+\\][A-Za-z0-9_.+@\\-]*\$?$`)
)

// check refuses names that could be taken for options or for a shell's syntax.
func (d Dest) check(withUser bool) error {
	switch {
	case !hostForm.MatchString(d.Host):
		return fmt.Errorf("%q is not a host name", d.Host)
	case withUser && !userForm.MatchString(d.User):
		return fmt.Errorf("%q is not a user name", d.User)
	case strings.ContainsAny(d.Dir, "\x00\n\r"):
		return fmt.Errorf("folder %q holds control characters", d.Dir)
	}
	return nil
}
