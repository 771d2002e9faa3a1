package blob

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"vaguemestre/core"
)

// service is an S3 service in this process whose answers a test may replace: answer
// returns false to let the service answer itself.
type service struct {
	s3     http.Handler
	answer atomic.Pointer[func(w http.ResponseWriter, r *http.Request, s3 http.Handler) bool]
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if answer := s.answer.Load(); answer != nil && (*answer)(w, r, s.s3) {
		return
	}
	s.s3.ServeHTTP(w, r)
}

// failing makes the service answer so until the test lets it be.
func (s *service) failing(answer func(w http.ResponseWriter, r *http.Request, s3 http.Handler) bool) (back func()) {
	s.answer.Store(&answer)
	return func() { s.answer.Store(nil) }
}

func bucket(t *testing.T) (*Bucket, *service) {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "planted-secret", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
	} {
		t.Setenv(name, value)
	}
	memory := s3mem.New()
	if err := memory.CreateBucket("blobs"); err != nil {
		t.Fatal(err)
	}
	s := &service{s3: gofakes3.New(memory, gofakes3.WithLogger(gofakes3.DiscardLog())).Server()}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	b, err := OpenBucket(t.Context(), "s3://blobs?region=eu-west-3&use_path_style=true&endpoint="+url.QueryEscape(server.URL))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b, s
}

func TestREL18_Bucket(t *testing.T) {
	b, _ := bucket(t)
	contract(t, b)
}

func refuse(status int) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) { http.Error(w, "<Error><Code>Refused</Code></Error>", status) }
}

// inParts is a size that is uploaded in several requests.
const inParts = 17 << 20

// REL-03: a service that does not take an object, or whose answer is lost, gives an
// error, never a ref.
func TestREL03_BucketRefusing(t *testing.T) {
	b, s := bucket(t)
	for name, answer := range map[string]func(http.ResponseWriter, *http.Request, http.Handler) bool{
		"out of space": func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
			refuse(http.StatusInsufficientStorage)(w)
			return true
		},
		"forbidden": func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
			refuse(http.StatusForbidden)(w)
			return true
		},
		"answer lost": func(w http.ResponseWriter, r *http.Request, s3 http.Handler) bool {
			s3.ServeHTTP(httptest.NewRecorder(), r)
			refuse(http.StatusBadGateway)(w)
			return true
		},
	} {
		for _, size := range []int{100, inParts} {
			if size > 100 && name != "forbidden" {
				continue // what the library tries again takes seconds to fail
			}
			tenant := core.NewID[core.TenantID]()
			back := s.failing(answer)
			ref, err := b.Put(t.Context(), tenant, core.NewID[core.ObjectID](), writer(noise(size)))
			back()
			if err == nil || ref != "" {
				t.Errorf("%s, %d bytes: %q, %v", name, size, ref, err)
			} else if strings.Contains(err.Error(), "planted-secret") {
				t.Errorf("%s: the error quotes the secret: %v", name, err)
			}
			if left := old(t, b, tenant, time.Now().Add(time.Hour)); len(left) != 0 && name != "answer lost" {
				t.Errorf("%s, %d bytes: left %v", name, size, left)
			}
		}
	}
}

// An upload in parts whose last step fails leaves no object, and no parts to pay for.
func TestREL02_BucketUploadCutBeforeItsEnd(t *testing.T) {
	b, s := bucket(t)
	tenant := core.NewID[core.TenantID]()
	var parts, abandoned atomic.Int32
	back := s.failing(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		switch {
		case r.URL.Query().Has("partNumber"):
			parts.Add(1)
		case r.Method == http.MethodDelete && r.URL.Query().Has("uploadId"):
			abandoned.Add(1)
		case r.Method == http.MethodPost && r.URL.Query().Has("uploadId"): // put the parts together
			refuse(http.StatusForbidden)(w)
			return true
		}
		return false
	})
	ref, err := b.Put(t.Context(), tenant, core.NewID[core.ObjectID](), writer(noise(inParts)))
	back()
	if err == nil || ref != "" {
		t.Errorf("%q, %v", ref, err)
	}
	if parts.Load() < 2 || abandoned.Load() != 1 {
		t.Errorf("%d parts, abandoned %d times", parts.Load(), abandoned.Load())
	}
	if left := old(t, b, tenant, time.Now().Add(time.Hour)); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

// REL-13: a download that breaks off is an error, not an end; and only a plain "not
// there" is core.ErrNotFound.
func TestREL13_BucketDownloads(t *testing.T) {
	b, s := bucket(t)
	want := noise(300_000)
	ref := put(t, b, core.NewID[core.TenantID](), core.NewID[core.ObjectID](), want)
	back := s.failing(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		w.Header().Set("Content-Length", "300000")
		w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
		_, _ = w.Write(want[:200_000])
		panic(http.ErrAbortHandler) // the connection breaks
	})
	got, err := fetch(t, b, ref)
	back()
	if err == nil || errors.Is(err, io.EOF) || len(got) > 200_000 || !bytes.HasPrefix(want, got) {
		t.Errorf("broken off: %d bytes, %v", len(got), err)
	}
	back = s.failing(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		refuse(http.StatusForbidden)(w)
		return true
	})
	_, openErr := b.Open(t.Context(), ref)
	deleteErr := b.Delete(t.Context(), ref)
	back()
	if openErr == nil || errors.Is(openErr, core.ErrNotFound) || deleteErr == nil {
		t.Errorf("forbidden: open %v, delete %v", openErr, deleteErr)
	}
	if got, err := fetch(t, b, ref); err != nil || !bytes.Equal(got, want) {
		t.Errorf("back again: %d bytes, %v", len(got), err)
	}
}

// The URL may hold credentials: no error quotes it.
func TestOpenBucketRefusesQuietly(t *testing.T) {
	for _, bad := range []string{"file:///tmp/planted", "mem://planted", "s3://", "s3://planted?unknown=planted", "s3://planted?use_path_style=planted"} {
		b, err := OpenBucket(t.Context(), bad)
		if err == nil {
			b.Close()
			t.Errorf("%s was opened", bad)
		} else if strings.Contains(err.Error(), "planted") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
