package sftp

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"time"
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
	CheckIP    bool   // CheckHostIP
	Family     string // AddressFamily: inet or inet6 for that one only
	Jumps      []Dest
	Batch      bool          // nobody is to be asked
	Timeout    time.Duration // for a connection; 0: ours
	Pulse      time.Duration // between keepalives; 0: ours
	Misses     int           // keepalives without an answer that are the end; 0: ours
	Prompts    int           // how often a password is asked for; 0: as ssh does
	RekeyBytes uint64        // 0: as the cipher needs it

	// Algorithms that may be used, in order; empty: all that Go has.
	Ciphers, MACs, Exchanges, HostKeys, KeyTypes, AuthorityKeys []string
	RSABits                                                     int  // keys that are shorter do not count
	InOrder                                                     bool // HostKeys are in this order whatever key is known
	allHostKeys                                                 string

	Ways                            []string // PreferredAuthentications; empty: ours
	NoKeys, NoPassword, NoQuestions bool     // ways to log in that are not wanted
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
	out, err := printed(ctx, append(args, "--", d.Host)...)
	if err != nil {
		return settings{}, fmt.Errorf("asking ssh for its settings for %q: %w", d.Host, err)
	}
	s, strange, err := parseSettings(d, out)
	if err != nil {
		return s, err
	}
	usual, err := printed(ctx, "-F", "none", "-G", "--", d.Host)
	if err != nil {
		return s, fmt.Errorf("asking ssh for its settings without a configuration: %w", err)
	}
	return s, s.compare(strings.Fields(string(usual)), strings.Split(string(usual), "\n"), strange)
}

// printed is what ssh prints.
func printed(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "ssh", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}

// compare looks at what is as it is without any configuration. Strange settings
// of a newer ssh may be. Where the algorithms of host keys are chosen, and not
// only added to, ssh keeps to their order, whatever key is known.
func (s *settings) compare(words, usual, strange []string) error {
	for _, line := range strange {
		if !slices.Contains(usual, line) {
			return &ConfigError{s.Alias, line}
		}
	}
	if i := slices.Index(words, "hostkeyalgorithms"); i >= 0 && i+1 < len(words) {
		s.InOrder = !strings.HasPrefix(s.allHostKeys+",", words[i+1]+",")
	}
	return nil
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

// parseSettings reads what `ssh -G` prints. strange are lines with keywords that
// nobody has judged yet.
func parseSettings(d Dest, out []byte) (s settings, strange []string, err error) {
	s = settings{Alias: d.Host, Agent: os.Getenv("SSH_AUTH_SOCK")}
	scanner := bufio.NewScanner(bytes.NewReader(out))
	for scanner.Scan() {
		line := strings.TrimSuffix(scanner.Text(), "\r")
		key, value, _ := strings.Cut(line, " ")
		known, err := s.set(strings.ToLower(key), value)
		if err != nil {
			return s, nil, err
		}
		if !known {
			strange = append(strange, line)
		}
	}
	if s.Host == "" || s.Port == "" || s.User == "" {
		return s, nil, fmt.Errorf("ssh's settings for %q name no host, port or user", d.Host)
	}
	return s, strange, errors.Join(scanner.Err(), s.expandAll())
}

// set follows one setting. known is false for a keyword that is in no table.
func (s *settings) set(key, value string) (known bool, err error) {
	if follow, ok := followed[key]; ok {
		return true, follow(s, value)
	}
	if harmless, ok := handed[key]; ok {
		if !slices.Contains(harmless, value) {
			return true, &ConfigError{s.Alias, key + " " + value}
		}
		return true, nil
	}
	_, known = passed[key]
	return known, nil
}

// ConfigError names a setting, or what else is there, that only the ssh command
// itself can follow.
type ConfigError struct{ Host, Setting string }

func (e *ConfigError) Error() string {
	return fmt.Sprintf("ssh's configuration for %q asks for %q, which needs the ssh command", e.Host, e.Setting)
}
