package main

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"vaguemestre/cmd/vaguemestre/control"
	"vaguemestre/core/dispatch"
)

// newService: who may receive documents by e-mail, and how.
func newService(c *client) *cobra.Command {
	var a control.Args
	add := &cobra.Command{Use: "add", Short: "Declare a service and the mailbox at which it receives documents", Args: noArgs,
		Example: "  vaguemestre service add --tenant demo --code etat-civil --name \"État civil\" --mailbox etat-civil@ville.fr"}
	set := &cobra.Command{Use: "set", Short: "Change what is given of a service", Args: noArgs}
	list := &cobra.Command{Use: "list", Short: "List the services with their agents and rules", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.call(cmd, "service/list", a, showService) }}
	remove := &cobra.Command{Use: "remove", Short: "End a service: it receives nothing any more, what waits to go there is cancelled", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.call(cmd, "service/remove", a, nil) }}
	for _, cmd := range []*cobra.Command{add, set} {
		serviceFlags(cmd)
		cmd.RunE = func(cmd *cobra.Command, _ []string) error {
			var err error
			if a.Settings, err = serviceFields(cmd); err != nil {
				return err
			}
			return c.call(cmd, "service/"+cmd.Name(), a, showService)
		}
	}
	for _, cmd := range []*cobra.Command{add, set, list, remove} {
		tenantFlag(cmd, &a)
		c.jsonFlag(cmd)
	}
	for _, cmd := range []*cobra.Command{add, set, remove} {
		cmd.Flags().StringVar(&a.Code, "code", "", "short name: small letters, digits, dashes")
	}
	return group("service", "Services of a town that receive documents by e-mail",
		required(add, "tenant", "code", "name", "mailbox"), required(set, "tenant", "code"), required(list, "tenant"), required(remove, "tenant", "code"),
		newRule(c), newServiceAgent(c))
}

// serviceFlags are what may change of a service; serviceFields are those that were given.
func serviceFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.String("name", "", "name as agents read it")
	f.String("mailbox", "", "the one address its documents go to")
	f.String("language", "fr", "of what it is sent: fr, en")
	f.Int64("max-bytes", dispatch.DefaultMaxBytes, "largest message it takes, as it is sent")
	f.Bool("links-only", false, "send links alone, no file")
	f.String("template", dispatch.DefaultTemplate, "file names, of {"+strings.Join(dispatch.Fields, "}, {")+"} and text")
	f.Bool("ascii", false, "file names in ASCII")
	f.String("certificate", "", "file of the certificate that messages are encrypted to (S/MIME); none to send them unencrypted")
}

func serviceFields(cmd *cobra.Command) (map[string]string, error) {
	fields := map[string]string{}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		switch f.Name {
		case "tenant", "code", "json", "home":
		default:
			fields[f.Name] = f.Value.String()
		}
	})
	file, given := fields["certificate"]
	if !given {
		return fields, nil
	}
	if fields["certificate"] = ""; file == "none" {
		return fields, nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, &usageError{fmt.Errorf("--certificate: %w", err)}
	}
	if block, _ := pem.Decode(b); block == nil {
		b = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: b})
	}
	fields["certificate"] = string(b)
	return fields, nil
}

func newRule(c *client) *cobra.Command {
	var a control.Args
	add := &cobra.Command{Use: "add", Short: "Send every document of a type to a service by itself, in the place of an earlier rule for it", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.call(cmd, "service/rule/add", a, showFields("type", "when", "purpose"))
		}}
	add.Flags().StringVar(&a.When, "when", string(dispatch.WhenFiled), "filed: once nobody has to confirm it; validated: once it counts")
	add.Flags().StringVar(&a.Purpose, "purpose", "", "what the documents are for, as the service and the citizen read it")
	remove := &cobra.Command{Use: "remove", Short: "End a rule", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.call(cmd, "service/rule/remove", a, nil) }}
	for _, cmd := range []*cobra.Command{add, remove} {
		serviceFlag(cmd, &a)
		cmd.Flags().StringVar(&a.Type, "type", "", "type of documents, a code of the catalogue")
		c.jsonFlag(cmd)
	}
	return group("rule", "What goes to a service by itself", required(add, "tenant", "service", "type", "purpose"), required(remove, "tenant", "service", "type"))
}

