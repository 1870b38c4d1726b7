// Package containerd is containerd as a place that images go to: on the nodes
// of Kubernetes and k3s, and under nerdctl. It is the only door to containerd's
// own libraries. Its whole client is left alone: it would weigh three megabytes
// more than the services that are needed here.
//
// Content is written under a lease, so that no garbage collection takes it
// before its names are set; an import that is given up deletes the lease, and
// what nothing else needs goes with it. Images keep their index, manifest and
// layers byte for byte, and are unpacked for the platform of this machine.
//
// Errors: a missing platform is an *image.PlatformError, an image without a
// name wraps image.ErrUnnamed, everything that containerd is to blame for is an
// [*Error].
package containerd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"runtime"
	"strings"

	diffapi "github.com/containerd/containerd/api/services/diff/v1"
	imagesapi "github.com/containerd/containerd/api/services/images/v1"
	leasesapi "github.com/containerd/containerd/api/services/leases/v1"
	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/v2/core/content"
	contentproxy "github.com/containerd/containerd/v2/core/content/proxy"
	"github.com/containerd/containerd/v2/core/diff"
	diffproxy "github.com/containerd/containerd/v2/core/diff/proxy"
	"github.com/containerd/containerd/v2/core/leases"
	leasesproxy "github.com/containerd/containerd/v2/core/leases/proxy"
	"github.com/containerd/containerd/v2/core/snapshots"
	snapshotsproxy "github.com/containerd/containerd/v2/core/snapshots/proxy"
	"github.com/containerd/containerd/v2/defaults"
	"github.com/containerd/containerd/v2/pkg/dialer"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"airgap/bundle/image"
)

// DefaultNamespace is where Kubernetes has its images.
const DefaultNamespace = "k8s.io"

// Options say which containerd.
type Options struct {
	// Address of the socket. Empty: $CONTAINERD_ADDRESS, else the first of the
	// usual places that is there, k3s's among them.
	Address string
	// Namespace. Empty: $CONTAINERD_NAMESPACE, else DefaultNamespace.
	Namespace string
}

// Containerd is an image.Sink.
type Containerd struct {
	conn        *grpc.ClientConn
	address     string
	namespace   string
	snapshotter string
	platform    image.Platform

	content   content.Store
	images    imagesapi.ImagesClient
	leases    leases.Manager
	snapshots snapshots.Snapshotter
	diffs     diff.Applier
}

// usual are the places at which containerd listens.
var usual = []string{
	defaults.DefaultAddress,
	"/run/k3s/containerd/containerd.sock",
	"/var/snap/microk8s/common/run/containerd.sock",
}

// Open connects to containerd.
func Open(ctx context.Context, o Options) (*Containerd, error) {
	c := &Containerd{
		address:     address(o.Address, os.Getenv, exists),
		namespace:   cmp.Or(o.Namespace, os.Getenv("CONTAINERD_NAMESPACE"), DefaultNamespace),
		snapshotter: cmp.Or(os.Getenv("CONTAINERD_SNAPSHOTTER"), defaults.DefaultSnapshotter),
		platform:    image.HostPlatform(),
	}
	if runtime.GOOS != "windows" { // gRPC would try for a long time and say less
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", c.address)
		if err != nil {
			return nil, &Error{c.address, "connecting", kindOf(err, Unreachable), err}
		}
		conn.Close()
	}
	err := c.connect()
	if err == nil {
		_, err = c.find(c.in(ctx), "target.digest==none")
	}
	if err != nil {
		return nil, errors.Join(&Error{c.address, "connecting", kindOf(err, Unreachable), err}, c.Close())
	}
	return c, nil
}

// Address says which containerd it is: its socket.
func (c *Containerd) Address() string { return c.address }

func (c *Containerd) connect() (err error) {
	c.conn, err = grpc.NewClient(dialer.DialAddress(c.address), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(dialer.ContextDialer),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(defaults.DefaultMaxRecvMsgSize), grpc.MaxCallSendMsgSize(defaults.DefaultMaxSendMsgSize)))
	if err != nil {
		return err
	}
	c.content = contentproxy.NewContentStore(c.conn)
	c.images = imagesapi.NewImagesClient(c.conn)
	c.leases = leasesproxy.NewLeaseManager(leasesapi.NewLeasesClient(c.conn))
	c.snapshots = snapshotsproxy.NewSnapshotter(snapshotsapi.NewSnapshotsClient(c.conn), c.snapshotter)
	c.diffs = diffproxy.NewDiffApplier(diffapi.NewDiffClient(c.conn)).(diff.Applier)
	return nil
}

// in is a context for requests about the namespace.
func (c *Containerd) in(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, c.namespace)
}

