package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"vaguemestre/cmd/vaguemestre/control"
)

func newDemo(c *client) *cobra.Command {
	var addr string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Send three e-mails to the running home and show what becomes of them",
		Long: `Send three e-mails to the running home and show what becomes of them.

An income-tax notice as PDF, the photo of an electricity bill as JPEG, and a text
file, which is refused. They go by SMTP to the citizen of the town for demonstration;
each run makes new papers.`,
		Args: noArgs,
	}
	cmd.Flags().StringVar(&addr, "smtp", "", "address to send to (default: where the running process listens)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		d := &demo{out: cmd.OutOrStdout(), running: control.Dial(socketOf(c.home)), self: os.Args[0] + " --home " + c.home}
		err := d.find(cmd.Context(), addr)
		var fault *control.Fault
		if errors.As(err, &fault) && fault.Code == "not_running" {
			return fmt.Errorf("no server runs on %s: start one with `make run` (or `vaguemestre run`) in another terminal", c.home)
		}
		if err != nil {
			return err
		}
		return d.play(cmd.Context(), time.Now())
	}
	return cmd
}

// demo is one demonstration.
type demo struct {
	out     io.Writer
	running *control.Client
	self    string // how to call us again
	at      control.Demonstration
}

// demoFor bounds the wait for one e-mail's end, and for the sandbox to be compiled.
const demoFor = time.Minute

// find asks the running process where to send, and waits until it reads PDF files: the
// first start on a machine compiles their reader.
func (d *demo) find(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, demoFor)
	defer cancel()
	for told := false; ; told = true {
		err := d.running.Call(ctx, "demonstration", control.Args{}, func(line json.RawMessage) error { return json.Unmarshal(line, &d.at) })
		if err != nil {
			return err
		}
		if d.at.Ready {
			break
		}
		if !told {
			fmt.Fprintln(d.out, "The reader of PDF files is being compiled, once a machine: 10 to 15 seconds.")
		}
		select {
		case <-ctx.Done():
			return errors.New("the reader of PDF files did not come up; the log of the running process says why")
		case <-time.After(time.Second):
		}
	}
	if addr != "" {
		d.at.SMTP = addr
	}
	switch {
	case d.at.Address == "":
		return fmt.Errorf("all addresses of the citizen were revoked: %s citizen address rotate --citizen %s", d.self, d.at.Citizen)
	case d.at.SMTP == "":
		return errors.New("the process of this home receives no mail: name one that does with --smtp")
	}
	return nil
}

// play sends one e-mail after the other, follows each to its end, and shows the vault.
func (d *demo) play(ctx context.Context, now time.Time) error {
	letters, err := demoLetters(now)
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "%s: mail to %s at %s\nVault of citizen %s\n", d.at.Town, d.at.Address, d.at.SMTP, d.at.Citizen)
	asWanted := true
	for i, l := range letters {
		fmt.Fprintf(d.out, "\n%d. %s, with %s (%s)\n", i+1, l.subject, l.name, bytesOf(len(l.file)))
		if err := d.post(ctx, l, now); err != nil {
			return err
		}
		if err := d.follow(ctx, l); err != nil {
			return err
		}
		asWanted = asWanted && l.piece.State == l.wanted
	}
	last, err := d.showVault(ctx, letters)
	if err != nil {
		return err
	}
	d.showRest(letters)
	if last != "" {
		fmt.Fprintf(d.out, "\nThe citizen's yes\n   %s vault confirm --citizen %s --document %s\n", d.self, d.at.Citizen, last)
	}
	if !asWanted {
		fmt.Fprintln(d.out, "\nThat is not what should have come of them.")
		return &silentError{}
	}
	return nil
}

// post hands a letter over by SMTP.
func (d *demo) post(ctx context.Context, l *letter, now time.Time) error {
	message, err := l.message(d.at.Address, now)
	if err != nil {
		return err
	}
	reply, err := handOver(ctx, d.at.SMTP, demoSender, d.at.Address, message, &l.began)
	if err != nil {
		return fmt.Errorf("send to %s: %w", d.at.SMTP, err)
	}
	d.step(l, "250 "+reply)
	_, id, found := strings.Cut(reply, "Taken in: ")
	if !found {
		return fmt.Errorf("%s answered like no vaguemestre: %q", d.at.SMTP, reply)
	}
	l.deposit = strings.TrimSpace(id)
	return nil
}

