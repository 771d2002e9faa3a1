package main

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"vaguemestre/core/recognise/twoddoc"
	"vaguemestre/core/store/trust"
)

// The commands about 2D-Doc, the signed code on French proofs: no server, no database.

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
