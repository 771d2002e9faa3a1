package mail_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"vaguemestre/channels/mail"
	"vaguemestre/core"
)

func TestPeek(t *testing.T) {
	for name, tc := range map[string]struct{ raw, want string }{
		"plain":           {"From: a@b\r\nMessage-ID: <x.1@courriel.test>\r\n\r\nbody", "x.1@courriel.test"},
		"other case":      {"message-id : <x@y>\r\n\r\n", "x@y"},
		"bare LF":         {"Message-Id: <x@y>\nSubject: z\n\nMessage-ID: <no@no>\n", "x@y"},
		"folded":          {"Message-ID:\r\n <x@y>\r\nTo: z\r\n\r\n", "x@y"},
		"of two":          {"Message-ID: <first@y>\r\nMessage-ID: <second@y>\r\n\r\n", "first@y"},
		"no body":         {"Message-ID: <x@y>\r\n", "x@y"},
		"in the body":     {"Subject: z\r\n\r\nMessage-ID: <x@y>\r\n", ""},
		"in another":      {"Subject: a\r\n Message-ID: <x@y>\r\n\r\n", ""},
		"none":            {"Subject: z\r\n\r\nbody", ""},
		"empty header":    {"\r\nMessage-ID: <x@y>\r\n\r\n", ""},
		"nothing":         {"", ""},
		"no brackets":     {"Message-ID: x@y\r\n\r\n", ""},
		"never closed":    {"Message-ID: <x@y\r\n\r\n", ""},
		"blank inside":    {"Message-ID: <x @y>\r\n\r\n", ""},
		"UTF-8":           {"Message-ID: <é@y>\r\n\r\n", "é@y"},
		"no UTF-8":        {"Message-ID: <\xe9@y>\r\n\r\n", ""},
		"as long as kept": {"Message-ID: <" + strings.Repeat("x", 512) + ">\r\n\r\n", strings.Repeat("x", 512)},
		"too long":        {"Message-ID: <" + strings.Repeat("x", 513) + ">\r\n\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, r := range []io.Reader{strings.NewReader(tc.raw), oneByte{strings.NewReader(tc.raw)}} {
				id, whole, err := mail.Peek(r, 4<<10)
				if err != nil || id != tc.want {
					t.Fatalf("%q, error %v; want %q", id, err, tc.want)
				}
				if got, err := io.ReadAll(whole); err != nil || string(got) != tc.raw {
					t.Errorf("message became %q, error %v", got, err)
				}
			}
		})
	}
}

func TestPeekIsBounded(t *testing.T) {
	const limit = 10000
	header := func(n int) string { return "X: " + strings.Repeat("y", n-7) + "\r\n\r\n" }
	if _, _, err := mail.Peek(strings.NewReader(header(limit)+strings.Repeat("body", limit)), limit); err != nil {
		t.Errorf("header at the limit: %v", err)
	}
	for name, raw := range map[string]string{"past it": header(limit + 1), "without end": strings.Repeat("y", limit+1)} {
		var refusal *core.Refusal
		if _, _, err := mail.Peek(strings.NewReader(raw), limit); !errors.As(err, &refusal) || refusal.Code != "header_too_large" {
			t.Errorf("%s: %v", name, err)
		}
	}
	broken := errors.New("broken")
	if _, _, err := mail.Peek(io.MultiReader(strings.NewReader("X: y\r\n"), failing{broken}), limit); !errors.Is(err, broken) {
		t.Errorf("reading error: %v", err)
	}
}
