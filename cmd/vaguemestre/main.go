// Command vaguemestre receives, sorts and delivers citizens' documents for a town hall.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"vaguemestre/cmd/vaguemestre/control"
	"vaguemestre/core/examine/confine"
	"vaguemestre/core/examine/image"
)

func main() {
	confine.Main(image.Job()) // a confined child goes its own way here
	os.Exit(execute(untilStopped(), os.Args[1:], os.Stdout, os.Stderr))
}

// untilStopped ends with Ctrl-C or SIGTERM; a second one ends the process at once.
func untilStopped() context.Context {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx
}

// execute runs a command line: 0 done, 1 it could not be done, 2 it was asked wrongly.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	var fault *control.Fault
	var silent *silentError
	switch {
	case errors.As(err, &silent):
	case errors.As(err, &fault):
		fmt.Fprintf(stderr, "vaguemestre: %s (%s)\n", fault.Message, fault.Code)
	default:
		fmt.Fprintf(stderr, "vaguemestre: %v\n", err)
	}
	var wrong *usageError
	if errors.As(err, &wrong) || (fault != nil && fault.Code == "usage") {
		fmt.Fprintln(stderr, "See `vaguemestre --help`.")
		return 2
	}
	return 1
}

// usageError: the command line itself was wrong.
type usageError struct{ err error }

func (u *usageError) Error() string { return u.err.Error() }
func (u *usageError) Unwrap() error { return u.err }

// silentError: the command has said all there is to say.
type silentError struct{}

func (*silentError) Error() string { return "failed" }

// client is what the commands that talk to the running process share.
type client struct {
	home string
	json bool
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "vaguemestre",
		Short:         "Receives citizens' documents by any channel, recognises them and files them in their vaults",
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return &usageError{fmt.Errorf("unknown command %q", args[0])}
			}
			return cmd.Help()
		},
		Args: cobra.ArbitraryArgs,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	c := &client{}
	root.PersistentFlags().StringVar(&c.home, "home", homeDefault(), "folder of the embedded home and of the control socket")
	root.AddCommand(newRun(), newDemo(c), newDoctor(), newMIME(), newClassify(),
		newTenant(c), newMailbox(c), newCitizen(c), newDeposits(c), newVault(c), newService(c), newDispatch(c), newCatalogue(c), newMail(c), newCheck(c), newJournal(c), newTwoDDoc(c))
	return root
}

func homeDefault() string {
	if h := os.Getenv(envPrefix + "HOME"); h != "" {
		return h
	}
	return "./var"
}

// group is a command that only holds others.
func group(use, short string, subs ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{Use: use, Short: short, Args: cobra.ArbitraryArgs, RunE: func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return &usageError{fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath())}
		}
		return cmd.Help()
	}}
	g.AddCommand(subs...)
	return g
}

// jsonFlag adds --json, which all commands of the contract take.
func (c *client) jsonFlag(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVar(&c.json, "json", false, "one JSON object a line")
	return cmd
}

// call runs a command of the running process and shows its lines: as they are with
// --json, else through show.
func (c *client) call(cmd *cobra.Command, name string, args control.Args, show func(w io.Writer, line json.RawMessage) error) error {
	out := cmd.OutOrStdout()
	return control.Dial(socketOf(c.home)).Call(cmd.Context(), name, args, func(line json.RawMessage) error {
		if c.json || show == nil {
			_, err := out.Write(line)
			return err
		}
		return show(out, line)
	})
}

// noArgs refuses stray words as a usage error.
func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return &usageError{fmt.Errorf("unexpected %q", args[0])}
	}
	return nil
}

func required(cmd *cobra.Command, names ...string) *cobra.Command {
	inner := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		for _, n := range names {
			if f := cmd.Flags().Lookup(n); f.Value.String() == "" {
				return &usageError{fmt.Errorf("--%s is missing", n)}
			}
		}
		return inner(cmd, args)
	}
	return cmd
}
