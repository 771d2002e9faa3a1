package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"vaguemestre/cmd/vaguemestre/control"
	"vaguemestre/cmd/vaguemestre/zone"
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
		newDKIM(c), newMailCheck(c), newMailReports(c),
		move("retry", "Send a letter now that waits, or was given up"), move("cancel", "Never send a letter that waits"))
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
	text := fmt.Sprintf("%s  %-8s  %-9s  about %s  attempts %d  %s", l.ID, l.Kind, l.State, l.Object, l.Attempts, strings.TrimSpace(l.Code+" "+l.Status))
	if l.NextTry != "" {
		text += "  next " + l.NextTry
	}
	_, err := fmt.Fprintln(w, strings.TrimRight(text+"  "+l.Sentence, " "))
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

// newDKIM: the keys that sign a town's letters.
func newDKIM(c *client) *cobra.Command {
	var a control.Args
	add := &cobra.Command{Use: "new", Short: "Make keys that sign the town's letters, and say what to publish in the DNS", Args: noArgs,
		Long: `Make keys that sign the town's letters, and say what to publish in the DNS

The keys are RSA and Ed25519. The private ones stay sealed and are never shown. Letters
are signed by them once the records are published and the selector is set:

  vaguemestre tenant set --tenant T dkim_domain=DOMAIN dkim_selector=SELECTOR

To change keys, make new ones under another selector, publish, set it, and leave the old
records in the DNS for a week: letters on their way are signed by them.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.Selector == "" {
				a.Selector = time.Now().Format("vm20060102")
			}
			return c.call(cmd, "mail/dkim/new", a, showDKIM)
		}}
	tenantFlag(add, &a)
	add.Flags().StringVar(&a.Selector, "selector", "", "name of the keys in the DNS; vm and the day unless given")
	return group("dkim", "The keys that sign a town's letters", c.jsonFlag(required(add, "tenant")))
}

func showDKIM(w io.Writer, line json.RawMessage) error {
	var k control.DKIMRecord
	if err := json.Unmarshal(line, &k); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, zone.Record{Name: k.Name, Type: k.Type, Value: k.Value})
	return err
}

// newMailCheck: exit 1 when a relay that is set does not take letters.
func newMailCheck(c *client) *cobra.Command {
	var a control.Args
	cmd := &cobra.Command{Use: "check", Short: "Try the relay, without sending, and check the DNS records of the sender's domain: exit 1 when letters cannot go out", Args: noArgs}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		resolver := nameServers(Config{Resolver: os.Getenv(envPrefix + "RESOLVER")})
		out, faulty := cmd.OutOrStdout(), false
		err := control.Dial(socketOf(c.home)).Call(cmd.Context(), "mail/check", a, func(line json.RawMessage) error {
			var s control.Sending
			if err := json.Unmarshal(line, &s); err != nil {
				return err
			}
			faulty = faulty || !s.Sends || s.Fault != ""
			if c.json {
				_, err := out.Write(line)
				return err
			}
			showSending(cmd.Context(), out, s, resolver)
			return nil
		})
		if err == nil && faulty {
			return &silentError{}
		}
		return err
	}
	tenantFlag(cmd, &a)
	return c.jsonFlag(cmd)
}
