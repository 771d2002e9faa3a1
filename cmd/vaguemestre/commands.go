package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"vaguemestre/cmd/vaguemestre/control"
	"vaguemestre/core/tenant"
)

// The commands that talk to the running process.

func newTenant(c *client) *cobra.Command {
	var a control.Args
	add := &cobra.Command{Use: "add", Short: "Found a town, with its keys, settings and the default catalogue", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.call(cmd, "tenant/add", a, showFields("id", "code", "name"))
		}}
	add.Flags().StringVar(&a.Code, "code", "", "short name: small letters, digits, dashes")
	add.Flags().StringVar(&a.Name, "name", "", "name as citizens read it")
	add.Flags().StringVar(&a.Domain, "domain", "", "domain of its secret deposit addresses (in a development home: depot.CODE.test unless given)")
	list := &cobra.Command{Use: "list", Short: "List the towns", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.call(cmd, "tenant/list", control.Args{}, showFields("id", "code", "name"))
		}}
	var s control.Args
	set := &cobra.Command{Use: "set [KEY=VALUE…]", Short: "Change settings of a town, and show them: each change is a new version",
		Long:    "Change settings of a town, and show them: each change is a new version. KEY= empties one.\n\n" + townSettings(),
		Example: "  vaguemestre tenant set --tenant demo generic_address=depot@ville.fr address_form=plus",
		RunE: func(cmd *cobra.Command, pairs []string) error {
			var err error
			if s.Settings, err = settingsOf(pairs); err != nil {
				return err
			}
			return c.call(cmd, "tenant/set", s, showSettings)
		}}
	tenantFlag(set, &s)
	return group("tenant", "Towns (collectivités)", c.jsonFlag(required(add, "code", "name")), c.jsonFlag(list), c.jsonFlag(required(set, "tenant")), newSecret(c), newMentions(c))
}

func newCitizen(c *client) *cobra.Command {
	var a control.Args
	add := &cobra.Command{Use: "add", Short: "Enrol a citizen: vault, reading consent, deposit address", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.call(cmd, "citizen/add", a, showFields("id", "deposit_address"))
		}}
	tenantFlag(add, &a)
	add.Flags().StringVar(&a.Given, "given", "", "given name")
	add.Flags().StringVar(&a.Family, "family", "", "family name")
	add.Flags().StringVar(&a.Email, "email", "", "e-mail address")
	add.Flags().BoolVar(&a.NoReading, "no-reading", false, "no consent to reading: deposits are kept unread and wait for a type chosen by hand")

	address := func(use, short string, fields ...string) *cobra.Command {
		var a control.Args
		cmd := &cobra.Command{Use: use, Short: short, Args: noArgs, RunE: func(cmd *cobra.Command, _ []string) error {
			return c.call(cmd, "citizen/address/"+use, a, showFields(fields...))
		}}
		citizenFlag(cmd, &a)
		return c.jsonFlag(required(cmd, "citizen"))
	}
	var r control.Args
	rotate := &cobra.Command{Use: "rotate", Short: "Revoke the addresses in force and make a new one", Args: noArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return c.call(cmd, "citizen/address/rotate", r, showFields("deposit_address"))
	}}
	citizenFlag(rotate, &r)
	rotate.Flags().IntVar(&r.Days, "days", 0, "days after which the new one ends by itself; 0: never")
	return group("citizen", "Citizens (usagers)",
		c.jsonFlag(required(add, "tenant", "given", "family", "email")),
		group("address", "A citizen's secret deposit addresses",
			address("show", "Show the addresses, revoked ones included (journaled)", "address", "created", "revoked"),
			c.jsonFlag(required(rotate, "citizen")),
			address("revoke", "Revoke the addresses in force: mail to them is refused from now on")),
		newSender(c))
}

// newSender: the addresses a citizen writes from. The token of add goes to the address
// itself; in a development home it is shown.
func newSender(c *client) *cobra.Command {
	sub := func(use, short string, flag func(*cobra.Command, *control.Args), needs []string, fields ...string) *cobra.Command {
		var a control.Args
		cmd := &cobra.Command{Use: use, Short: short, Args: noArgs, RunE: func(cmd *cobra.Command, _ []string) error {
			return c.call(cmd, "citizen/sender/"+use, a, showFields(fields...))
		}}
		citizenFlag(cmd, &a)
		flag(cmd, &a)
		return c.jsonFlag(required(cmd, append(needs, "citizen")...))
	}
	return group("sender", "The addresses a citizen writes from: a verified one vouches for what it sends",
		sub("list", "Show them, forgotten ones included (journaled)", func(*cobra.Command, *control.Args) {}, nil, "id", "address", "how", "verified", "revoked"),
		sub("add", "Note an address; it vouches for nothing until it is verified", func(cmd *cobra.Command, a *control.Args) {
			cmd.Flags().StringVar(&a.Email, "email", "", "the address")
		}, []string{"email"}, "id", "token", "sent"),
		sub("verify", "Take the token that was sent to an address as proof", func(cmd *cobra.Command, a *control.Args) {
			cmd.Flags().StringVar(&a.Token, "token", "", "the token")
		}, []string{"token"}, "verified"),
		sub("forget", "Let an address vouch for nothing any more", func(cmd *cobra.Command, a *control.Args) {
			cmd.Flags().StringVar(&a.Sender, "sender", "", "its id")
		}, []string{"sender"}))
}

