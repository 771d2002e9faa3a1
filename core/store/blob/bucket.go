package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/s3blob" // s3:// URLs
	"gocloud.dev/gcerrors"

	"vaguemestre/core"
)

// Bucket keeps objects in S3-compatible storage. A PUT is durable when the service
// says so; which services may be believed is a matter of REL-18.
type Bucket struct{ bucket *blob.Bucket }

// OpenBucket opens an s3:// URL as gocloud.dev reads it (endpoint, region and path
// style as parameters, credentials from the environment of the AWS SDK).
func OpenBucket(ctx context.Context, url string) (*Bucket, error) {
	if !strings.HasPrefix(url, "s3://") {
		return nil, errors.New("blob URL: want s3://… or a folder")
	}
	b, err := blob.OpenBucket(ctx, url)
	if err != nil {
		return nil, errors.New("open bucket: the blob URL or its credentials are not usable") // the cause may quote them
	}
	return &Bucket{b}, nil
}

// Close ends all connections.
func (b *Bucket) Close() error { return b.bucket.Close() }

// Put uploads what write writes; a cancelled or failed upload leaves no object. Parts of
// a large one that was cancelled stay, unseen, until the bucket's own rule for
// incomplete uploads removes them. An object that is there is never replaced.
func (b *Bucket) Put(ctx context.Context, tenant core.TenantID, object core.ObjectID, write func(io.Writer) error) (core.Ref, error) {
	ref := core.Ref(string(tenant) + "/" + string(object)[:2] + "/" + string(object))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := b.bucket.NewWriter(ctx, string(ref), &blob.WriterOptions{ContentType: "application/octet-stream", IfNotExist: true, BufferSize: 5 << 20})
	if err != nil {
		return "", fmt.Errorf("upload: %w", err)
	}
	if err := write(w); err != nil {
		cancel() // closing a cancelled writer abandons the upload
		w.Close()
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", fmt.Errorf("upload: %w", err)
	}
	return ref, nil
}

// Open streams an object; core.ErrNotFound when it is not there.
func (b *Bucket) Open(ctx context.Context, ref core.Ref) (io.ReadCloser, error) {
	r, err := b.bucket.NewReader(ctx, string(ref), nil)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil, core.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("download: %w", err)
	}
	return r, nil
}

// Delete forgets an object; a repeat is no error.
func (b *Bucket) Delete(ctx context.Context, ref core.Ref) error {
	if err := b.bucket.Delete(ctx, string(ref)); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
		return fmt.Errorf("delete: %w", err)
	}
	return nil
}

// Old lists the tenant's objects last written before a time.
func (b *Bucket) Old(ctx context.Context, tenant core.TenantID, before time.Time, each func(core.Ref) error) error {
	list := b.bucket.List(&blob.ListOptions{Prefix: string(tenant) + "/"})
	for {
		o, err := list.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("list: %w", err)
		}
		if o.ModTime.Before(before) {
			if err := each(core.Ref(o.Key)); err != nil {
				return err
			}
		}
	}
}
