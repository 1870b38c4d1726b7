package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// scriptServing runs airgap serve until the script ends, which must not be an
// error. $SERVED is where.
func scriptServing(ts *testscript.TestScript, _ bool, args []string) {
	airgap := filepath.Join(firstDir(ts.Getenv("PATH")), "airgap")
	if runtime.GOOS == "windows" {
		airgap += ".exe"
	}
	cmd := exec.Command(airgap, append([]string{"serve", "--json", "--addr", "127.0.0.1:0"}, args...)...)
	cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"HOME", "USERPROFILE", "SystemRoot"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	ts.Defer(func() {
		if runtime.GOOS == "windows" {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			return
		}
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			ts.Fatalf("%v", err)
		}
		if err := cmd.Wait(); err != nil {
			ts.Fatalf("airgap serve, interrupted: %v", err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	ts.Check(err)
	var answer struct{ Type, URL string }
	ts.Check(json.Unmarshal([]byte(line), &answer))
	if answer.Type != "serving" {
		ts.Fatalf("it says %s", line)
	}
	_, host, _ := strings.Cut(answer.URL, "://")
	ts.Setenv("SERVED", host)
}

// scriptCertificate writes cert.pem and key.pem for 127.0.0.1.
func scriptCertificate(ts *testscript.TestScript, _ bool, _ []string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	now := time.Now()
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	ts.Check(err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	ts.Check(err)
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: cert}, "key.pem": {Type: "PRIVATE KEY", Bytes: private}} {
		ts.Check(os.WriteFile(ts.MkAbs(name), pem.EncodeToMemory(block), 0o600))
	}
}

// scriptLogin is docker login to $SERVED.
func scriptLogin(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: login USER PASSWORD")
	}
	auth := base64.StdEncoding.EncodeToString([]byte(args[0] + ":" + args[1]))
	dir := ts.Getenv("DOCKER_CONFIG")
	ts.Check(os.MkdirAll(dir, 0o700))
	text := fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, ts.Getenv("SERVED"), auth)
	ts.Check(os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600))
}
