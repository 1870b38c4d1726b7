package sftp

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// Every keyword that `ssh -G` prints, from OpenSSH 7 to 10, is in one of three
// tables: we follow it, we leave hosts that have it set to the ssh command, or
// we pass over it for a reason. A keyword of a newer ssh that is in none may
// have its usual value only.

// followed are settings that we follow as ssh does. What of them Go cannot do
// is a *ConfigError.
var followed = map[string]func(s *settings, value string) error{
	"hostname":              func(s *settings, v string) error { s.Host = v; return nil },
	"port":                  func(s *settings, v string) error { s.Port = v; return nil },
	"user":                  func(s *settings, v string) error { s.User = v; return nil },
	"addressfamily":         func(s *settings, v string) error { s.Family = v; return nil },
	"proxyjump":             (*settings).setJumps,
	"connecttimeout":        (*settings).setTimeout,
	"serveraliveinterval":   (*settings).setPulse,
	"serveralivecountmax":   func(s *settings, v string) (err error) { s.Misses, err = strconv.Atoi(v); return err },
	"controlpath":           (*settings).setMaster,
	"batchmode":             func(s *settings, v string) error { s.Batch = v == "yes"; return nil },
	"rekeylimit":            (*settings).setRekey,
	"ciphers":               algorithms("ciphers", func(a ssh.Algorithms) []string { return a.Ciphers }, func(s *settings) *[]string { return &s.Ciphers }),
	"macs":                  algorithms("macs", func(a ssh.Algorithms) []string { return a.MACs }, func(s *settings) *[]string { return &s.MACs }),
	"kexalgorithms":         algorithms("kexalgorithms", func(a ssh.Algorithms) []string { return a.KeyExchanges }, func(s *settings) *[]string { return &s.Exchanges }),
	"hostkeyalgorithms":     (*settings).setHostKeys,
	"casignaturealgorithms": func(s *settings, v string) error { s.AuthorityKeys = strings.Split(v, ","); return nil },
	"requiredrsasize":       func(s *settings, v string) (err error) { s.RSABits, err = strconv.Atoi(v); return err },

	"userknownhostsfile":    (*settings).setKnownHosts,
	"globalknownhostsfile":  (*settings).setGlobalKnownHosts,
	"hostkeyalias":          func(s *settings, v string) error { s.KeyAlias = v; return nil },
	"stricthostkeychecking": func(s *settings, v string) error { s.Strict = v; return nil },
	"checkhostip":           func(s *settings, v string) error { s.CheckIP = v == "yes"; return nil },
	"hashknownhosts":        func(s *settings, v string) error { s.HashNames = v == "yes"; return nil },

	"identityfile":                    func(s *settings, v string) error { s.Keys = append(s.Keys, v); return nil },
	"certificatefile":                 func(s *settings, v string) error { s.Certs = append(s.Certs, v); return nil },
	"identitiesonly":                  func(s *settings, v string) error { s.OnlyKeys = v == "yes"; return nil },
	"identityagent":                   (*settings).setAgent,
	"pubkeyacceptedalgorithms":        func(s *settings, v string) error { s.KeyTypes = strings.Split(v, ","); return nil },
	"pubkeyacceptedkeytypes":          func(s *settings, v string) error { s.KeyTypes = strings.Split(v, ","); return nil },
	"preferredauthentications":        (*settings).setWays,
	"pubkeyauthentication":            func(s *settings, v string) error { s.NoKeys = v == "no" || v == "false"; return nil },
	"passwordauthentication":          func(s *settings, v string) error { s.NoPassword = v == "no"; return nil },
	"kbdinteractiveauthentication":    func(s *settings, v string) error { s.NoQuestions = v == "no"; return nil },
	"challengeresponseauthentication": func(s *settings, v string) error { s.NoQuestions = s.NoQuestions || v == "no"; return nil },
	"numberofpasswordprompts":         func(s *settings, v string) (err error) { s.Prompts, err = strconv.Atoi(v); return err },
	"gssapiauthentication":            (*settings).setTickets,
}

// handed are settings that only the ssh command follows, with the values that
// ask for nothing.
var handed = map[string][]string{
	"proxycommand":                     {"none"},
	"knownhostscommand":                {"none"},
	"revokedhostkeys":                  {"none"},
	"pkcs11provider":                   {"none"},
	"bindaddress":                      {"none"},
	"bindinterface":                    {"none"},
	"nohostauthenticationforlocalhost": {"no"},
	"hostbasedauthentication":          {"no"},
	"verifyhostkeydns":                 {"no", "false", "ask"}, // ask: it only adds a line to the question
	"gssapikeyexchange":                {"no"},                 // it proves the host in another way
	"refuseconnection":                 {"none"},
}

// Why settings are passed over.
const (
	settled   = "ssh -G has followed it"
	terminal  = "it is of terminals and commands, and a transfer has neither"
	forwards  = "a transfer forwards nothing, as in scp"
	messages  = "it is of ssh's own messages"
	ours      = "we do it, in our own way, always"
	extra     = "without it, only a convenience is missing"
	ofHanded  = "it only says how to do what is handed to ssh"
	ofMasters = "a connection of our own is shared with nobody"
	gone      = "version 1 of the protocol is no more"
)

