package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"vaguemestre/cmd/vaguemestre/control"
)

// newMailbox: mailboxes the town has already, emptied into the same pipeline as SMTP.
func newMailbox(c *client) *cobra.Command {
	add := c.mailboxChange("add", "Have a mailbox emptied", showBox)
	add.Example = "  vaguemestre mailbox add --tenant demo --secret-file /run/secrets/depot server=imap.ville.fr:993 user=depot@ville.fr\n" +
		"  vaguemestre mailbox add --tenant demo --secret-file depot.json provider=microsoft directory=DIRECTORY-ID client_id=APPLICATION-ID user=depot@ville.fr"
	set := c.mailboxChange("set", "Change how a mailbox is reached, switch it on or off, set its secret", showFields("id", "enabled"))
	var a control.Args
	list := &cobra.Command{Use: "list", Short: "List the mailboxes: how they are, what waits in them, what went wrong", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.call(cmd, "mailbox/list", a, showBox) }}
	test := &cobra.Command{Use: "test", Short: "Have a mailbox tried now, and say what became of it: exit 1 when it failed. One that is off is only signed in to", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.mailboxTest(cmd, a) }}
	remove := &cobra.Command{Use: "remove", Short: "Empty a mailbox no more, and forget its secret; its messages stay", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.call(cmd, "mailbox/remove", a, nil) }}
	for _, cmd := range []*cobra.Command{list, test, remove} {
		tenantFlag(cmd, &a)
		c.jsonFlag(cmd)
	}
	for _, cmd := range []*cobra.Command{test, remove} {
		cmd.Flags().StringVar(&a.Mailbox, "mailbox", "", "the mailbox's id")
	}
	return group("mailbox", "Mailboxes that are emptied (boîtes relevées)", add, required(list, "tenant"), set, required(test, "tenant", "mailbox"), required(remove, "tenant", "mailbox"))
}

// mailboxChange is add or set: KEY=VALUE pairs, a switch, and a secret from a file.
func (c *client) mailboxChange(use, short string, show func(io.Writer, json.RawMessage) error) *cobra.Command {
	var a control.Args
	var secret string
	var on bool
	cmd := &cobra.Command{Use: use + " KEY=VALUE…", Short: short}
	cmd.RunE = func(cmd *cobra.Command, pairs []string) (err error) {
		if a.Settings, err = settingsOf(pairs); err != nil {
			return err
		}
		if cmd.Flags().Changed("enabled") {
			a.Enabled = &on
		}
		if secret != "" {
			file := secret
			if file == "-" {
				file = ""
			}
			if a.Secret, err = readSecretFile(cmd.InOrStdin(), file); err != nil {
				return err
			}
		}
		return c.call(cmd, "mailbox/"+use, a, show)
	}
	tenantFlag(cmd, &a)
	cmd.Flags().StringVar(&secret, "secret-file", "", "file with the password or, for tokens, with JSON {\"client_secret\", \"refresh_token\"}; - for standard input")
	cmd.Flags().BoolVar(&on, "enabled", true, "whether it is emptied")
	needs := []string{"tenant"}
	if use == "set" {
		cmd.Flags().StringVar(&a.Mailbox, "mailbox", "", "the mailbox's id")
		needs = append(needs, "mailbox")
	}
	return c.jsonFlag(required(cmd, needs...))
}

// settingsOf reads KEY=VALUE pairs.
func settingsOf(pairs []string) (map[string]string, error) {
	settings := map[string]string{}
	for _, pair := range pairs {
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, &usageError{fmt.Errorf("%q: want KEY=VALUE", pair)}
		}
		settings[key] = value
	}
	return settings, nil
}

func (c *client) mailboxTest(cmd *cobra.Command, a control.Args) error {
	failed := false
	out := cmd.OutOrStdout()
	err := control.Dial(socketOf(c.home)).Call(cmd.Context(), "mailbox/test", a, func(line json.RawMessage) error {
		var b control.Box
		if err := json.Unmarshal(line, &b); err != nil {
			return err
		}
		failed = b.Error != nil
		if c.json {
			_, err := out.Write(line)
			return err
		}
		return showBox(out, line)
	})
	if err == nil && failed {
		return &silentError{}
	}
	return err
}

func showBox(w io.Writer, line json.RawMessage) error {
	var b control.Box
	if err := json.Unmarshal(line, &b); err != nil {
		return err
	}
	last := "never"
	if b.Success != nil {
		last = b.Success.Format(time.RFC3339)
	}
	fmt.Fprintf(w, "%s  %-8s %s  %s  %s  last success %s  %d waiting, %d failed, %d refused\n", b.ID, b.State, b.User, b.Server, b.Folder, last, b.Waiting, b.Failed, b.Refused)
	if b.Error != nil {
		fmt.Fprintf(w, "  %s: %s\n", b.Error.Code, b.Error.Message)
	}
	for _, m := range b.Messages {
		fmt.Fprintf(w, "  %s: %s\n", m.Code, m.Message)
	}
	return nil
}
