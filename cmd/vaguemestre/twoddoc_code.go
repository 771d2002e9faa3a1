package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"vaguemestre/core"
	"vaguemestre/core/recognise/twoddoc"
)

// maxCodeFile bounds what is read of a file that should hold one code.
const maxCodeFile = 64 << 10

func (c *client) newTwoDDocShow() *cobra.Command {
	var spelled bool
	cmd := &cobra.Command{Use: "show [FILE…]", Short: "Print what a code says; verifies nothing. A file holds one code as a reader gives it; without one, or for -, stdin"}
	spelledFlag(cmd, &spelled)
	cmd.RunE = func(cmd *cobra.Command, files []string) error {
		return eachCode(cmd, files, spelled, func(file string, data []byte, err error) (bool, error) {
			var code *twoddoc.Code
			if err == nil {
				code, err = twoddoc.Decode(data)
			}
			return err == nil, c.showCode(cmd.OutOrStdout(), file, code, err)
		})
	}
	return cmd
}

func spelledFlag(cmd *cobra.Command, spelled *bool) {
	cmd.Flags().BoolVar(spelled, "spelled", false, "separators are spelled <GS>, <RS>, <US> in the file")
}

// codeLine is what `2ddoc show` and `2ddoc verify` say of a code.
type codeLine struct {
	File         string                `json:"file"`
	Header       *twoddoc.Header       `json:"header,omitempty"`
	Fields       []twoddoc.Field       `json:"fields,omitempty"`
	Annex        []twoddoc.Field       `json:"annex,omitempty"` // unsigned
	Faults       []string              `json:"faults,omitempty"`
	Authenticity *twoddoc.Authenticity `json:"authenticity,omitempty"`
	Compared     []twoddoc.Compared    `json:"compared,omitempty"` // with --text: what was looked for in it
	Error        *string               `json:"error"`
}

func lineOf(file string, code *twoddoc.Code) codeLine {
	line := codeLine{File: file}
	if code != nil {
		line.Header, line.Fields, line.Annex, line.Faults = &code.Header, code.Fields, code.Annex, code.Faults
	}
	return line
}

func (c *client) showCode(w io.Writer, file string, code *twoddoc.Code, failed error) error {
	line := lineOf(file, code)
	line.Error = textOf(failed)
	if c.json {
		return encodeLine(w, line)
	}
	if failed != nil {
		_, err := fmt.Fprintf(w, "%s: %v\n", file, failed)
		return err
	}
	fmt.Fprintf(w, "%s: not verified\n", file)
	return showFieldsOf(w, code)
}

func encodeLine(w io.Writer, line any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(line)
}

// showFieldsOf prints a code for a person, in French as the fields' labels are.
func showFieldsOf(w io.Writer, code *twoddoc.Code) error {
	h := code.Header
	fmt.Fprintf(w, "  %s\n  2D-Doc version %d, certificat %s-%s, signé le %s\n", labelOr(h.Label, "Document de type "+h.Type), h.Version, h.Authority, h.Cert, dateOr(h.Signed))
	fmt.Fprintf(w, "  %-45s %s\n", "Date du document", dateOr(h.Issued))
	for _, f := range code.Fields {
		fmt.Fprintf(w, "  %-45s %s\n", f.Label, shown(f))
	}
	for _, f := range code.Annex {
		fmt.Fprintf(w, "  (non signé) %-33s %s\n", f.Label, shown(f))
	}
	for _, fault := range code.Faults {
		fmt.Fprintf(w, "  (remarque) %s\n", fault)
	}
	return nil
}

func labelOr(label, other string) string {
	if label == "" {
		return other
	}
	return label
}

func dateOr(d core.Date) string {
	if d.IsZero() {
		return "sans date"
	}
	return twoddoc.French(d)
}

func shown(f twoddoc.Field) string {
	switch {
	case f.Cut:
		return f.Value.Text + "…"
	case !f.Value.Date.IsZero() && f.Value.Kind != twoddoc.KindDateTime:
		return twoddoc.French(f.Value.Date)
	}
	return f.Value.Text
}

