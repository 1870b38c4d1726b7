package registry

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

// containersKeychain finds what `podman login` and `skopeo login` have stored.
// ggcr's own keychain reads these files only where Docker has none.
type containersKeychain struct{}

// authFile is containers-auth.json(5).
type authFile struct {
	Auths map[string]struct {
		Auth          string `json:"auth"`
		IdentityToken string `json:"identitytoken"`
	} `json:"auths"`
	CredHelpers map[string]string `json:"credHelpers"`
}

// Resolve implements authn.Keychain.
func (k containersKeychain) Resolve(target authn.Resource) (authn.Authenticator, error) {
	return k.ResolveContext(context.Background(), target)
}

// ResolveContext implements authn.ContextKeychain.
func (containersKeychain) ResolveContext(ctx context.Context, target authn.Resource) (authn.Authenticator, error) {
	for _, path := range authFiles() {
		raw, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		var file authFile
		if err := json.Unmarshal(raw, &file); err != nil {
			return nil, fmt.Errorf("%q is not a file of credentials", path) // without a quote from it
		}
		if auth, err := file.find(ctx, target); auth != nil || err != nil {
			return auth, err
		}
	}
	return authn.Anonymous, nil
}

func authFiles() (paths []string) {
	if path := os.Getenv("REGISTRY_AUTH_FILE"); path != "" {
		return []string{path}
	}
	add := func(elem ...string) { paths = append(paths, filepath.Join(append(elem, "containers", "auth.json")...)) }
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		add(dir)
	} else {
		paths = append(paths, filepath.Join("/run/containers", strconv.Itoa(os.Getuid()), "auth.json"))
	}
	if dir := os.Getenv("XDG_CONFIG_HOME"); dir != "" {
		add(dir)
	} else if home, err := os.UserHomeDir(); err == nil {
		add(home, ".config")
	}
	return paths
}

// find looks for the repository, the folders above it, and its host.
func (f authFile) find(ctx context.Context, target authn.Resource) (authn.Authenticator, error) {
	host, key := target.RegistryStr(), target.String()
	if host == name.DefaultRegistry {
		host, key = "docker.io", "docker.io"+strings.TrimPrefix(key, host)
	}
	for ; ; key = key[:strings.LastIndexByte(key, '/')] {
		if entry, ok := f.Auths[key]; ok {
			return decode(entry.Auth, entry.IdentityToken)
		}
		if !strings.Contains(key, "/") {
			break
		}
	}
	if helper := f.CredHelpers[host]; helper != "" {
		return ask(ctx, helper, host)
	}
	return nil, nil
}

func decode(auth, token string) (authn.Authenticator, error) {
	raw, err := base64.StdEncoding.DecodeString(auth)
	user, password, ok := strings.Cut(string(raw), ":")
	if err != nil || !ok {
		return nil, errors.New("stored credentials are not of the form user:password in base64")
	}
	return authn.FromConfig(authn.AuthConfig{Username: user, Password: strings.TrimRight(password, "\x00"), IdentityToken: token}), nil
}

// ask runs a credential helper, which answers for a host on its standard input.
func ask(ctx context.Context, helper, host string) (authn.Authenticator, error) {
	if strings.ContainsAny(helper, `/\`) {
		return nil, fmt.Errorf("credential helper %q is not a name", helper)
	}
	cmd := exec.CommandContext(ctx, "docker-credential-"+helper, "get")
	cmd.Stdin = strings.NewReader(host)
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) && bytes.Contains(out.Bytes(), []byte("not found")) {
			return authn.Anonymous, nil
		}
		return nil, fmt.Errorf("credential helper %q: %w", helper, err)
	}
	var answer struct{ Username, Secret string }
	if err := json.Unmarshal(out.Bytes(), &answer); err != nil {
		return nil, fmt.Errorf("credential helper %q gave no credentials", helper)
	}
	if answer.Username == "<token>" {
		return authn.FromConfig(authn.AuthConfig{IdentityToken: answer.Secret}), nil
	}
	return authn.FromConfig(authn.AuthConfig{Username: answer.Username, Password: answer.Secret}), nil
}
