package registry

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"airgap/bundle/image"
	"airgap/bundle/store/storetest"
)

// canary is a password that must appear nowhere.
const canary = "s3cret-canary"

// wantNoSecret fails the test if an error tells a password.
func wantNoSecret(t *testing.T, err error) {
	t.Helper()
	text := fmt.Sprintf("%v %+v %#v", err, err, err)
	for _, secret := range []string{canary, base64.StdEncoding.EncodeToString([]byte("user:" + canary)), "signature"} {
		if strings.Contains(text, secret) {
			t.Errorf("the error tells %q: %s", secret, text)
		}
	}
}

// dockerLogin stores credentials as `docker login` does.
func dockerLogin(t *testing.T, host, user, password string) {
	t.Helper()
	auth := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	writeConfig(t, "DOCKER_CONFIG", "config.json", map[string]any{"auths": map[string]any{host: map[string]any{"auth": auth}}})
}

func writeConfig(t *testing.T, variable, name string, content any) {
	t.Helper()
	raw, err := json.Marshal(content)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(os.Getenv(variable), name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, raw, 0o600)); err != nil {
		t.Fatal(err)
	}
}

// requireLogin makes a registry ask for user and canary.
func (o *one) requireLogin() {
	o.hook(func(w http.ResponseWriter, req *http.Request) bool {
		user, password, _ := req.BasicAuth()
		if user == "user" && password == canary {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"who are you?"}]}`, http.StatusUnauthorized)
		return true
	})
}

func TestLogin(t *testing.T) {
	for what, c := range map[string]struct {
		login func(t *testing.T, host string)
		fails bool
	}{
		"none":  {func(*testing.T, string) {}, true},
		"wrong": {func(t *testing.T, host string) { dockerLogin(t, host, "user", canary+"x") }, true},
		"right": {func(t *testing.T, host string) { dockerLogin(t, host, "user", canary) }, false},
		"podman's": {func(t *testing.T, host string) {
			dockerLogin(t, "other.example", "user", "x")
			podmanLogin(t, host+"/airgap-test")
		}, false},
		"podman's for another repository": {func(t *testing.T, host string) {
			dockerLogin(t, "other.example", "user", "x")
			podmanLogin(t, host+"/airgap")
		}, true},
		"podman's helper": {podmanHelper, false},
		"docker's helper": {dockerHelper, false},
	} {
		t.Run(what, func(t *testing.T) {
			o := startOne(t)
			o.requireLogin()
			r := open(t, Options{})
			c.login(t, o.host)
			set, err := r.Open(t.Context(), []string{o.name}, image.Platforms{})
			wantNoSecret(t, err)
			if c.fails {
				wantKind(t, err, Unauthorized)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := read(t.Context(), set, o.layer()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestBrokenCredentials is no fault of the registry.
func TestBrokenCredentials(t *testing.T) {
	for what, spoil := range map[string]func(t *testing.T, host string){
		"Docker's file": func(t *testing.T, _ string) { writeConfig(t, "DOCKER_CONFIG", "config.json", canary) },
		"Docker's helper": func(t *testing.T, host string) {
			writeConfig(t, "DOCKER_CONFIG", "config.json", map[string]any{"credHelpers": map[string]string{host: "none-of-that-name"}})
		},
		"podman's file": func(t *testing.T, _ string) {
			dockerLogin(t, "other.example", "user", "x")
			writeConfig(t, "XDG_RUNTIME_DIR", "containers/auth.json", canary)
		},
		"podman's helper": func(t *testing.T, host string) {
			dockerLogin(t, "other.example", "user", "x")
			writeConfig(t, "XDG_RUNTIME_DIR", "containers/auth.json", map[string]any{"credHelpers": map[string]string{host: "none-of-that-name"}})
		},
	} {
		t.Run(what, func(t *testing.T) {
			o := startOne(t)
			r := open(t, Options{})
			spoil(t, o.host)
			_, err := r.Open(t.Context(), []string{o.name}, image.Platforms{})
			wantKind(t, err, Credentials)
			wantNoSecret(t, err)
		})
	}
}

func podmanLogin(t *testing.T, key string) {
	auth := base64.StdEncoding.EncodeToString([]byte("user:" + canary))
	writeConfig(t, "XDG_RUNTIME_DIR", "containers/auth.json", map[string]any{"auths": map[string]any{key: map[string]any{"auth": auth}}})
}

func dockerHelper(t *testing.T, host string) {
	installHelper(t)
	writeConfig(t, "DOCKER_CONFIG", "config.json", map[string]any{"credHelpers": map[string]string{host: "airgaptest"}})
}

func podmanHelper(t *testing.T, host string) {
	installHelper(t)
	dockerLogin(t, "other.example", "user", "x")
	writeConfig(t, "XDG_CONFIG_HOME", "containers/auth.json", map[string]any{"credHelpers": map[string]string{host: "airgaptest"}})
}

// installHelper puts a credential helper on the PATH.
func installHelper(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the helper is a shell script")
	}
	dir := t.TempDir()
	script := "#!/bin/sh\nread host\necho '{\"ServerURL\":\"x\",\"Username\":\"user\",\"Secret\":\"" + canary + "\"}'\n"
	if err := os.WriteFile(filepath.Join(dir, "docker-credential-airgaptest"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
}

// TestToken logs in at a token service, as Docker Hub wants it.
func TestToken(t *testing.T) {
	o := startOne(t)
	const token = "token-for-one"
	var scopes []string
	o.hook(func(w http.ResponseWriter, req *http.Request) bool {
		if req.URL.Path == "/token" {
			user, password, _ := req.BasicAuth()
			scopes = append(scopes, req.URL.Query().Get("scope"))
			if user != "user" || password != canary {
				w.WriteHeader(http.StatusUnauthorized)
				return true
			}
			fmt.Fprintf(w, `{"token":%q}`, token)
			return true
		}
		if req.Header.Get("Authorization") == "Bearer "+token {
			return false
		}
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="test"`, o.host))
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
	r := open(t, Options{})
	_, err := r.Open(t.Context(), []string{o.name}, image.Platforms{})
	wantKind(t, err, Unauthorized)

	dockerLogin(t, o.host, "user", canary)
	scopes = nil
	set := o.open(t, r)
	for _, l := range o.g.Layers() {
		if _, err := read(t.Context(), set, l); err != nil {
			t.Error(err)
		}
	}
	if len(scopes) != 1 || scopes[0] != "repository:airgap-test/single:pull" {
		t.Errorf("tokens asked for: %q, want one", scopes)
	}
}

