package sftp

import (
	"os"
	"os/user"
	"path/filepath"
	"strings"
)

// What `ssh -G` prints of files is not always what ssh opens: names of keys
// are printed as they are written, and lists without their quotes.

func (s *settings) setKnownHosts(value string) (err error) {
	s.KnownHosts, err = s.files("userknownhostsfile", value)
	return err
}

func (s *settings) setGlobalKnownHosts(value string) (err error) {
	// The name that ssh for Windows prints for the folder of all users.
	value = strings.ReplaceAll(value, "__PROGRAMDATA__", os.Getenv("ProgramData"))
	s.GlobalOnly, err = s.files("globalknownhostsfile", value)
	return err
}

// files splits a list of names at its blanks. Where a blank may as well be in a
// name, only ssh knows.
func (s *settings) files(key, value string) ([]string, error) {
	if value == "none" || value == "" {
		return nil, nil
	}
	unclear := &ConfigError{s.Alias, key + " " + value}
	var list []string
	for _, piece := range strings.Split(value, " ") {
		name := s.inHome(piece)
		if len(list) > 0 {
			last := &list[len(list)-1]
			_, err := os.Stat(*last + " " + piece)
			switch joined := err == nil; {
			case joined && filepath.IsAbs(name):
				return nil, unclear
			case joined:
				*last += " " + piece
				continue
			}
		}
		if !filepath.IsAbs(name) {
			return nil, unclear
		}
		list = append(list, name)
	}
	return list, nil
}

// expandAll expands the names of keys and certificates, when all that they may
// stand for is known.
func (s *settings) expandAll() error {
	for _, list := range []*[]string{&s.Keys, &s.Certs} {
		var names []string
		for _, name := range *list {
			if strings.EqualFold(name, "none") {
				continue
			}
			expanded, ok := s.expand(s.inHome(name))
			if !ok {
				return &ConfigError{s.Alias, "identityfile or certificatefile " + name}
			}
			names = append(names, expanded)
		}
		*list = names
	}
	return nil
}

// inHome resolves a leading "~/". Like ssh, it takes the home of the system's
// list of users, whatever $HOME is.
func (s *settings) inHome(name string) string {
	rest, ok := strings.CutPrefix(name, "~/")
	if !ok {
		return name
	}
	me, err := user.Current()
	if err != nil || me.HomeDir == "" {
		return name
	}
	return filepath.Join(me.HomeDir, rest)
}

// expand puts in what tokens like %h and variables like ${HOME} stand for. ok is
// false where only ssh knows.
func (s *settings) expand(name string) (expanded string, ok bool) {
	if strings.HasPrefix(name, "~") {
		return "", false
	}
	var b strings.Builder
	for len(name) > 0 {
		i := strings.IndexAny(name, "%$")
		if i < 0 {
			i = len(name)
		}
		b.WriteString(name[:i])
		name = name[i:]
		switch {
		case strings.HasPrefix(name, "${"):
			variable, rest, closed := strings.Cut(name[2:], "}")
			value, set := os.LookupEnv(variable)
			if !closed || !set {
				return "", false
			}
			b.WriteString(value)
			name = rest
		case strings.HasPrefix(name, "$"):
			b.WriteByte('$')
			name = name[1:]
		case len(name) == 1:
			return "", false
		case len(name) > 1:
			value, known := s.token(name[1])
			if !known {
				return "", false
			}
			b.WriteString(value)
			name = name[2:]
		}
	}
	return b.String(), true
}

// token is what a token of ssh_config stands for.
func (s *settings) token(c byte) (value string, known bool) {
	switch c {
	case '%':
		return "%", true
	case 'h':
		return s.Host, true
	case 'n':
		return s.Alias, true
	case 'p':
		return s.Port, true
	case 'r':
		return s.User, true
	case 'k':
		if s.KeyAlias != "" {
			return s.KeyAlias, true
		}
		return s.Alias, true
	case 'l', 'L':
		host, err := os.Hostname()
		if c == 'L' {
			host, _, _ = strings.Cut(host, ".")
		}
		return host, err == nil
	case 'd', 'i', 'u':
		me, err := user.Current()
		if err != nil {
			return "", false
		}
		return map[byte]string{'d': me.HomeDir, 'i': me.Uid, 'u': me.Username}[c], true
	}
	return "", false
}
