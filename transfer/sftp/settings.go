package sftp

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
)

// settings are how one host is reached.
type settings struct {
	Alias      string // what the user called it
	Host       string
	Port       string
	User       string
	Keys       []string // files of private keys
	Certs      []string
	OnlyKeys   bool   // IdentitiesOnly
	Agent      string // socket; empty for none
	KnownHosts []string
	GlobalOnly []string // known_hosts files that are not written to
	KeyAlias   string   // name under which the host's key is known
	Strict     string   // StrictHostKeyChecking
	HashNames  bool
	Family     string // AddressFamily: inet or inet6 for that one only
	Ciphers    []string
	Jumps      []Dest

	NoKeys, NoPassword, NoQuestions bool // ways to log in that are not wanted
}

// name is the host as known_hosts has it.
func (s settings) name() string {
	if s.KeyAlias != "" {
		return s.KeyAlias
	}
	return s.Host
}

// settle finds the settings for a destination.
func settle(ctx context.Context, d Dest) (settings, error) {
	if _, err := exec.LookPath("ssh"); err != nil {
		return defaults(d)
	}
	args := []string{"-G"}
	if d.User != "" {
		args = append(args, "-l", d.User)
	}
	if d.Port != "" {
		args = append(args, "-p", d.Port)
	}
	cmd := exec.CommandContext(ctx, "ssh", append(args, "--", d.Host)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return settings{}, fmt.Errorf("asking ssh for its settings for %q: %w: %s", d.Host, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return parseSettings(d, out)
}

// defaults are ssh's own, for a machine without it.
func defaults(d Dest) (settings, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return settings{}, err
	}
	s := settings{Alias: d.Host, Host: d.Host, Port: d.Port, User: d.User, Agent: os.Getenv("SSH_AUTH_SOCK"), Strict: "ask"}
	if s.Port == "" {
		s.Port = "22"
	}
	if s.User == "" {
		u, err := user.Current()
		if err != nil {
			return settings{}, err
		}
		s.User = u.Username[strings.LastIndexByte(u.Username, '\\')+1:]
	}
	for _, name := range []string{"id_rsa", "id_ecdsa", "id_ed25519"} {
		s.Keys = append(s.Keys, filepath.Join(home, ".ssh", name))
	}
	s.KnownHosts = []string{filepath.Join(home, ".ssh", "known_hosts")}
	return s, nil
}

// parseSettings reads what `ssh -G` prints.
func parseSettings(d Dest, out []byte) (settings, error) {
	s := settings{Alias: d.Host, Agent: os.Getenv("SSH_AUTH_SOCK")}
	scanner := bufio.NewScanner(bytes.NewReader(out))
	for scanner.Scan() {
		key, value, _ := strings.Cut(scanner.Text(), " ")
		if err := s.set(strings.ToLower(key), value); err != nil {
			return s, err
		}
	}
	if s.Host == "" || s.Port == "" || s.User == "" {
		return s, fmt.Errorf("ssh's settings for %q name no host, port or user", d.Host)
	}
	return s, scanner.Err()
}

func (s *settings) set(key, value string) error {
	switch key {
	case "hostname":
		s.Host = value
	case "port":
		s.Port = value
	case "user":
		s.User = value
	case "identityfile":
		s.Keys = append(s.Keys, expand(value))
	case "certificatefile":
		s.Certs = append(s.Certs, expand(value))
	case "identitiesonly":
		s.OnlyKeys = value == "yes"
	case "identityagent":
		s.setAgent(value)
	case "userknownhostsfile":
		s.KnownHosts = files(value)
	case "globalknownhostsfile":
		s.GlobalOnly = files(value)
	case "hostkeyalias":
		s.KeyAlias = value
	case "stricthostkeychecking":
		s.Strict = value
	case "hashknownhosts":
		s.HashNames = value == "yes"
	case "proxyjump":
		return s.setJumps(value)
	case "addressfamily":
		s.Family = value
	case "ciphers":
		return s.setCiphers(value)
	case "proxycommand", "knownhostscommand", "revokedhostkeys", "pkcs11provider", "bindaddress", "bindinterface":
		if value != "none" {
			return &ConfigError{s.Alias, key + " " + value}
		}
	case "nohostauthenticationforlocalhost", "hostbasedauthentication":
		if value == "yes" {
			return &ConfigError{s.Alias, key + " " + value}
		}
	case "verifyhostkeydns":
		if value == "yes" || value == "true" {
			return &ConfigError{s.Alias, key + " " + value}
		}
	case "passwordauthentication":
		s.NoPassword = value == "no"
	case "kbdinteractiveauthentication":
		s.NoQuestions = value == "no"
	case "pubkeyauthentication":
		s.NoKeys = value == "no" || value == "false"
	}
	return nil
}

// ConfigError names a setting that only the ssh command itself can follow.
type ConfigError struct{ Host, Setting string }

func (e *ConfigError) Error() string {
	return fmt.Sprintf("ssh's configuration for %q asks for %q, which needs the ssh command", e.Host, e.Setting)
}

func (s *settings) setAgent(value string) {
	switch value {
	case "none":
		s.Agent = ""
	case "SSH_AUTH_SOCK":
	default:
		s.Agent = expand(strings.Trim(os.ExpandEnv(value), `"`))
	}
}

func (s *settings) setJumps(value string) error {
	if value == "none" || value == "" {
		return nil
	}
	for _, hop := range strings.Split(value, ",") {
		d, err := parseURL(strings.TrimPrefix(hop, "ssh://"), hop)
		if err != nil {
			return err
		}
		d.Dir = ""
		s.Jumps = append(s.Jumps, d)
	}
	return nil
}

// files splits a list of file names.
func files(value string) []string {
	var list []string
	for _, name := range strings.Fields(value) {
		if name != "none" && name != os.DevNull {
			list = append(list, expand(name))
		}
	}
	return list
}

// expand resolves a leading "~/".
func expand(name string) string {
	rest, ok := strings.CutPrefix(name, "~/")
	if !ok {
		return name
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return name
	}
	return filepath.Join(home, rest)
}
