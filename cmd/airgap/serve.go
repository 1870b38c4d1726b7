package main

import (
	"context"
	"crypto/tls"
	"errors"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/net/netutil"

	"airgap/bundle/image"
	"airgap/bundle/serve"
	"airgap/cmd/airgap/internal/ui"
	"airgap/verify"
)

// serveOptions are serve's flags.
type serveOptions struct {
	addr, tlsCert, tlsKey, htpasswd string
}

func newServe() *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:   "serve [BUNDLE…]",
		Short: "show bundles as a read-only registry",
		Long: `Serve proves bundles and then answers as a registry that holds their images, so
that docker, podman, containerd and Kubernetes nodes of an isolated network can
pull from one host. Nothing is unpacked: layers are sought out in the file and
have the digests that they had where the images came from. Ctrl-C ends it.

docker.io/library/postgres:15 is pulled as ADDR/library/postgres:15, as mirrors
of docker.io are asked, or as ADDR/postgres:15; any image also by its full name,
as ADDR/quay.io/team/app:v1. It is HTTP unless a certificate is given; Docker
and podman accept that from this host alone unless they are told otherwise.`,
		Example: `  airgap serve
  airgap serve --addr :5000 --tls-cert host.pem --tls-key host.key --htpasswd users bundle.tar.zst
  docker pull 127.0.0.1:5000/postgres:15-alpine`,
		Args:        cobra.ArbitraryArgs,
		Annotations: statuses(ui.Damaged, ui.Refused, ui.Medium),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (o.tlsCert == "") != (o.tlsKey == "") {
				return usage(cmd, "--tls-cert and --tls-key belong together")
			}
			if len(args) == 0 {
				args = []string{defaultBundle}
			}
			return runServe(cmd.Context(), ui.From(cmd.Context()), o, args)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.addr, "addr", "127.0.0.1:5000", "listen on `HOST:PORT`; port 0 for one that is free")
	flags.StringVar(&o.tlsCert, "tls-cert", "", "serve HTTPS with the certificate in `FILE`")
	flags.StringVar(&o.tlsKey, "tls-key", "", "the certificate's key is in `FILE`")
	flags.StringVar(&o.htpasswd, "htpasswd", "", "let in only those that `FILE` lists, as htpasswd -B makes it")
	return cmd
}

// runServe is the whole of `airgap serve`.
func runServe(ctx context.Context, env *ui.Env, o serveOptions, names []string) error {
	// What is wrong with the address or the flags is said before the minutes
	// that proving takes. Who connects meanwhile waits for an answer.
	l, err := net.Listen("tcp", o.addr)
	if err != nil {
		return err
	}
	defer l.Close()
	protect, err := o.protection()
	if err != nil {
		return err
	}
	server, scheme, err := o.server()
	if err != nil {
		return err
	}
	if o.htpasswd != "" && scheme == "http" && !isLoopback(l.Addr()) {
		env.Warn("names and passwords travel unencrypted: --tls-cert and --tls-key change that")
	}
	images, closeAll, err := openServed(ctx, env, names)
	defer closeAll()
	if err != nil {
		return err
	}
	registry, conflicts, err := serve.New(images, serve.Events{
		Asked:  env.Detail,
		Broken: func(d image.Descriptor, err error) { env.Warn("blob %s was not sent to its end: %v", d.Digest, err) },
	})
	if err != nil {
		return err
	}
	for _, c := range conflicts {
		env.Warn("two images want the name %s: it is %s; %s goes by its full name only", c.Name, c.Served, c.Not)
	}
	server.Handler = protect(registry)
	if err := env.Report("serving", newServeAnswer(scheme, l.Addr(), images)); err != nil {
		return err
	}
	return o.serve(ctx, env, server, netutil.LimitListener(l, maxConnections))
}

// maxConnections are served at once; more wait to be accepted. A node that pulls
// has three or four.
const maxConnections = 512

func isLoopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// openServed opens and proves the bundles.
func openServed(ctx context.Context, env *ui.Env, names []string) (images []serve.Image, closeAll func(), err error) {
	var open []*bundleFile
	closeAll = func() {
		for _, b := range open {
			b.Close()
		}
	}
	for _, name := range names {
		b, err := openBundle(ctx, env, name)
		if err != nil {
			return nil, closeAll, err
		}
		open = append(open, b)
		docs, err := verify.Read(ctx, b.Bundle)
		if err != nil {
			return nil, closeAll, named(name, err)
		}
		verified, _, err := check(ctx, env, b, docs, verify.Full)
		b.noteRebuilt(env)
		if err != nil {
			return nil, closeAll, named(name, err)
		}
		for _, img := range verified.Images() {
			repositories, err := repositoriesOf(img, verified.Images())
			if err != nil {
				return nil, closeAll, err
			}
			if len(img.Names)+len(repositories) == 0 {
				env.Warn("%s has no name and is not served", img.Label())
				continue
			}
			images = append(images, serve.Image{Names: img.Names, Repositories: repositories, Graph: img.Graph, From: verified})
		}
	}
	return images, closeAll, nil
}

