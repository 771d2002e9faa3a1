package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"vaguemestre/cmd/vaguemestre/home"
)

func socketOf(dir string) string { return home.Socket(dir) }

func newRun() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Serve: receive, read and file documents until Ctrl-C",
		Long: `Serve: receive, read and file documents until Ctrl-C.

With nothing configured it serves itself: under --home it starts a private
PostgreSQL and a private Redis, keeps blobs and keys, and founds a town for
demonstration with one citizen and one agent. Every setting below may also stand in
the YAML file of --config, or in the environment as VAGUEMESTRE_ and its name in
capitals; see "vaguemestre doctor" for all of them.`,
		Args: noArgs,
	}
	cmd.Flags().StringVar(&file, "config", os.Getenv(envPrefix+"CONFIG"), "YAML file with settings")
	cmd.Flags().String("roles", "", "roles of this process, comma separated (default all: "+strings.Join(allRoles, ",")+")")
	cmd.Flags().String("http", "", "address of health, readiness and metrics, or off (default 127.0.0.1:8080)")
	cmd.Flags().String("smtp", "", "addresses mail is received on, comma separated (default 127.0.0.1:2525)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := configOf(cmd, file)
		if err != nil {
			return &usageError{err}
		}
		return serve(cmd.Context(), cfg, cmd.OutOrStdout(), cmd.ErrOrStderr())
	}
	return cmd
}

// configOf reads the configuration with the flags that were given.
func configOf(cmd *cobra.Command, file string) (Config, error) {
	flags := map[string]string{}
	for _, name := range []string{"home", "roles", "http", "smtp"} {
		if f := cmd.Flag(name); f != nil && f.Changed {
			flags[name] = f.Value.String()
		}
	}
	var environ []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, envPrefix+"CONFIG=") {
			environ = append(environ, e)
		}
	}
	return loadConfig(file, environ, flags)
}

func serve(ctx context.Context, cfg Config, stdout, stderr io.Writer) error {
	level, err := cfg.level()
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))
	began := time.Now()
	p, err := build(ctx, cfg, log)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer p.close()
	if err := p.listenHTTP(); err != nil {
		return err
	}
	if err := p.announce(ctx, stdout); err != nil {
		return err
	}
	log.Info("serving", "roles", strings.Join(cfg.Roles, ","), "after", time.Since(began).Round(time.Millisecond))
	return p.serve(ctx)
}

// serve runs all parts until ctx ends or one falls for good; then the others end too.
func (p *process) serve(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, part := range p.runs {
		g.Go(func() error {
			if err := part.run(ctx); err != nil && ctx.Err() == nil {
				return fmt.Errorf("%s: %w", part.name, err)
			}
			return nil
		})
	}
	err := g.Wait()
	p.log.Info("stopping")
	return err
}

func (p *process) listenHTTP() error {
	if p.cfg.HTTP == "off" {
		return nil
	}
	h, err := listenHealth(p.cfg.HTTP, p.metrics, p.checks())
	if err != nil {
		return fmt.Errorf("http: %w", err)
	}
	p.run("http", h.run)
	return nil
}

// checks is what readiness depends on.
func (p *process) checks() []check {
	var out []check
	if len(p.stores) > 0 {
		out = append(out, check{"database", p.stores[0].Ping})
	}
	out = append(out, check{"redis", p.redis.Ping})
	if p.examiner != nil {
		out = append(out, check{"pdf_sandbox", func(context.Context) error { return p.examiner.Ready() }})
	}
	return out
}
