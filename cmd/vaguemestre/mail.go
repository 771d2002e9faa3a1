package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"vaguemestre/cmd/vaguemestre/control"
)

// newMail: what the town sends.
func newMail(c *client) *cobra.Command {
	var l control.Args
	list := &cobra.Command{Use: "list", Short: "List the letters: state, attempts, next try, code", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.call(cmd, "mail/list", l, showLetter) }}
	tenantFlag(list, &l)
	citizenFlag(list, &l)

	var p control.Args
	var html bool
	preview := &cobra.Command{Use: "preview", Short: "Show a letter as it would go out: on a deposit, or on a made-up one", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.call(cmd, "mail/preview", p, func(w io.Writer, line json.RawMessage) error { return showPreview(w, line, html) })
		}}
	tenantFlag(preview, &p)
	preview.Flags().StringVar(&p.Kind, "kind", "", "receipt, result, link or notice")
	preview.Flags().StringVar(&p.Deposit, "deposit", "", "a deposit's id (in a development home)")
	preview.Flags().BoolVar(&html, "html", false, "the HTML form")
	preview.Flags().Bool("text", true, "the text form, which is shown unless --html is given")

	move := func(use, short string) *cobra.Command {
		var a control.Args
		cmd := &cobra.Command{Use: use, Short: short, Args: noArgs, RunE: func(cmd *cobra.Command, _ []string) error { return c.call(cmd, "mail/"+use, a, nil) }}
		tenantFlag(cmd, &a)
		cmd.Flags().StringVar(&a.Letter, "letter", "", "the letter's id")
		return c.jsonFlag(required(cmd, "tenant", "letter"))
	}
	return group("mail", "Letters that go out by e-mail",
		c.jsonFlag(required(list, "tenant")), c.jsonFlag(required(preview, "tenant", "kind")),
		move("retry", "Send a letter now that waits, or was given up"), move("cancel", "Never send a letter that waits"),
		newMailReports(c))
}

func showLetter(w io.Writer, line json.RawMessage) error {
	var l struct {
		ID, Kind, State, Code, Status, Sentence, Object string
		Attempts                                        int
		NextTry                                         string `json:"next_try"`
	}
	if err := json.Unmarshal(line, &l); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%s  %-8s %-9s %-12s %-6s attempts %d  next %-20s  %s  %s\n", l.ID, l.Kind, l.State, l.Code, l.Status, l.Attempts, l.NextTry, l.Object, l.Sentence)
	return err
}

func showPreview(w io.Writer, line json.RawMessage, html bool) error {
	var l struct{ Subject, Text, HTML string }
	if err := json.Unmarshal(line, &l); err != nil {
		return err
	}
	if html {
		_, err := io.WriteString(w, l.HTML)
		return err
	}
	_, err := fmt.Fprintf(w, "Subject: %s\n\n%s", l.Subject, l.Text)
	return err
}

// newMentions: what an acknowledgement must say by law.
func newMentions(c *client) *cobra.Command {
	var a control.Args
	check := &cobra.Command{Use: "check", Short: "Say which mentions the law wants are missing (CRPA R. 112-11-1): exit 1 when a town that sends mail lacks one", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.verdict(cmd, "tenant/mentions", a) }}
	tenantFlag(check, &a)
	return group("mentions", "What every acknowledgement of a deposit must say", c.jsonFlag(check))
}

// newReceipts lists what the citizen keeps of each deposit.
func newReceipts(c *client) *cobra.Command {
	var a control.Args
	cmd := &cobra.Command{Use: "receipts", Short: "List the registrations of a citizen's deposits: number, date, service in charge", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.call(cmd, "vault/receipts", a, showFields("number", "received", "channel", "state", "files", "service", "letter"))
		}}
	citizenFlag(cmd, &a)
	return c.jsonFlag(required(cmd, "citizen"))
}
