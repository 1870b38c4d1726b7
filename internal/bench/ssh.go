package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"airgap/transfer/transfertest"
)

// sshServer is an sshd on this machine, with what its clients need, in the
// current folder. Its hosts are at different distances.
type sshServer struct {
	dir   string
	cmd   *exec.Cmd
	hosts []farHost
}

// farHost is the server, as reached through a line.
type farHost struct {
	name string // as ssh's configuration has it
	rtt  time.Duration
	far  *transfertest.Far
}

// startSSH starts sshd, and an ssh in front of the system's that knows it.
func startSSH(ctx context.Context) (*sshServer, error) {
	here, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	s := &sshServer{dir: filepath.Join(here, "ssh")}
	addr, err := s.run(ctx)
	if err != nil {
		return nil, err
	}
	for _, h := range []farHost{{name: "near"}, {name: "far20", rtt: 20 * time.Millisecond}, {name: "far100", rtt: 100 * time.Millisecond}} {
		if h.rtt > 0 {
			if h.far, err = transfertest.NewFar(addr, transfertest.Distance{RoundTrip: h.rtt}); err != nil {
				s.stop()
				return nil, err
			}
		}
		s.hosts = append(s.hosts, h)
	}
	if err := s.configure(addr); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func (s *sshServer) stop() {
	_ = s.cmd.Process.Kill() // it may have ended
	_ = s.cmd.Wait()
	for _, h := range s.hosts {
		if h.far != nil {
			h.far.Close()
		}
	}
}

// run starts the server and waits until it answers.
func (s *sshServer) run(ctx context.Context) (addr string, err error) {
	if _, err := shell(ctx, fmt.Sprintf("mkdir -p %[1]s/in /run/sshd; for key in host id; do ssh-keygen -q -t ed25519 -N '' -f %[1]s/$key; done", s.dir), nil); err != nil {
		return "", err
	}
	if addr, err = freeAddr(); err != nil {
		return "", err
	}
	_, port, _ := net.SplitHostPort(addr)
	s.cmd = exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", "-h", s.dir+"/host", "-o", "ListenAddress=127.0.0.1", "-p", port,
		"-o", "AuthorizedKeysFile="+s.dir+"/id.pub", "-o", "PidFile=none", "-o", "StrictModes=no", "-o", "Subsystem=sftp internal-sftp")
	if err := s.cmd.Start(); err != nil {
		return "", err
	}
	if err = answers(addr); err != nil {
		s.stop()
	}
	return addr, err
}

// configure writes the clients' configuration, and an ssh that uses it, which
// comes first in the path.
func (s *sshServer) configure(addr string) error {
	public, err := os.ReadFile(s.dir + "/host.pub")
	if err != nil {
		return err
	}
	var config, known strings.Builder
	for _, h := range s.hosts {
		to := addr
		if h.far != nil {
			to = h.far.Addr
		}
		_, port, _ := net.SplitHostPort(to)
		fmt.Fprintf(&known, "[127.0.0.1]:%s %s", port, public)
		fmt.Fprintf(&config, "Host %s\n  HostName 127.0.0.1\n  Port %s\n", h.name, port)
	}
	fmt.Fprintf(&config, "Host *\n  IdentityFile %[1]s/id\n  IdentitiesOnly yes\n  UserKnownHostsFile %[1]s/known_hosts\n", s.dir)
	system, err := exec.LookPath("ssh")
	if err != nil {
		return err
	}
	for name, content := range map[string]string{
		"config": config.String(), "known_hosts": known.String(),
		"ssh": fmt.Sprintf("#!/bin/sh\nexec %s -F %s/config \"$@\"\n", system, s.dir),
	} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(content), 0o700); err != nil {
			return err
		}
	}
	return os.Setenv("PATH", s.dir+":"+os.Getenv("PATH"))
}

// contests send the bundle that came from a registry to each host.
func (s *sshServer) contests() (list []contest) {
	for _, h := range s.hosts {
		title, limit := "Send over loopback", "at most 1.05 times the time of `scp`"
		if h.rtt > 0 {
			title, limit = fmt.Sprintf("Send with %d ms of round-trip delay", h.rtt.Milliseconds()), "less than the time of `scp`"
		}
		list = append(list, contest{title: title, limit: limit, reset: "rm -f ssh/in/* ssh/in/.[!.]*; sync", entries: []entry{
			{command: fmt.Sprintf("airgap send registry.tar.zst %s:%s/in", h.name, s.dir)},
			{command: fmt.Sprintf("scp -q -S %s/ssh registry.tar.zst %s:%s/in", s.dir, h.name, s.dir)},
		}})
	}
	return list
}
