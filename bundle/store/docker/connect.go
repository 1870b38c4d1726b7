package docker

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/moby/client"
)

// connect makes the client. No connection is made yet.
func (e *Engine) connect(host string) error {
	endpoint, err := findEndpoint(host, os.Getenv)
	if err != nil {
		return err
	}
	e.host = endpoint.host
	e.local = strings.HasPrefix(e.host, "unix://") || strings.HasPrefix(e.host, "npipe://")
	options := []client.Opt{client.WithHost(endpoint.host), client.WithAPIVersionFromEnv(), client.WithUserAgent("airgap")}
	switch {
	case strings.HasPrefix(endpoint.host, "ssh://"):
		dial, err := sshDialer(endpoint.host)
		if err != nil {
			return err
		}
		// The host is only a name for HTTP: all connections go through ssh.
		options = []client.Opt{client.WithHost("http://docker.example.com"), client.WithDialContext(dial), client.WithAPIVersionFromEnv()}
	case endpoint.tls != nil:
		transport := &http.Transport{TLSClientConfig: endpoint.tls}
		options = append([]client.Opt{client.WithHTTPClient(&http.Client{Transport: transport})}, options...)
	}
	e.client, err = client.New(options...)
	return err
}

// PodmanHost is where podman listens, as podman itself finds it: that of
// $CONTAINER_HOST, else the system's for root, else the user's own.
func PodmanHost() string { return podmanHost(os.Getenv, os.Getuid()) }

func podmanHost(getenv func(string) string, uid int) string {
	if host := getenv("CONTAINER_HOST"); host != "" {
		return host
	}
	if uid == 0 {
		return "unix:///run/podman/podman.sock"
	}
	dir := getenv("XDG_RUNTIME_DIR")
	if dir == "" {
		dir = fmt.Sprintf("/run/user/%d", uid)
	}
	return "unix://" + dir + "/podman/podman.sock"
}

// endpoint is where an engine listens.
type endpoint struct {
	host string
	tls  *tls.Config
}

// findEndpoint follows the docker command: an explicit host, $DOCKER_HOST with
// its TLS variables, $DOCKER_CONTEXT, the context in use, the default.
func findEndpoint(host string, getenv func(string) string) (endpoint, error) {
	if host == "" {
		host = getenv("DOCKER_HOST")
	}
	if host != "" {
		return hostEndpoint(host, getenv)
	}
	dir := getenv("DOCKER_CONFIG")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return hostEndpoint(client.DefaultDockerHost, getenv)
		}
		dir = filepath.Join(home, ".docker")
	}
	name, err := currentContext(dir, getenv)
	if err != nil {
		return endpoint{}, err
	}
	if name == "" || name == "default" {
		return hostEndpoint(client.DefaultDockerHost, getenv)
	}
	return contextEndpoint(dir, name)
}

func hostEndpoint(host string, getenv func(string) string) (endpoint, error) {
	dir := getenv("DOCKER_CERT_PATH")
	if getenv("DOCKER_TLS_VERIFY") == "" && getenv("DOCKER_TLS") == "" || !strings.HasPrefix(host, "tcp://") {
		return endpoint{host: host}, nil
	}
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return endpoint{}, err
		}
		dir = filepath.Join(home, ".docker")
	}
	config, err := loadTLS(dir, getenv("DOCKER_TLS_VERIFY") == "")
	return endpoint{host, config}, err
}

// currentContext is the name of the Docker context in use.
func currentContext(dir string, getenv func(string) string) (string, error) {
	if name := getenv("DOCKER_CONTEXT"); name != "" {
		return name, nil
	}
	var config struct {
		CurrentContext string `json:"currentContext"`
	}
	path := filepath.Join(dir, "config.json")
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &config)
	}
	if err != nil {
		return "", fmt.Errorf("reading %q: %w", path, err)
	}
	return config.CurrentContext, nil
}

// contextEndpoint reads a context as `docker context create` stores it: in
// folders named by the sha256 of its name.
func contextEndpoint(dir, name string) (endpoint, error) {
	sum := sha256.Sum256([]byte(name))
	id := hex.EncodeToString(sum[:])
	var meta struct {
		Endpoints map[string]struct {
			Host          string
			SkipTLSVerify bool
		}
	}
	raw, err := os.ReadFile(filepath.Join(dir, "contexts", "meta", id, "meta.json"))
	if err == nil {
		err = json.Unmarshal(raw, &meta)
	}
	if err != nil {
		return endpoint{}, fmt.Errorf("docker context %q: %w", name, err)
	}
	docker, ok := meta.Endpoints["docker"]
	if !ok || docker.Host == "" {
		return endpoint{}, fmt.Errorf("docker context %q has no docker endpoint", name)
	}
	certs := filepath.Join(dir, "contexts", "tls", id, "docker")
	if _, err := os.Stat(certs); err != nil {
		return endpoint{host: docker.Host}, nil
	}
	config, err := loadTLS(certs, docker.SkipTLSVerify)
	return endpoint{docker.Host, config}, err
}

// loadTLS reads ca.pem, cert.pem and key.pem, as far as they are there.
func loadTLS(dir string, skipVerify bool) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: skipVerify}
	if ca, err := os.ReadFile(filepath.Join(dir, "ca.pem")); err == nil {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(ca) {
			return nil, fmt.Errorf("no certificate in %q", filepath.Join(dir, "ca.pem"))
		}
	}
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	switch {
	case err == nil:
		config.Certificates = []tls.Certificate{cert}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	return config, nil
}

// sshDialer reaches an engine as the docker command does: ssh runs docker on
// the host, which passes the connection on.
func sshDialer(host string) (func(ctx context.Context, network, addr string) (net.Conn, error), error) {
	u, err := url.Parse(host)
	if err != nil || u.Hostname() == "" {
		return nil, fmt.Errorf("docker host %q is not of the form ssh://[user@]host[:port]", host)
	}
	var args []string
	if u.User != nil {
		args = append(args, "-l", u.User.Username())
	}
	if u.Port() != "" {
		args = append(args, "-p", u.Port())
	}
	args = append(args, "--", u.Hostname(), "docker", "system", "dial-stdio")
	return func(context.Context, string, string) (net.Conn, error) { return runConn("ssh", args...) }, nil
}
