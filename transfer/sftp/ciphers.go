package sftp

import (
	"runtime"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/cpu"
)

// ours are the ciphers that we have, the fastest first: AES where the
// processor does it, ChaCha20 where a program has to.
func ours() []string {
	all := ssh.SupportedAlgorithms().Ciphers // with AES-GCM at the front
	if !aesInHardware() {
		chacha := func(name string) bool { return name == ssh.CipherChaCha20Poly1305 }
		all = append([]string{ssh.CipherChaCha20Poly1305}, slices.DeleteFunc(all, chacha)...)
	}
	return all
}

func aesInHardware() bool {
	switch runtime.GOARCH {
	case "amd64":
		return cpu.X86.HasAES && cpu.X86.HasPCLMULQDQ
	case "arm64": // the systems beside Linux run on nothing that has it not
		return runtime.GOOS != "linux" || cpu.ARM64.HasAES && cpu.ARM64.HasPMULL
	}
	return false
}

// ciphers are ours, of those that ssh's settings allow.
func (s settings) ciphers() []string {
	return slices.DeleteFunc(ours(), func(name string) bool {
		return len(s.Ciphers) > 0 && !slices.Contains(s.Ciphers, name)
	})
}

// setCiphers takes the list of those that are allowed. Their order is that of
// OpenSSH, where other ones are fast.
func (s *settings) setCiphers(value string) error {
	s.Ciphers = strings.Split(value, ",")
	if len(s.ciphers()) == 0 {
		return &ConfigError{s.Alias, "ciphers " + value}
	}
	return nil
}