func address(given string, getenv func(string) string, exists func(string) bool) string {
	if given == "" {
		given = getenv("CONTAINERD_ADDRESS")
	}
	if given != "" {
		return strings.TrimPrefix(given, "unix://")
	}
	for _, path := range usual {
		if exists(path) {
			return path
		}
	}
	return usual[0]
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Close ends the connection.
func (c *Containerd) Close() error {
	if c.conn == nil {
		return nil
	}
	return c.conn.Close()
}

// Platform is the one that images are unpacked for.
func (c *Containerd) Platform() image.Platform { return c.platform }

// Kind says what a caller can do about an [Error].
type Kind int

const (
	Failed      Kind = iota // it refused, or broke off
	Unreachable             // nothing answers
	Permission              // it is there, but not for this user
	Mismatch                // what it holds is not what it was given
	NoSpace                 // its disk is full
)

// Error is what containerd, or the way to it, is to blame for.
type Error struct {
	Address string
	Op      string // what was being done
	Kind    Kind
	Err     error
}

func (e *Error) Error() string {
	return fmt.Sprintf("containerd at %s: %s: %v", e.Address, e.Op, e.Err)
}
func (e *Error) Unwrap() error { return e.Err }

// explain sorts an error of the client. Errors of ours that come back through
// it stay what they are.
func (c *Containerd) explain(op string, err error) error {
	var known *Error
	var wrong *image.DigestError
	switch {
	case err == nil, errors.As(err, &known), errors.As(err, &wrong):
		return err
	case errdefs.IsNotFound(err):
		return fmt.Errorf("containerd at %s: %s: %w", c.address, op, image.ErrNotFound)
	}
	return &Error{c.address, op, kindOf(err, Failed), err}
}

func kindOf(err error, other Kind) Kind {
	text := err.Error()
	switch {
	case errors.Is(err, fs.ErrPermission), strings.Contains(text, "permission denied"):
		return Permission
	case strings.Contains(text, "no space left on device"):
		return NoSpace
	case errdefs.IsUnavailable(err):
		return Unreachable
	}
	return other
}

// descriptor is ours in containerd's words.
func descriptor(d image.Descriptor) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: string(d.MediaType), Digest: digest.Digest(d.Digest.String()), Size: d.Size}
}

// has says whether a blob is in the namespace, and its file on the disk: the
// namespace alone does not know when that is gone.
func (c *Containerd) has(ctx context.Context, d image.Descriptor) (bool, error) {
	info, err := c.content.Info(ctx, digest.Digest(d.Digest.String()))
	if err == nil && info.Size == d.Size && d.Size > 0 {
		err = c.readLast(ctx, d)
	}
	if errdefs.IsNotFound(err) || errdefs.IsOutOfRange(err) {
		return false, nil
	}
	if err != nil {
		return false, c.explain("looking for "+d.Digest.String(), err)
	}
	return info.Size == d.Size, nil
}

// readLast reads the last byte of a blob.
func (c *Containerd) readLast(ctx context.Context, d image.Descriptor) error {
	r, err := c.content.ReaderAt(ctx, descriptor(d))
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = r.ReadAt(make([]byte, 1), d.Size-1)
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// put writes a blob under the lease of the context.
func (c *Containerd) put(ctx context.Context, from image.Fetcher, d image.Descriptor) error {
	op := "writing " + d.Digest.String()
	open := func() (content.Writer, error) {
		return content.OpenWriter(ctx, c.content, content.WithRef("airgap-"+d.Digest.String()), content.WithDescriptor(descriptor(d)))
	}
	w, err := open()
	if errdefs.IsAlreadyExists(err) {
		if there, err := c.has(ctx, d); there || err != nil {
			return err // now it is of the lease too
		}
		if err := c.content.Delete(ctx, digest.Digest(d.Digest.String())); err != nil { // what is known of a file that is gone
			return c.explain(op, err)
		}
		w, err = open()
	}
	if err != nil {
		return c.explain(op, err)
	}
	defer w.Close()
	blob, err := from.Fetch(ctx, d)
	if err != nil {
		return err
	}
	blob = image.NewReader(blob, d)
	defer blob.Close()
	own := &ownError{Reader: blob}
	err = content.Copy(ctx, w, own, d.Size, digest.Digest(d.Digest.String()))
	if own.err != nil {
		return own.err
	}
	return c.explain(op, err)
}

// find lists the names that a filter chooses, with what they point to.
func (c *Containerd) find(ctx context.Context, filter string) (map[string]image.Digest, error) {
	list, err := c.images.List(ctx, &imagesapi.ListImagesRequest{Filters: []string{filter}})
	if err != nil {
		return nil, errgrpc.ToNative(err)
	}
	found := map[string]image.Digest{}
	for _, i := range list.Images {
		found[i.Name] = targetOf(i)
	}
	return found, nil
}

// tagged is what a name points to; the zero Digest for nothing.
func (c *Containerd) tagged(ctx context.Context, name string) (image.Digest, error) {
	got, err := c.images.Get(ctx, &imagesapi.GetImageRequest{Name: name})
	switch err = errgrpc.ToNative(err); {
	case errdefs.IsNotFound(err):
		return image.Digest{}, nil
	case err != nil:
		return image.Digest{}, err
	}
	return targetOf(got.Image), nil
}

func targetOf(i *imagesapi.Image) image.Digest {
	algorithm, hex, _ := strings.Cut(i.Target.Digest, ":")
	return image.Digest{Algorithm: algorithm, Hex: hex}
}

// name makes a name point to an image.
func (c *Containerd) name(ctx context.Context, name string, d image.Descriptor) error {
	target := &types.Descriptor{MediaType: string(d.MediaType), Digest: d.Digest.String(), Size: d.Size}
	_, err := c.images.Create(ctx, &imagesapi.CreateImageRequest{Image: &imagesapi.Image{Name: name, Target: target}})
	if err = errgrpc.ToNative(err); !errdefs.IsAlreadyExists(err) {
		return err
	}
	_, err = c.images.Update(ctx, &imagesapi.UpdateImageRequest{
		Image: &imagesapi.Image{Name: name, Target: target}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"target"}},
	})
	return errgrpc.ToNative(err)
}