// repositoriesOf are those of the images that one is a referrer of.
func repositoriesOf(img verify.Image, all []verify.Image) ([]string, error) {
	var list []string
	for _, owner := range img.Of {
		for _, name := range all[owner].Names {
			repository, err := image.Beside(name, "")
			if err != nil {
				return nil, err
			}
			list = append(list, repository)
		}
	}
	return list, nil
}

// protection is what stands before a registry: nothing, or a list of those who
// may come in.
func (o serveOptions) protection() (func(http.Handler) http.Handler, error) {
	if o.htpasswd == "" {
		return func(next http.Handler) http.Handler { return next }, nil
	}
	f, err := os.Open(o.htpasswd)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	users, err := serve.ReadUsers(f)
	if err != nil {
		return nil, named(o.htpasswd, err)
	}
	return users.Protect, nil
}

// server is the HTTP server, without a handler yet.
func (o serveOptions) server() (server *http.Server, scheme string, err error) {
	server = &http.Server{MaxHeaderBytes: serve.MaxHeader, ReadHeaderTimeout: 10 * time.Second, WriteTimeout: serve.MaxStall, IdleTimeout: 2 * time.Minute}
	if o.tlsCert == "" {
		return server, "http", nil
	}
	pair, err := tls.LoadX509KeyPair(o.tlsCert, o.tlsKey)
	server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}}
	return server, "https", err
}

// serve answers until the context ends. Transfers get a little time to finish.
func (o serveOptions) serve(ctx context.Context, env *ui.Env, server *http.Server, l net.Listener) error {
	server.ErrorLog = log.New(detailWriter{env}, "", 0)
	stopped := make(chan error, 1)
	defer context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err := server.Shutdown(grace)
		if errors.Is(err, context.DeadlineExceeded) {
			env.Note("transfers were broken off")
			err = server.Close()
		}
		stopped <- err
	})()
	run := server.Serve
	if server.TLSConfig != nil {
		run = func(l net.Listener) error { return server.ServeTLS(l, "", "") }
	}
	if err := run(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}

// detailWriter is where the HTTP server's own messages go.
type detailWriter struct{ env *ui.Env }

func (w detailWriter) Write(p []byte) (int, error) {
	w.env.Detail("%s", strings.TrimSpace(string(p)))
	return len(p), nil
}

// serveAnswer says what can be pulled, and from where.
type serveAnswer struct {
	Command string        `json:"command"`
	URL     string        `json:"url"`
	Images  []servedImage `json:"images"`
}

type servedImage struct {
	Name      string       `json:"name"` // to pull it by
	Digest    image.Digest `json:"digest"`
	Platforms []string     `json:"platforms"`
}

func newServeAnswer(scheme string, addr net.Addr, images []serve.Image) serveAnswer {
	a := serveAnswer{Command: "serve", URL: scheme + "://" + addr.String()}
	for _, img := range images {
		var platforms []string
		for _, p := range img.Graph.Platforms() {
			platforms = append(platforms, p.String())
		}
		for _, name := range img.Names {
			// What is short for people is short for the registry too.
			host, _, _, err := image.SplitName(name)
			if err != nil {
				continue // names in a bundle are normalised
			}
			path := strings.TrimPrefix(name, host+"/")
			if host == "docker.io" {
				path = strings.TrimPrefix(path, "library/")
			}
			a.Images = append(a.Images, servedImage{addr.String() + "/" + path, img.Graph.Root.Desc.Digest, platforms})
		}
	}
	return a
}

// Text prints a table and how to end it.
func (a serveAnswer) Text(p *ui.Printer) {
	var rows [][]string
	for _, img := range a.Images {
		rows = append(rows, []string{img.Name, strings.Join(img.Platforms, " "), img.Digest.String()})
	}
	p.Table([]string{"IMAGE", "PLATFORMS", "DIGEST"}, rows)
	p.Line("serving on %s; Ctrl-C ends it", a.URL)
}