func (d *demo) step(l *letter, what string) {
	fmt.Fprintf(d.out, "   %6.3f s  %s\n", time.Since(l.began).Seconds(), what)
}

// demoPiece is what the running process says of a piece.
type demoPiece struct {
	State, Desk, Reason, Sentence, Document string
}

// stands is a piece's state with, where it has one, whose desk and why.
func (p demoPiece) stands() string {
	return strings.Join(strings.Fields(p.State+" "+p.Desk+" "+p.Reason), " ")
}

// follow shows every state a letter passes through, asking a hundred times a second.
func (d *demo) follow(ctx context.Context, l *letter) error {
	ctx, cancel := context.WithTimeout(ctx, demoFor)
	defer cancel()
	for last := "received"; ; {
		piece, err := d.ask(ctx, l.deposit)
		if err != nil {
			return err
		}
		if now := piece.stands(); now != last {
			d.step(l, now)
			last = now
		}
		switch piece.State {
		case "filed", "at_desk", "set_aside", "refused", "failed", "held":
			l.took, l.piece = time.Since(l.began), piece
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("deposit %s did not come to its end: %w", l.deposit, ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// ask looks a deposit up: its piece or, as long as it has none, itself.
func (d *demo) ask(ctx context.Context, deposit string) (piece demoPiece, err error) {
	err = d.running.Call(ctx, "deposits/list", control.Args{Tenant: d.at.Tenant}, func(line json.RawMessage) error {
		var at struct {
			ID, State, Reason, Sentence string
			Pieces                      []demoPiece
		}
		if err := json.Unmarshal(line, &at); err != nil || at.ID != deposit {
			return err
		}
		if len(at.Pieces) > 0 {
			piece = at.Pieces[0]
		} else {
			piece = demoPiece{State: at.State, Reason: at.Reason, Sentence: at.Sentence}
		}
		return nil
	})
	return piece, err
}

// showVault lists the documents that came of the letters, counts the others, and
// returns the id of the last.
func (d *demo) showVault(ctx context.Context, letters []*letter) (last string, err error) {
	took := map[string]time.Duration{}
	for _, l := range letters {
		if l.piece.Document != "" {
			took[l.piece.Document] = l.took
		}
	}
	fmt.Fprintf(d.out, "\nIn the vault\n")
	t := tabwriter.NewWriter(d.out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "   file\ttype\tconfidence\tholder\tissued\tvalid until\tstate\tDATA to filed")
	earlier := 0
	err = d.running.Call(ctx, "vault/list", control.Args{Citizen: string(d.at.Citizen)}, func(line json.RawMessage) error {
		var r control.Row
		if err := json.Unmarshal(line, &r); err != nil {
			return err
		}
		duration, ours := took[string(r.ID)]
		if !ours {
			earlier++
			return nil
		}
		last = string(r.ID)
		_, err := fmt.Fprintf(t, "   %s\t%s\t%.0f %%\t%s\t%s\t%s\t%s, %s\t%.3f s\n", r.Filename, r.Type, 100*r.Confidence,
			orDash(r.Holder), orDash(r.Issued), orDash(r.ValidUntil), r.State, r.Standing, duration.Seconds())
		return err
	})
	if err != nil {
		return "", err
	}
	if err := t.Flush(); err != nil {
		return "", err
	}
	if earlier > 0 {
		fmt.Fprintf(d.out, "   and %d filed before\n", earlier)
	}
	return last, nil
}

// showRest says why a letter is not in the vault.
func (d *demo) showRest(letters []*letter) {
	for _, l := range letters {
		if l.piece.State == "filed" {
			continue
		}
		fmt.Fprintf(d.out, "\nNot in the vault\n   %s: %s\n", l.name, l.piece.stands())
		if l.piece.Sentence != "" {
			fmt.Fprintf(d.out, "   «\u00a0%s\u00a0»\n", l.piece.Sentence)
		}
	}
}
