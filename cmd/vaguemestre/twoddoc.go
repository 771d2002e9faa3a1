package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"vaguemestre/core/recognise/twoddoc"
	"vaguemestre/core/store/trust"
)

// The commands about 2D-Doc, the signed code on French proofs: no server, no database.

// maxCodeFile bounds what is read of a file that should hold one code.
const maxCodeFile = 64 << 10

func newTwoDDoc(c *client) *cobra.Command {
	return group("2ddoc", "The signed code on proofs (2D-Doc): whom to trust, what a code says, whether it holds",
		c.jsonFlag(c.newTwoDDocImport()), c.jsonFlag(c.newTwoDDocList()), c.jsonFlag(c.newTwoDDocShow()), c.jsonFlag(c.newTwoDDocVerify()))
}

// trustFolder is where imported trust is kept.
func trustFolder(home string) *trust.Folder { return trust.At(filepath.Join(home, "2ddoc")) }

func (c *client) newTwoDDocImport() *cobra.Command {
	var signer string
	cmd := &cobra.Command{Use: "import FILE…", Short: "Take a trust list, certificates or revocations, after checking them: exit 1 when something was not taken", Args: someFiles,
		Example: "  vaguemestre 2ddoc import --signer C290…E09D tsl_signed.xml\n  vaguemestre 2ddoc import FR05_cert.der pki-2ddoc.der"}
	cmd.Flags().StringVar(&signer, "signer", "", "SHA-256 fingerprint of the certificate that may sign trust lists, from now on")
	cmd.RunE = func(cmd *cobra.Command, files []string) error {
		folder, clean := trustFolder(c.home), true
		for _, file := range files {
			data, err := readBounded(file, nil, 16<<20)
			var took []trust.Imported
			if err == nil {
				took, err = folder.Import(data, signer)
			}
			if !c.reportImport(cmd.OutOrStdout(), file, took, err) {
				clean = false
			}
		}
		if !clean {
			return &silentError{}
		}
		return nil
	}
	return cmd
}

// reportImport says what became of a file, and whether all of it was taken. Authorities
// that stand in a bundle beside their certificates are no fault.
func (c *client) reportImport(w io.Writer, file string, took []trust.Imported, err error) (clean bool) {
	clean = err == nil
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	if err != nil {
		if c.json {
			_ = enc.Encode(map[string]any{"file": file, "taken": false, "error": err.Error()})
		} else {
			fmt.Fprintf(w, "%s: %v\n", file, err)
		}
		return false
	}
	for _, one := range took {
		clean = clean && (one.Taken || strings.HasPrefix(one.Note, "an authority"))
		if c.json {
			_ = enc.Encode(struct {
				File string `json:"file"`
				trust.Imported
				Error *string `json:"error"`
			}{file, one, nil})
			continue
		}
		switch {
		case !one.Taken:
			fmt.Fprintf(w, "%s: %s %s not taken: %s\n", file, one.What, one.Name, one.Note)
		case one.Known:
			fmt.Fprintf(w, "%s: %s %s was known (until %s)\n", file, one.What, one.Name, one.Until)
		default:
			fmt.Fprintf(w, "%s: %s %s taken (until %s)\n", file, one.What, one.Name, one.Until)
		}
	}
	return clean
}

func (c *client) newTwoDDocList() *cobra.Command {
	return &cobra.Command{Use: "list", Short: "Say whom is trusted, and what is out of date: exit 1 when something is", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, problems, err := trustFolder(c.home).Load()
			if err != nil {
				return err
			}
			return c.showTrust(cmd.OutOrStdout(), t, problems, time.Now())
		}}
}

// trustLine is what `2ddoc list` says.
type trustLine struct {
	List         *int     `json:"list"`
	Next         string   `json:"next,omitempty"`
	Authorities  int      `json:"authorities"`
	Certificates int      `json:"certificates"`
	Problems     []string `json:"problems"`
}

func (c *client) showTrust(w io.Writer, t *twoddoc.Trust, problems []string, now time.Time) error {
	line := trustLine{Problems: append([]string{}, problems...)}
	line.Authorities, line.Certificates = t.Count()
	if l := t.List(); l != nil {
		line.List, line.Next = &l.Sequence, l.Next.UTC().Format(time.DateOnly)
	}
	if stale := t.Stale(now); stale != "" {
		line.Problems = append(line.Problems, stale)
	}
	if c.json {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(line); err != nil {
			return err
		}
	} else {
		c.showTrustText(w, t, line)
	}
	if len(line.Problems) > 0 {
		return &silentError{}
	}
	return nil
}

func (c *client) showTrustText(w io.Writer, t *twoddoc.Trust, line trustLine) {
	if l := t.List(); l != nil {
		fmt.Fprintf(w, "Trust list %d, next due %s\n", l.Sequence, line.Next)
		for _, a := range l.Authorities {
			state := "in good standing"
			if !a.InAccord {
				state = "withdrawn"
			}
			fmt.Fprintf(w, "  %s  %-38s %3d certificates, %s; published at %s\n", a.ID, a.Name, t.CountOf(a.ID), state, a.Where)
		}
	}
	fmt.Fprintf(w, "%d authorities, %d certificates\n", line.Authorities, line.Certificates)
	for _, p := range line.Problems {
		fmt.Fprintln(w, p)
	}
}

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
	File   string          `json:"file"`
	Header *twoddoc.Header `json:"header,omitempty"`
	Fields []twoddoc.Field `json:"fields,omitempty"`
	Annex  []twoddoc.Field `json:"annex,omitempty"` // unsigned
	Faults []string        `json:"faults,omitempty"`
	Result *twoddoc.Result `json:"authenticity,omitempty"`
	Match  *twoddoc.Match  `json:"match,omitempty"`
	Error  *string         `json:"error"`
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
	fmt.Fprintf(w, "  %s\n  2D-Doc version %d, certificat %s-%s, signé le %s\n", labelOr(h.Label, "Document de type "+h.Type), h.Version, h.Authority, h.Cert, dateOr(h.Signed.String()))
	fmt.Fprintf(w, "  %-45s %s\n", "Date du document", dateOr(h.Issued.String()))
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

func dateOr(date string) string { return labelOr(date, "sans date") }

func shown(f twoddoc.Field) string {
	if f.Cut {
		return f.Value.Text + "…"
	}
	return f.Value.Text
}

func (c *client) newTwoDDocVerify() *cobra.Command {
	var spelled bool
	var given, textFile string
	cmd := &cobra.Command{Use: "verify [FILE…]", Short: "Say whether a code holds, and why: exit 1 when one does not"}
	spelledFlag(cmd, &spelled)
	cmd.Flags().StringVar(&given, "trust", "", "folder of certificates to trust besides those imported, test authorities included")
	cmd.Flags().StringVar(&textFile, "text", "", "file with the printed text of the document: exit 1 when it says otherwise, or too little")
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
			line.Result = &result
			ok := result.Verdict == twoddoc.Valid
			if code != nil && textFile != "" {
				match := code.Compare(twoddoc.Print{Text: string(text), Exact: true})
				line.Match, ok = &match, ok && match.Matches != nil && *match.Matches
			}
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
	fmt.Fprintf(w, "%s: %s\n  %s\n", line.File, line.Result.Verdict, line.Result.Reason)
	if m := line.Match; m != nil {
		switch {
		case m.Matches == nil:
			fmt.Fprintln(w, "  Le texte ne permet pas de dire s’il correspond au code.")
		case *m.Matches:
			fmt.Fprintln(w, "  Le texte correspond au code.")
		}
		for _, d := range m.Differences {
			fmt.Fprintf(w, "  %s\n", d)
		}
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
