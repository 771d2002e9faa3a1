package main

import (
	"bytes"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"vaguemestre/cmd/vaguemestre/control"
	"vaguemestre/core/tenant"
)

// newSecret: what a town is let in with elsewhere. A secret comes from a file or stdin,
// never from the command line, which other accounts can read; none is ever shown.
func newSecret(c *client) *cobra.Command {
	var a control.Args
	var file string
	set := &cobra.Command{Use: "set", Short: "Set a secret, read from a file or from standard input", Args: noArgs,
		Example: "  vaguemestre tenant secret set --tenant demo --name relay --file /run/secrets/relay",
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if a.Secret, err = readSecretFile(cmd.InOrStdin(), file); err != nil {
				return err
			}
			return c.call(cmd, "tenant/secret/set", a, nil)
		}}
	set.Flags().StringVar(&file, "file", "", "file that holds it; standard input unless given. One line break at its end is not part of it")
	list := &cobra.Command{Use: "list", Short: "List the names of the secrets that are set", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.call(cmd, "tenant/secret/list", a, showFields("name", "set"))
		}}
	forget := &cobra.Command{Use: "forget", Short: "Remove a secret", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.call(cmd, "tenant/secret/forget", a, nil) }}
	for _, cmd := range []*cobra.Command{set, list, forget} {
		tenantFlag(cmd, &a)
		c.jsonFlag(cmd)
	}
	for _, cmd := range []*cobra.Command{set, forget} {
		cmd.Flags().StringVar(&a.Name, "name", "", "its name: relay, dkim, mailbox/ID")
	}
	return group("secret", "What a town is let in with elsewhere: passwords, tokens, signing keys",
		required(set, "tenant", "name"), required(list, "tenant"), required(forget, "tenant", "name"))
}

// readSecretFile reads a secret; a file that ends in a line break ends before it.
func readSecretFile(stdin io.Reader, file string) ([]byte, error) {
	in := stdin
	if file != "" {
		f, err := os.Open(file)
		if err != nil {
			return nil, &usageError{err}
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, tenant.MaxSecret+3))
	if err != nil {
		return nil, fmt.Errorf("read secret: %w", err)
	}
	return bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r")), nil
}