func newServiceAgent(c *client) *cobra.Command {
	var a control.Args
	add := &cobra.Command{Use: "add", Short: "Make an agent one of a service's: they may open the links it was sent", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.call(cmd, "service/agent/add", a, showFields("id", "service"))
		}}
	add.Flags().StringVar(&a.Name, "name", "", "name of an agent to enrol")
	remove := &cobra.Command{Use: "remove", Short: "End that at once", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.call(cmd, "service/agent/remove", a, nil) }}
	for _, cmd := range []*cobra.Command{add, remove} {
		serviceFlag(cmd, &a)
		cmd.Flags().StringVar(&a.Agent, "agent", "", "id of an agent who is enrolled")
		c.jsonFlag(cmd)
	}
	return group("agent", "Who works in a service", required(add, "tenant", "service"), required(remove, "tenant", "service", "agent"))
}

func serviceFlag(cmd *cobra.Command, a *control.Args) {
	tenantFlag(cmd, a)
	cmd.Flags().StringVar(&a.Service, "service", "", "the service's code")
}

// newDispatch: documents on their way to services.
func newDispatch(c *client) *cobra.Command {
	var a control.Args
	send := &cobra.Command{Use: "send", Short: "Send documents of a citizen to a service, as an agent of the town (journaled)", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.call(cmd, "dispatch/send", a, showDispatch) }}
	serviceFlag(send, &a)
	citizenFlag(send, &a)
	send.Flags().StringVar(&a.Agent, "agent", "", "the agent's id")
	send.Flags().StringSliceVar(&a.Documents, "document", nil, "ids of the documents")
	send.Flags().StringVar(&a.Purpose, "purpose", "", "what they are for, as the service and the citizen read it")
	list := &cobra.Command{Use: "list", Short: "List dispatches and what became of each part", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.call(cmd, "dispatch/list", a, showDispatch) }}
	tenantFlag(list, &a)
	citizenFlag(list, &a)
	var output string
	open := &cobra.Command{Use: "open", Short: "Write the document of a link that a service was sent, as one of its agents (journaled)", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.get(cmd, "dispatch/open", a, output) }}
	tenantFlag(open, &a)
	open.Flags().StringVar(&a.Agent, "agent", "", "the agent's id")
	open.Flags().StringVar(&a.Token, "token", "", "the token of the link")
	open.Flags().IntVar(&a.File, "file", 1, "which of its files, when the document has several")
	open.Flags().StringVarP(&output, "output", "o", "", "file to write instead of stdout")
	one := func(use, short string) *cobra.Command {
		var a control.Args
		cmd := &cobra.Command{Use: use + " ID", Short: short, Args: cobra.ArbitraryArgs, RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return &usageError{fmt.Errorf("name one dispatch by its id")}
			}
			a.Dispatch = args[0]
			return c.call(cmd, "dispatch/"+use, a, showDispatch)
		}}
		tenantFlag(cmd, &a)
		return c.jsonFlag(required(cmd, "tenant"))
	}
	return group("dispatch", "Documents sent to the services of a town (envois)",
		c.jsonFlag(required(send, "tenant", "service", "citizen", "agent", "purpose")), c.jsonFlag(required(list, "tenant")),
		one("show", "Show a dispatch and what became of each part"),
		one("resend", "Send the same documents anew, laid out for the service as it is now (journaled)"),
		one("cancel", "Keep from going what has not gone yet, and close the links of what has (journaled)"),
		required(open, "tenant", "agent", "token"))
}

func showService(w io.Writer, line json.RawMessage) error {
	var s control.Service
	if err := json.Unmarshal(line, &s); err != nil {
		return err
	}
	fmt.Fprintf(w, "%-20s %s <%s>, at most %d bytes\n", s.Code, s.Name, s.Mailbox, s.MaxBytes)
	if s.Certificate != nil {
		fmt.Fprintf(w, "  encrypted until %s  %s\n", s.Certificate.Until.Format("2006-01-02"), s.Certificate.Fault)
	}
	for _, a := range s.Agents {
		fmt.Fprintf(w, "  agent %s\n", a)
	}
	for _, r := range s.Rules {
		fmt.Fprintf(w, "  %s when %s: %s\n", r.Type, r.When, r.Purpose)
	}
	return nil
}

func showDispatch(w io.Writer, line json.RawMessage) error {
	var d control.Dispatch
	if err := json.Unmarshal(line, &d); err != nil {
		return err
	}
	by := "by agent " + string(d.Agent)
	if d.Rule {
		by = "by rule"
	}
	fmt.Fprintf(w, "%s  %s  %s  to %s, %s\n", d.ID, d.Created.Format("2006-01-02 15:04"), d.State, d.Service, by)
	for _, p := range d.Parts {
		fmt.Fprintf(w, "  %d/%d  %-9s %s\n", p.N, len(d.Parts), p.State, p.Sentence)
		for _, doc := range p.Documents {
			how := "file"
			if doc.Link {
				how = "link"
			}
			fmt.Fprintf(w, "       %2d  %s  %s\n", doc.N, doc.ID, how)
		}
	}
	return nil
}
