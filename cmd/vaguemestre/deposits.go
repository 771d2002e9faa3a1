package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"vaguemestre/cmd/vaguemestre/control"
	"vaguemestre/core/attribution"
)

// newDeposits: what arrived, and the desk for what belongs to nobody yet.
func newDeposits(c *client) *cobra.Command {
	var a control.Args
	list := &cobra.Command{Use: "list", Short: "List what arrived, with its pieces, their states and reasons", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.call(cmd, "deposits/list", a, showDeposit) }}
	show := &cobra.Command{Use: "show", Short: "Show a deposit's sender, what is proven of it and who might be meant (journaled)", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.call(cmd, "deposits/show", a, showArrival) }}
	attach := &cobra.Command{Use: "attach", Short: "Give a held deposit to a citizen, who has to confirm it", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.call(cmd, "deposits/attach", a, showFields("id", "citizen", "state"))
		}}
	detach := &cobra.Command{Use: "detach", Short: "Undo a filing in the wrong vault: it loses the deposit at once, which is held again", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.call(cmd, "deposits/detach", a, showFields("id", "state"))
		}}
	for _, cmd := range []*cobra.Command{list, show, attach, detach} {
		tenantFlag(cmd, &a)
		c.jsonFlag(cmd)
	}
	for _, cmd := range []*cobra.Command{show, attach, detach} {
		cmd.Flags().StringVar(&a.Deposit, "deposit", "", "the deposit's id")
	}
	for _, cmd := range []*cobra.Command{attach, detach} {
		citizenFlag(cmd, &a)
	}
	attach.Flags().StringSliceVar(&a.Matches, "match", nil, "data of the citizen that you found again in it, at least two of "+strings.Join(attribution.Matches, ", "))
	return group("deposits", "What arrived (dépôts)", required(list, "tenant"), required(show, "tenant", "deposit"),
		required(attach, "tenant", "deposit", "citizen"), required(detach, "tenant", "deposit", "citizen"))
}

func showDeposit(w io.Writer, line json.RawMessage) error {
	var d struct {
		ID, Channel, State, Reason, Received, Signed string
		Trust                                        int
		Pieces                                       []struct {
			N                             int
			State, Reason, Sentence, Kind string
		}
	}
	if err := json.Unmarshal(line, &d); err != nil {
		return err
	}
	fmt.Fprintf(w, "%s  %s  %s  T%d  %s\n", d.ID, d.Received, d.Channel, d.Trust, strings.TrimSpace(d.State+" "+d.Reason+" "+signed(d.Signed)))
	for _, p := range d.Pieces {
		fmt.Fprintf(w, "  %d  %-5s %-10s %s  %s\n", p.N, p.Kind, p.State, p.Reason, p.Sentence)
	}
	return nil
}

func signed(kind string) string {
	if kind == "" {
		return ""
	}
	return "(signed: " + kind + ")"
}

func showArrival(w io.Writer, line json.RawMessage) error {
	var a control.Arrival
	if err := json.Unmarshal(line, &a); err != nil {
		return err
	}
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-10s "+format+"\n", append([]any{name}, args...)...)
	}
	row("deposit", "%s, by %s, %s", a.ID, a.Channel, a.Received.Format("2006-01-02 15:04"))
	row("state", "%s %s", a.State, a.Reason)
	if a.Until != nil {
		row("until", "%s: destroyed then, unless it is attached", a.Until.Format("2006-01-02"))
	}
	if a.Citizen != "" {
		row("citizen", "%s", a.Citizen)
	}
	row("trust", "T%d, %s", a.Trust, a.TrustWhy)
	row("from", "%s <%s>", a.Name, a.From)
	row("envelope", "<%s> from %s", a.MailFrom, a.Remote)
	row("proven", "%v (%s); dkim %s, spf %s, dmarc %s", a.Proven, a.Origin, a.DKIM, a.SPF, a.DMARC)
	for _, c := range a.Candidates {
		row("resembles", "%s, by %v", c.Citizen, c.Like)
	}
	return nil
}
