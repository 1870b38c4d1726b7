package sftp

import (
	"runtime"
	"slices"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/cpu"
)

// fastest are the ciphers that we have, the fastest first: AES where the
// processor does it, ChaCha20 where a program has to.
func fastest() []string {
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

// ciphers are those that ssh's settings allow, the fastest first. The order of
// the settings is OpenSSH's own, where other ones are fast.
func (s settings) ciphers() []string {
	list := fastest()
	if len(s.Ciphers) == 0 {
		return list
	}
	rest := slices.DeleteFunc(slices.Clone(s.Ciphers), func(name string) bool { return slices.Contains(list, name) })
	list = slices.DeleteFunc(list, func(name string) bool { return !slices.Contains(s.Ciphers, name) })
	return append(list, rest...)
}