// passed are settings that change nothing for us.
var passed = map[string]string{
	"host": settled, "canonicalizehostname": settled, "canonicalizefallbacklocal": settled, "canonicalizemaxdots": settled,
	"canonicaldomains": settled, "canonicalizepermittedcnames": settled, "tag": settled, "ignoreunknown": settled,

	"requesttty": terminal, "sessiontype": terminal, "stdinnull": terminal, "forkafterauthentication": terminal, "escapechar": terminal,
	"enableescapecommandline": terminal, "remotecommand": terminal, "localcommand": terminal, "permitlocalcommand": terminal,
	"sendenv": terminal, "setenv": terminal, "obscurekeystroketiming": terminal, "channeltimeout": terminal,

	"clearallforwardings": forwards, "exitonforwardfailure": forwards, "forwardagent": forwards, "forwardx11": forwards,
	"forwardx11trusted": forwards, "forwardx11timeout": forwards, "xauthlocation": forwards, "gatewayports": forwards, "tunnel": forwards,
	"tunneldevice": forwards, "streamlocalbindunlink": forwards, "streamlocalbindmask": forwards, "permitremoteopen": forwards,
	"localforward": forwards, "remoteforward": forwards, "dynamicforward": forwards,

	"loglevel": messages, "logverbose": messages, "syslogfacility": messages, "visualhostkey": messages, "fingerprinthash": messages,
	"warnweakcrypto": messages, "versionaddendum": messages,

	"tcpkeepalive": ours, "connectionattempts": ours,

	"compression": extra, "compressionlevel": extra, "ipqos": extra, "addkeystoagent": extra, "updatehostkeys": extra,
	"kbdinteractivedevices": extra, "usekeychain": extra,

	"proxyusefdpass": ofHanded, "enablesshkeysign": ofHanded, "hostbasedacceptedalgorithms": ofHanded, "hostbasedkeytypes": ofHanded,
	"gssapidelegatecredentials": ofHanded, "gssapitrustdns": ofHanded, "gssapirenewalforcesrekey": ofHanded, "gssapikexalgorithms": ofHanded,
	"gssapiclientidentity": ofHanded, "gssapiserveridentity": ofHanded,
	"securitykeyprovider": ofHanded, // keys on a device sign in the agent, or in ssh

	"controlmaster": ofMasters, "controlpersist": ofMasters,

	"protocol": gone, "cipher": gone, "rsaauthentication": gone, "rhostsrsaauthentication": gone, "useprivilegedport": gone,
}

// algorithms follows a list of algorithms as far as Go has them. If it has none
// of them, ssh has to do it.
func algorithms(key string, of func(ssh.Algorithms) []string, field func(*settings) *[]string) func(*settings, string) error {
	return func(s *settings, value string) error {
		ours := slices.Concat(of(ssh.SupportedAlgorithms()), of(ssh.InsecureAlgorithms()))
		list := slices.DeleteFunc(strings.Split(value, ","), func(a string) bool { return !slices.Contains(ours, a) })
		if len(list) == 0 {
			return &ConfigError{s.Alias, key + " " + value}
		}
		*field(s) = list
		return nil
	}
}

var hostKeyAlgorithms = algorithms("hostkeyalgorithms", func(a ssh.Algorithms) []string { return a.HostKeys }, func(s *settings) *[]string { return &s.HostKeys })

func (s *settings) setHostKeys(value string) error {
	s.allHostKeys = value
	return hostKeyAlgorithms(s, value)
}

func (s *settings) setTimeout(value string) error {
	if value == "none" {
		return nil
	}
	seconds, err := strconv.Atoi(value)
	s.Timeout = time.Duration(seconds) * time.Second
	return err
}

func (s *settings) setPulse(value string) error {
	seconds, err := strconv.Atoi(value)
	s.Pulse = time.Duration(seconds) * time.Second
	return err
}

// setMaster leaves a host to ssh if ssh is connected to it already: it would go
// through that connection, and log in nowhere.
func (s *settings) setMaster(path string) error {
	if info, err := os.Stat(path); err == nil && info.Mode()&os.ModeSocket != 0 {
		return &ConfigError{s.Alias, "controlpath " + path}
	}
	return nil
}

func (s *settings) setRekey(value string) error {
	size, interval, _ := strings.Cut(value, " ")
	if interval != "" && interval != "0" {
		return &ConfigError{s.Alias, "rekeylimit " + value}
	}
	if size == "default" {
		return nil
	}
	var err error
	s.RekeyBytes, err = strconv.ParseUint(size, 10, 64)
	return err
}

// setTickets leaves hosts to ssh for a user who has a Kerberos ticket. Many
// systems allow tickets by default, and few have any.
func (s *settings) setTickets(value string) error {
	if value != "yes" {
		return nil
	}
	if klist, err := exec.LookPath("klist"); err == nil && exec.CommandContext(context.Background(), klist, "-s").Run() == nil {
		return &ConfigError{s.Alias, "gssapiauthentication yes, with a ticket"}
	}
	return nil
}

// ways are the ways to log in that we have.
var ways = []string{"publickey", "keyboard-interactive", "password"}

func (s *settings) setWays(value string) error {
	for _, way := range strings.Split(value, ",") {
		if slices.Contains(ways, way) {
			s.Ways = append(s.Ways, way)
		}
	}
	if len(s.Ways) == 0 {
		return &ConfigError{s.Alias, "preferredauthentications " + value}
	}
	return nil
}

// setAgent reads a socket's name, or $NAME of a variable with it.
func (s *settings) setAgent(value string) error {
	name, variable := strings.CutPrefix(value, "$")
	switch {
	case value == "none":
		s.Agent = ""
	case value == "SSH_AUTH_SOCK":
	case variable:
		s.Agent = os.Getenv(name)
	default:
		s.Agent = value
	}
	return nil
}

func (s *settings) setJumps(value string) error {
	if value == "none" || value == "" {
		return nil
	}
	for _, hop := range strings.Split(value, ",") {
		d, err := parseURL(strings.TrimPrefix(hop, "ssh://"), hop)
		if err != nil || strings.Contains(hop, "%") {
			return &ConfigError{s.Alias, "proxyjump " + value}
		}
		d.Dir = ""
		s.Jumps = append(s.Jumps, d)
	}
	return nil
}