func newVault(c *client) *cobra.Command {
	var a control.Args
	list := &cobra.Command{Use: "list", Short: "List a citizen's documents", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.call(cmd, "vault/list", a, showDocument) }}
	var output string
	get := &cobra.Command{Use: "get", Short: "Write a document's original, byte for byte, to stdout or a file", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.get(cmd, "vault/get", a, output) }}
	get.Flags().StringVarP(&output, "output", "o", "", "file to write instead of stdout")
	confirm := &cobra.Command{Use: "confirm", Short: "Say the citizen's yes to what arrived unproven: a document, or all that a deposit brought", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.Document == "" && a.Deposit == "" && a.Token == "" {
				return &usageError{errors.New("name what to confirm: --document, --deposit or --token")}
			}
			return c.call(cmd, "vault/confirm", a, showFields("id", "state"))
		}}
	link := &cobra.Command{Use: "link", Short: "Make the token of a link that confirms a deposit, or deletes a document", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.call(cmd, "vault/link", a, showFields("token")) }}
	for _, cmd := range []*cobra.Command{list, get, confirm, link} {
		citizenFlag(cmd, &a)
		c.jsonFlag(cmd)
	}
	for _, cmd := range []*cobra.Command{get, confirm, link} {
		cmd.Flags().StringVar(&a.Document, "document", "", "the document's id")
	}
	for _, cmd := range []*cobra.Command{confirm, link} {
		cmd.Flags().StringVar(&a.Deposit, "deposit", "", "a deposit's id: all that it brought")
	}
	confirm.Flags().StringVar(&a.Token, "token", "", "the token of a link, in the place of a deposit's id")
	confirm.Flags().BoolVar(&a.Remember, "remember", false, "let what this deposit's sender sends, proven, need no yes from now on")
	return group("vault", "A citizen's documents (porte-documents); every act is journaled",
		append(revisions(c), required(list, "citizen"), required(get, "citizen", "document"), required(confirm, "citizen"), required(link, "citizen"), newReceipts(c))...)
}

// get writes to a file only once the whole has arrived.
func (c *client) get(cmd *cobra.Command, name string, a control.Args, output string) error {
	running := control.Dial(socketOf(c.home))
	if output == "" {
		return running.Get(cmd.Context(), name, a, cmd.OutOrStdout())
	}
	f, err := os.CreateTemp(filepath.Dir(output), ".vaguemestre-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	err = running.Get(cmd.Context(), name, a, f)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), output)
}

func newCheck(c *client) *cobra.Command {
	check := &cobra.Command{Use: "check", Short: "Close the ledger, and read every stored byte once: exit 1 when something is missing", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.verdict(cmd, "check", control.Args{}) }}
	return c.jsonFlag(check)
}

func newJournal(c *client) *cobra.Command {
	var a control.Args
	verify := &cobra.Command{Use: "verify", Short: "Walk the journal's chains: exit 1 and the first bad entry when one was changed", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.verdict(cmd, "journal/verify", a) }}
	tenantFlag(verify, &a)
	return group("journal", "The chained journal of every vault", c.jsonFlag(verify))
}

// townSettings is what a town may set, a line each.
func townSettings() string {
	var b strings.Builder
	for _, s := range tenant.List() {
		fmt.Fprintf(&b, "  %-16s  %s\n", s.Name, s.Help)
	}
	return b.String()
}

// verdict shows a command whose last line says whether all is well.
func (c *client) verdict(cmd *cobra.Command, name string, a control.Args) error {
	var last control.Closing
	out := cmd.OutOrStdout()
	err := control.Dial(socketOf(c.home)).Call(cmd.Context(), name, a, func(line json.RawMessage) error {
		last = control.Closing{}
		if err := json.Unmarshal(line, &last); err != nil {
			return err
		}
		_, err := out.Write(line)
		return err
	})
	if err == nil && !last.Closed {
		return &silentError{}
	}
	return err
}

func tenantFlag(cmd *cobra.Command, a *control.Args) {
	cmd.Flags().StringVar(&a.Tenant, "tenant", "", "the town's id or code")
}

func citizenFlag(cmd *cobra.Command, a *control.Args) {
	cmd.Flags().StringVar(&a.Citizen, "citizen", "", "the citizen's id")
}

// showFields prints the named fields of a line, tab separated.
func showFields(fields ...string) func(io.Writer, json.RawMessage) error {
	return func(w io.Writer, line json.RawMessage) error {
		var m map[string]any
		if err := json.Unmarshal(line, &m); err != nil {
			return err
		}
		parts := make([]string, len(fields))
		for i, f := range fields {
			if parts[i] = "-"; m[f] != nil {
				parts[i] = fmt.Sprint(m[f])
			}
		}
		_, err := fmt.Fprintln(w, strings.Join(parts, "\t"))
		return err
	}
}

func showSettings(w io.Writer, line json.RawMessage) error {
	var answer struct {
		Version  int
		Settings map[string]any
	}
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.UseNumber() // 20000000 stays that
	if err := dec.Decode(&answer); err != nil {
		return err
	}
	fmt.Fprintf(w, "version %d\n", answer.Version)
	for _, key := range slices.Sorted(maps.Keys(answer.Settings)) {
		fmt.Fprintf(w, "  %-16s %v\n", key, answer.Settings[key])
	}
	return nil
}

func showDocument(w io.Writer, line json.RawMessage) error {
	var r control.Row
	if err := json.Unmarshal(line, &r); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%s  %-30s %3.0f %%  %-24s issued %s  valid until %s  %s, %s  %s\n",
		r.ID, r.Type, 100*r.Confidence, orDash(r.Holder), orDash(r.Issued), orDash(r.ValidUntil), r.State, r.Standing, r.Filename)
	return err
}

// orDash shows a value that may be unknown.
func orDash[T any](v *T) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprint(*v)
}