func (c *client) newTwoDDocVerify() *cobra.Command {
	var spelled, read bool
	var given, textFile string
	cmd := &cobra.Command{Use: "verify [FILE…]", Short: "Say whether a code holds, and why: exit 1 when one does not"}
	spelledFlag(cmd, &spelled)
	cmd.Flags().StringVar(&given, "trust", "", "folder of certificates to trust besides those imported, test authorities included")
	cmd.Flags().StringVar(&textFile, "text", "", "file with the printed text of the document: exit 1 when it says otherwise, or too little")
	cmd.Flags().BoolVar(&read, "read", false, "the text was read off a picture: what is missing may have been misread")
	cmd.RunE = func(cmd *cobra.Command, files []string) error {
		trusted, err := c.trusted(cmd, given)
		if err != nil {
			return err
		}
		var text []byte
		if textFile != "" {
			if text, err = readBounded(textFile, cmd.InOrStdin(), 4<<20); err != nil {
				return err
			}
		}
		return eachCode(cmd, files, spelled, func(file string, data []byte, err error) (bool, error) {
			if err != nil {
				return false, c.showVerified(cmd.OutOrStdout(), codeLine{File: file, Error: textOf(err)}, nil)
			}
			code, result := twoddoc.VerifyBytes(data, trusted)
			line := lineOf(file, code)
			a := twoddoc.Authenticity{Signature: result.Verdict, Reason: result.Reason, Test: result.Test, Differences: []string{}}
			ok := result.Verdict == twoddoc.Valid
			if code != nil && textFile != "" {
				match := code.Compare(twoddoc.Print{Text: string(text), Exact: !read})
				a.Matches, a.Differences, line.Compared = match.Matches, match.Differences, match.Compared
				ok = ok && match.Matches != nil && *match.Matches
			}
			line.Authenticity = &a
			return ok, c.showVerified(cmd.OutOrStdout(), line, code)
		})
	}
	return cmd
}

// trusted is what was imported and, first, what the administrator names here.
func (c *client) trusted(cmd *cobra.Command, given string) (twoddoc.Trusted, error) {
	var all twoddoc.Several
	if given != "" {
		t, err := givenTrust(cmd.ErrOrStderr(), given)
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	t, problems, err := trustFolder(c.home).Load()
	if err != nil {
		return nil, err
	}
	warn(cmd.ErrOrStderr(), problems)
	return append(all, t), nil
}

// givenTrust loads the folder of --trust, where each file is the administrator's own word.
func givenTrust(stderr io.Writer, dir string) (*twoddoc.Trust, error) {
	t, problems, err := twoddoc.Load(os.DirFS(dir), true)
	if err != nil {
		return nil, fmt.Errorf("read --trust %s: %w", dir, err)
	}
	warn(stderr, problems)
	if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&0o002 != 0 {
		fmt.Fprintf(stderr, "vaguemestre: anybody may write in %s, and so decide what is authentic\n", dir)
	}
	return t, nil
}

func warn(w io.Writer, problems []string) {
	for _, p := range problems {
		fmt.Fprintf(w, "vaguemestre: not trusted: %s\n", p)
	}
}

func (c *client) showVerified(w io.Writer, line codeLine, code *twoddoc.Code) error {
	if c.json {
		return encodeLine(w, line)
	}
	if line.Error != nil {
		_, err := fmt.Fprintf(w, "%s: %s\n", line.File, *line.Error)
		return err
	}
	a := line.Authenticity
	fmt.Fprintf(w, "%s: %s\n  %s\n", line.File, a.Signature, a.Reason)
	switch {
	case line.Compared == nil:
	case a.Matches == nil:
		fmt.Fprintln(w, "  Le texte ne permet pas de dire s’il correspond au code.")
	case *a.Matches:
		fmt.Fprintln(w, "  Le texte correspond au code.")
	}
	for _, d := range a.Differences {
		fmt.Fprintf(w, "  %s\n", d)
	}
	if code == nil {
		return nil
	}
	return showFieldsOf(w, code)
}

// eachCode reads the codes of files, or of stdin, and fails silently when one was not well.
func eachCode(cmd *cobra.Command, files []string, spelled bool, do func(file string, data []byte, err error) (bool, error)) error {
	if len(files) == 0 {
		files = []string{"-"}
	}
	well := true
	for _, file := range files {
		data, err := readBounded(file, cmd.InOrStdin(), maxCodeFile)
		ok, showErr := do(file, codeIn(data, spelled), err)
		if showErr != nil {
			return showErr
		}
		well = well && ok
	}
	if !well {
		return &silentError{}
	}
	return nil
}

// codeIn is the code in a file: an editor's last line end is no part of one in text.
func codeIn(data []byte, spelled bool) []byte {
	if !strings.HasPrefix(string(data), "DC") {
		return data
	}
	text := string(data)
	if spelled {
		text = strings.NewReplacer("<GS>", "\x1d", "<RS>", "\x1e", "<US>", "\x1f").Replace(text)
	}
	if _, err := twoddoc.Decode([]byte(text)); err != nil { // a signature in raw bytes may end so
		text = strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
	}
	return []byte(text)
}

// readBounded reads a file, or stdin for "-", of at most limit bytes.
func readBounded(file string, stdin io.Reader, limit int64) ([]byte, error) {
	r := stdin
	if file != "-" || stdin == nil {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		r = f
	}
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(data)) > limit {
		return nil, errors.New("larger than any such file")
	}
	return data, err
}
