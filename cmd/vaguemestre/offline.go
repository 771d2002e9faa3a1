package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"vaguemestre/channels/mail"
	"vaguemestre/cmd/vaguemestre/control"
	"vaguemestre/core"
	"vaguemestre/core/catalogue"
	"vaguemestre/core/examine"
	"vaguemestre/core/recognise"
)

// The commands that need no server and no database.

// partLine is one part of a message as `mime` lists it.
type partLine struct {
	Filename    string `json:"filename"`
	ContentType string `json:"content_type"`
	Size        int64  `json:"size"`
	SHA256      string `json:"sha256"`
}

func newMIME() *cobra.Command {
	return &cobra.Command{Use: "mime FILE…", Short: "List the files in messages (RFC 5322), one JSON object a message", Args: someFiles,
		RunE: func(cmd *cobra.Command, files []string) error {
			enc := json.NewEncoder(cmd.OutOrStdout())
			enc.SetEscapeHTML(false)
			for _, file := range files {
				parts, err := listParts(cmd.Context(), file)
				if err := enc.Encode(map[string]any{"file": file, "parts": parts, "error": textOf(err)}); err != nil {
					return err
				}
			}
			return nil
		}}
}

func listParts(ctx context.Context, file string) ([]partLine, error) {
	parts := []partLine{}
	f, err := os.Open(file)
	if err != nil {
		return parts, err
	}
	defer f.Close()
	_, err = mail.Splitter{MaxParts: 10_000, MaxDepth: 100}.Split(ctx, f, func(p core.Part) error {
		if !isListed(p) {
			return nil
		}
		h := sha256.New()
		n, err := io.Copy(h, p.Body)
		parts = append(parts, partLine{p.Name, p.Type, n, hex.EncodeToString(h.Sum(nil))})
		return err
	})
	return parts, err
}

// isListed reports whether `mime` lists a part: the parts of the message, whatever they
// are for, and what winmail.dat, Outlook messages and uuencoded text hold. Pictures written
// into HTML, what stands in a message sent as a file or behind an opaque signature, and
// what only speaks of a part (message/partial) are known to the intake alone.
func isListed(p core.Part) bool {
	switch p.Via {
	case "", core.ViaTNEF, core.ViaMSG, core.ViaUuencode:
		return p.Name != "" || !strings.HasPrefix(p.Type, "message/")
	}
	return false
}

// textOf is an error for a JSON line: null when there is none.
func textOf(err error) *string {
	if err == nil {
		return nil
	}
	text := err.Error()
	var refusal *core.Refusal
	if errors.As(err, &refusal) {
		text += ": " + refusal.Reason
	}
	return &text
}

func someFiles(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return &usageError{errors.New("name at least one file")}
	}
	return nil
}

// classLine is what `classify` says of a file.
type classLine struct {
	File         string         `json:"file"`
	Type         *string        `json:"type"`
	Confidence   float64        `json:"confidence"`
	Holder       *string        `json:"holder"`
	Holders      []string       `json:"holders"`
	Issued       *core.Date     `json:"issued"`
	Expires      *core.Date     `json:"expires"`
	Period       []core.Date    `json:"period"`
	Evidence     []string       `json:"evidence"`
	Authenticity map[string]any `json:"authenticity"`
	Segments     []any          `json:"segments"`
	Error        *string        `json:"error"`
}

