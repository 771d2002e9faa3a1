package core

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"regexp"
	"strings"
	"testing"
)

// SEC-03: identifiers are random UUIDs of version 4 and say nothing of order or number.
func TestSEC03_IdentifiersAreRandom(t *testing.T) {
	form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	seen := map[DepositID]bool{}
	var ones, bits int
	for range 20_000 {
		id := NewID[DepositID]()
		if !form.MatchString(string(id)) || seen[id] {
			t.Fatalf("identifier %q: malformed or seen before (%v)", id, seen[id])
		}
		seen[id] = true
		for _, c := range []byte(strings.ReplaceAll(string(id[:13]), "-", "")) {
			bits += 4
			ones += strings.Count(fmt.Sprintf("%b", strings.IndexByte("0123456789abcdef", c)), "1")
		}
	}
	if share := float64(ones) / float64(bits); share < 0.49 || share > 0.51 {
		t.Errorf("share of ones %.4f, want 0.5", share)
	}
}

// A sender who ends up in a log line leaves no trace there.
func TestSenderIsHiddenInLogs(t *testing.T) {
	var out bytes.Buffer
	s := Sender{MailFrom: "zoe@ville.test", Helo: "mx.ville.test", Remote: "192.0.2.7"}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("accepted", "sender", s, "deposit", slog.GroupValue(slog.Any("from", s)))
	for _, planted := range []string{"zoe", "mx.ville", "192.0.2.7"} {
		if strings.Contains(out.String(), planted) {
			t.Errorf("log line shows %q: %s", planted, out.String())
		}
	}
}

type sqlError struct{}

func (sqlError) Error() string    { return "duplicate key value (zoe@ville.test)" }
func (sqlError) SQLState() string { return "23505" }

// Causes are named, never quoted.
func TestCause(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{errors.New("avis de Zoé.pdf"), "error *errors.errorString"},
		{fmt.Errorf("open avis.pdf: %w", &fs.PathError{Op: "open", Path: "avis.pdf", Err: fs.ErrNotExist}), "error *errors.errorString"},
		{fmt.Errorf("record: %w", sqlError{}), "error SQLSTATE 23505"},
		{fmt.Errorf("read: %w", &Refusal{Code: "too_large", Reason: "Le fichier avis.pdf est trop gros."}), "too_large *core.Refusal"},
		{fmt.Errorf("piece: %w", ErrNotFound), "not_found *errors.errorString"},
		{fmt.Errorf("amend: %w", ErrStale), "stale *errors.errorString"},
		{fmt.Errorf("ask: %w", context.DeadlineExceeded), "timeout context.deadlineExceededError"},
		{errors.Join(errors.New("one"), fmt.Errorf("two: %w", context.Canceled)), "interrupted *errors.errorString"},
	} {
		if got := Cause(c.err); got != c.want {
			t.Errorf("Cause(%v) = %q, want %q", c.err, got, c.want)
		}
	}
}

func TestKind(t *testing.T) {
	for kind, want := range map[Kind]string{
		KindPDF: "application/pdf .pdf", KindJPEG: "image/jpeg .jpg", KindPNG: "image/png .png", KindGIF: "image/gif .gif",
		KindWebP: "image/webp .webp", KindTIFF: "image/tiff .tiff", KindHEIC: "image/heic .heic",
	} {
		if got := kind.MIME() + " " + kind.Ext(); got != want {
			t.Errorf("%s: %q, want %q", kind, got, want)
		}
	}
}