// TestTokenElsewhere has tokens from another port of the same address, as GitLab and
// others without a name have it.
func TestTokenElsewhere(t *testing.T) {
	o := startOne(t)
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if user, password, _ := req.BasicAuth(); user != "user" || password != canary || strings.Contains(req.Host, "invalid") {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, `{"token":"token-for-one"}`)
	}))
	t.Cleanup(tokens.Close)
	o.hook(func(w http.ResponseWriter, req *http.Request) bool {
		if req.Header.Get("Authorization") == "Bearer token-for-one" {
			return false
		}
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/token",service="test"`, tokens.URL))
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
	r := open(t, Options{})
	dockerLogin(t, o.host, "user", canary)
	set := o.open(t, r)
	for _, l := range o.g.Layers() {
		if _, err := read(t.Context(), set, l); err != nil {
			t.Error(err)
		}
	}
}

// TestRealms are those addresses that go-containerregistry would refuse.
func TestRealms(t *testing.T) {
	for _, c := range []struct {
		registry, realm string
		passes          bool
	}{
		{"http://10.0.0.1:5000", "http://10.0.0.1:5001/token?a=b", true},
		{"http://10.0.0.1:5000", "http://10.0.0.1/token", true},
		{"http://10.0.0.1:5000", "https://[fd00::1]:5001/token", true},
		{"http://10.0.0.1:5000", "https://[fd00::1]/token", true},
		{"http://example.com", "http://10.0.0.1:5001/token", false},
		{"http://example.com", "http://169.254.169.254/latest", false},
	} {
		var asked string
		r := open(t, Options{})
		base := transportFunc(func(req *http.Request) (*http.Response, error) {
			asked = req.URL.String()
			return &http.Response{Header: http.Header{"Www-Authenticate": {fmt.Sprintf(`Bearer realm=%q,service="x"`, c.realm)}}, Body: http.NoBody}, nil
		})
		ask := func(url string) string {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := realms{base, r}.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			return realm.FindStringSubmatch(resp.Header.Get("Www-Authenticate"))[1]
		}
		at := ask(c.registry)
		if passes := strings.Contains(at, veil); passes != c.passes {
			t.Errorf("%s leads to %s as %s", c.registry, c.realm, at)
		}
		if ask(at); asked != c.realm {
			t.Errorf("%s stands for %s, and %s was asked", at, c.realm, asked)
		}
	}
}

type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// TestRealLogin has the real registry check passwords.
func TestRealLogin(t *testing.T) {
	program, err := exec.LookPath("docker-registry")
	storetest.Require(t, "docker-registry", err == nil, fmt.Sprint(err))
	hash, err := bcrypt.GenerateFromPassword([]byte(canary), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	passwords := filepath.Join(dir, "htpasswd")
	if err := os.WriteFile(passwords, append([]byte("user:"), hash...), 0o600); err != nil {
		t.Fatal(err)
	}
	host := serve(t, program, dir, fmt.Sprintf("auth: {htpasswd: {realm: test, path: %q}}", passwords))
	f := storetest.NewFixture(t, "single manifest", "real")
	push(t, &http.Client{Transport: withPassword{}}, "http://"+host, f)

	for _, password := range []string{"", canary + "x"} {
		r := open(t, Options{})
		if password != "" {
			dockerLogin(t, host, "user", password)
		}
		_, err := r.Open(t.Context(), []string{at(host)(f.Names[0])}, image.Platforms{})
		wantKind(t, err, Unauthorized)
		wantNoSecret(t, err)
	}
	r := open(t, Options{})
	dockerLogin(t, host, "user", canary)
	if _, err := r.Open(t.Context(), []string{at(host)(f.Names[0])}, image.Platforms{}); err != nil {
		t.Error(err)
	}
}

type withPassword struct{}

func (withPassword) RoundTrip(req *http.Request) (*http.Response, error) {
	req.SetBasicAuth("user", canary)
	return http.DefaultTransport.RoundTrip(req)
}

// startTLS serves the registry of o over TLS with a certificate of its own.
func (o *one) startTLS(t *testing.T) (host, caFile string) {
	t.Helper()
	server := httptest.NewUnstartedServer(o.meddler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that fail on purpose
	server.StartTLS()
	t.Cleanup(server.Close)
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(caFile, block, 0o600); err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(server.URL, "https://"), caFile
}

// redial sends all connections to one address, whatever host they are for.
func redial(r *Registry, addr string) {
	r.base.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
}

func TestPrivateCA(t *testing.T) {
	o := startOne(t)
	addr, caFile := o.startTLS(t)
	name := "example.com/" + strings.SplitN(o.name, "/", 2)[1] // a name of httptest's certificate

	r := open(t, Options{CAFile: caFile})
	redial(r, addr)
	set, err := r.Open(t.Context(), []string{name}, image.Platforms{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := read(t.Context(), set, o.layer()); err != nil {
		t.Error(err)
	}

	r = open(t, Options{})
	redial(r, addr)
	waited := pauses(r)
	_, err = r.Open(t.Context(), []string{name}, image.Platforms{})
	wantKind(t, err, Unreachable)
	var unknown x509.UnknownAuthorityError
	if !errors.As(err, &unknown) || len(*waited) > 0 {
		t.Errorf("error %v after %d pauses, want one about the authority at once", err, len(*waited))
	}

	// On the loopback interface HTTP is tried as well, and the error is still
	// that of the certificate.
	_, err = open(t, Options{}).Open(t.Context(), []string{addr + "/x:1"}, image.Platforms{})
	if wantKind(t, err, Unreachable); !errors.As(err, &unknown) {
		t.Errorf("error %v, want one about the authority", err)
	}
}

func TestBadCAFile(t *testing.T) {
	if _, err := Open(Options{CAFile: filepath.Join(t.TempDir(), "absent.pem")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	empty := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(empty, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{CAFile: empty}); err == nil || !strings.Contains(err.Error(), empty) {
		t.Errorf("error %v", err)
	}
}

// TestPlainHTTP lets nobody speak HTTP who is not on the list, ggcr's idea of
// private networks notwithstanding.
func TestPlainHTTP(t *testing.T) {
	o := startOne(t)
	image1 := strings.SplitN(o.name, "/", 2)[1]
	for _, host := range []string{"registry.example:5000", "10.1.2.3:5000", "192.168.7.7", "registry.localhost:5000"} {
		r := open(t, Options{})
		redial(r, o.host)
		_, err := r.Open(t.Context(), []string{host + "/" + image1}, image.Platforms{})
		if wantKind(t, err, Unreachable); !errors.Is(err, http.ErrSchemeMismatch) {
			t.Errorf("%s: error %v, want ErrSchemeMismatch", host, err)
		}
		if got := o.requests(); len(got) > 0 {
			t.Errorf("%s: plain requests %q", host, got)
		}
		bare, _, _ := strings.Cut(host, ":")
		for _, listed := range []string{host, bare, strings.ToUpper(host)} {
			r = open(t, Options{PlainHTTP: []string{listed}})
			redial(r, o.host)
			if _, err := r.Open(t.Context(), []string{host + "/" + image1}, image.Platforms{}); err != nil {
				t.Errorf("%s is listed as %s: %v", host, listed, err)
			}
		}
		o.requests()
	}
}

func TestLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "localhost:5000": true, "127.0.0.1": true, "127.8.8.8:443": true, "[::1]:5000": true, "[::1]": true,
		"localhost.example": false, "127.example": false, "10.0.0.1:5000": false, "[fe80::1]:5000": false, "": false,
	} {
		if got := (plainHosts{}).allow(host); got != want {
			t.Errorf("%q: %t, want %t", host, got, want)
		}
	}
}

// TestRedirect sends a blob's reader elsewhere: without credentials, and with
// an address that is not repeated.
func TestRedirect(t *testing.T) {
	o := startOne(t)
	var mu sync.Mutex
	var seen []string
	fail := false
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, req.Header.Get("Authorization"))
		if fail {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		w.Write(o.f.Images.Bytes(o.layer().Digest))
	}))
	defer elsewhere.Close()
	o.requireLogin()
	o.onBlob(o.layer().Digest, func(w http.ResponseWriter, req *http.Request) bool {
		http.Redirect(w, req, elsewhere.URL+"/blob?signature="+canary, http.StatusTemporaryRedirect)
		return true
	})
	r := open(t, Options{})
	dockerLogin(t, o.host, "user", canary)
	set := o.open(t, r)
	if _, err := read(t.Context(), set, o.layer()); err != nil {
		t.Error(err)
	}
	mu.Lock()
	if len(seen) != 1 || seen[0] != "" {
		t.Errorf("the other host saw %q", seen)
	}
	fail = true
	mu.Unlock()
	_, err := read(t.Context(), set, o.layer())
	wantKind(t, err, Unauthorized)
	wantNoSecret(t, err)
	elsewhere.Close()
	_, err = read(t.Context(), set, o.layer())
	wantKind(t, err, Unreachable)
	wantNoSecret(t, err)
}

func TestCheckRedirect(t *testing.T) {
	r := open(t, Options{PlainHTTP: []string{"10.0.0.9:9000"}})
	for _, c := range []struct {
		from, to string
		fine     bool
	}{
		{"https://registry.example/v2/", "https://cdn.example/x", true},
		{"https://registry.example/v2/", "https://registry.example/x", true},
		{"https://registry.example/v2/", "http://169.254.169.254/latest/meta-data", false},
		{"https://registry.example/v2/", "https://10.0.0.8/x", false},
		{"https://registry.example/v2/", "http://10.0.0.9:9000/x", true},
		{"https://registry.example/v2/", "http://127.0.0.1/x", false},
		{"https://registry.example/v2/", "http://127.1/x", false},
		{"https://registry.example/v2/", "http://0x7f000001/x", false},
		{"https://registry.example/v2/", "http://2130706433/x", false},
		{"https://registry.example/v2/", "http://localhost/x", false},
		{"https://registry.example/v2/", "http://[::ffff:127.0.0.1]/x", false},
		{"http://10.0.0.1/v2/", "https://10.0.0.2/x", true},
		{"http://127.0.0.1:5000/v2/", "http://127.0.0.1:6000/x", true},
	} {
		request := func(s string) *http.Request {
			u, err := url.Parse(s)
			if err != nil {
				t.Fatal(err)
			}
			return &http.Request{URL: u}
		}
		if err := r.checkRedirect(request(c.to), []*http.Request{request(c.from)}); (err == nil) != c.fine {
			t.Errorf("%s to %s: %v", c.from, c.to, err)
		}
	}
}

// TestProxy runs itself with a proxy in the environment, which net/http reads
// only once per process.
func TestProxy(t *testing.T) {
	if host := os.Getenv("AIRGAP_TEST_THROUGH_PROXY"); host != "" {
		r := open(t, Options{PlainHTTP: []string{host}})
		if _, err := r.Open(t.Context(), []string{host + "/airgap-test/single:one"}, image.Platforms{}); err != nil {
			t.Error(err)
		}
		return
	}
	o := startOne(t) // takes requests for any host, as a proxy gets them
	o.hook(func(w http.ResponseWriter, req *http.Request) bool {
		if req.Method == http.MethodConnect {
			w.WriteHeader(http.StatusBadGateway)
		}
		return req.Method == http.MethodConnect
	})
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProxy$", "-test.v")
	cmd.Env = append(os.Environ(), "AIRGAP_TEST_THROUGH_PROXY=registry.invalid:80", "HTTP_PROXY=http://"+o.host, "HTTPS_PROXY=http://"+o.host)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if got := o.requests(); len(got) == 0 {
		t.Error("the proxy saw nothing")
	}
}
