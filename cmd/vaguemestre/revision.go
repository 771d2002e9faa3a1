package main

import (
	"errors"

	"github.com/spf13/cobra"

	"vaguemestre/cmd/vaguemestre/control"
)

// revisions: the former versions of a document, deletion, and the way back from both.
func revisions(c *client) []*cobra.Command {
	var a control.Args
	versions := &cobra.Command{Use: "versions", Short: "List a document's versions, and until when a former one can be brought back", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.call(cmd, "vault/versions", a, showFields("version", "in_force", "created", "state", "restorable_until"))
		}}
	restore := &cobra.Command{Use: "restore", Short: "Bring back a former version, or without --version a deleted document, for 30 days", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.call(cmd, "vault/restore", a, showFields("id", "version", "state", "standing"))
		}}
	restore.Flags().IntVar(&a.Version, "version", 0, "number of the version")
	remove := &cobra.Command{Use: "delete", Short: "Delete a document: 30 days to bring it back", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (a.Document == "") == (a.Token == "") {
				return &usageError{errors.New("name what to delete: --document or --token")}
			}
			return c.call(cmd, "vault/delete", a, showFields("id", "standing"))
		}}
	remove.Flags().StringVar(&a.Token, "token", "", "the token of a link that deletes, in the place of a document's id")
	for _, cmd := range []*cobra.Command{versions, restore, remove} {
		citizenFlag(cmd, &a)
		cmd.Flags().StringVar(&a.Document, "document", "", "the document's id")
		c.jsonFlag(cmd)
	}
	return []*cobra.Command{required(versions, "citizen", "document"), required(restore, "citizen", "document"), required(remove, "citizen")}
}

// newMailReports lists what came back to the letters' return paths.
func newMailReports(c *client) *cobra.Command {
	var a control.Args
	list := &cobra.Command{Use: "reports", Short: "List what came to the return paths of letters, and what it says of them", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.call(cmd, "mail/reports", a, showFields("received", "letter", "state", "says"))
		}}
	tenantFlag(list, &a)
	return c.jsonFlag(required(list, "tenant"))
}