func newClassify() *cobra.Command {
	var catalogueFile string
	var asJSON bool
	cmd := &cobra.Command{Use: "classify FILE…", Short: "Say what files are: type, holder, dates, and why", Args: someFiles}
	cmd.Flags().StringVar(&catalogueFile, "catalogue", "", "catalogue to hold them against (default: the one built in)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line")
	cmd.RunE = func(cmd *cobra.Command, files []string) error {
		types := catalogue.Default()
		if catalogueFile != "" {
			var err error
			if types, err = readCatalogue(catalogueFile); err != nil {
				return err
			}
		}
		cache, err := os.UserCacheDir()
		if err != nil {
			cache = os.TempDir()
		}
		examiner := examine.New(examine.Config{CacheDir: filepath.Join(cache, "vaguemestre", "pdf")},
			slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn})))
		defer examiner.Close()
		enc := json.NewEncoder(cmd.OutOrStdout())
		enc.SetEscapeHTML(false)
		for _, file := range files {
			line := classify(cmd.Context(), examiner, types, file)
			if asJSON {
				err = enc.Encode(line)
			} else {
				err = showClass(cmd.OutOrStdout(), line)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	return cmd
}

func readCatalogue(file string) (*catalogue.Catalogue, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return catalogue.Parse(b)
}

func classify(ctx context.Context, examiner *examine.Examiner, types *catalogue.Catalogue, file string) classLine {
	line := classLine{File: file, Holders: []string{}, Evidence: []string{}, Segments: []any{}}
	bytes, err := os.ReadFile(file)
	var ev core.Evidence
	if err == nil {
		ev, err = examiner.Examine(ctx, bytes, examine.DefaultLimits(), true)
	}
	if err != nil {
		line.Error = textOf(err)
		return line
	}
	v := recognise.New(recognise.DefaultThreshold).Recognise(types, ev, core.DateOf(time.Now()))
	line.Confidence = v.Confidence
	line.Evidence = append(line.Evidence, v.Evidence...)
	if v.Type == "" {
		return line
	}
	line.Type, line.Holder = &v.Type, nullable(v.Holder)
	line.Holders = append(line.Holders, v.Holders...)
	line.Issued, line.Expires = nullable(v.Issued), nullable(v.Expires)
	if !v.Period.IsZero() {
		line.Period = []core.Date{v.Period.From, v.Period.To}
	}
	return line
}

func nullable[T comparable](v T) *T {
	var none T
	if v == none {
		return nil
	}
	return &v
}

func showClass(w io.Writer, l classLine) error {
	switch {
	case l.Error != nil:
		_, err := fmt.Fprintf(w, "%s: %s\n", l.File, *l.Error)
		return err
	case l.Type == nil:
		_, err := fmt.Fprintf(w, "%s: none of ours (%.0f %%)\n", l.File, 100*l.Confidence)
		return err
	}
	_, err := fmt.Fprintf(w, "%s: %s (%.0f %%) %v\n", l.File, *l.Type, 100*l.Confidence, l.Evidence)
	return err
}

func newCatalogue(c *client) *cobra.Command {
	var a control.Args
	export := &cobra.Command{Use: "export", Short: "Print a town's catalogue as YAML; without --tenant, the default one", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.Tenant == "" {
				content, err := catalogue.Default().Marshal()
				if err != nil {
					return err
				}
				if c.json {
					return json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]any{"version": 0, "catalogue": string(content)})
				}
				_, err = cmd.OutOrStdout().Write(content)
				return err
			}
			return c.call(cmd, "catalogue/export", a, func(w io.Writer, line json.RawMessage) error {
				var answer struct{ Catalogue string }
				if err := json.Unmarshal(line, &answer); err != nil {
					return err
				}
				_, err := io.WriteString(w, answer.Catalogue)
				return err
			})
		}}
	tenantFlag(export, &a)
	lint := &cobra.Command{Use: "lint FILE", Short: "Say what is wrong or doubtful in a catalogue: exit 1 when something is", Args: someFiles,
		RunE: func(cmd *cobra.Command, files []string) error {
			clean := true
			for _, file := range files {
				types, err := readCatalogue(file)
				if err != nil {
					fmt.Fprintf(cmd.OutOrStdout(), "%s: %v\n", file, err)
					clean = false
					continue
				}
				for _, finding := range types.Lint() {
					fmt.Fprintf(cmd.OutOrStdout(), "%s: %v\n", file, finding)
					clean = false
				}
			}
			if !clean {
				return &silentError{}
			}
			return nil
		}}
	return group("catalogue", "Document types (référentiel)", c.jsonFlag(export), lint)
}
