package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"vaguemestre/core/examine/confine"
)

func newDoctor() *cobra.Command {
	var file string
	cmd := &cobra.Command{Use: "doctor", Short: "Say what is missing or misconfigured, and the mend; print the DNS records mail needs and the settings in force", Args: noArgs}
	cmd.Flags().StringVar(&file, "config", os.Getenv(envPrefix+"CONFIG"), "YAML file with settings")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		out := cmd.OutOrStdout()
		cfg, err := configOf(cmd, file)
		faults := 0
		if err != nil {
			faults++
			fmt.Fprintf(out, "✗ configuration: %v\n", err)
		}
		for _, tool := range needed(cfg) {
			if tool.found() {
				fmt.Fprintf(out, "✓ %s\n", tool.name)
				continue
			}
			faults++
			fmt.Fprintf(out, "✗ %s is missing: apt-get install %s\n", tool.name, tool.apt)
		}
		for _, lack := range confine.Check(cmd.Context()) {
			mark := "!"
			if lack.Required {
				mark = "✗"
				faults++
			}
			fmt.Fprintf(out, "%s %s: %s\n", mark, lack.Feature, lack.Reason)
		}
		adviseMail(cmd.Context(), out, cfg, nameServers(cfg))
		adviseSenders(cmd.Context(), out, cfg.Home, nameServers(cfg))
		fmt.Fprintln(out)
		t := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
		for _, f := range cfg.fields() {
			fmt.Fprintf(t, "%s%s\t%s\t%s\n", envPrefix, strings.ToUpper(f.key), f.shown(), f.help)
		}
		if err := t.Flush(); err != nil {
			return err
		}
		if faults > 0 {
			return &silentError{}
		}
		return nil
	}
	return cmd
}

// tool is a program the process starts.
type tool struct{ name, program, debian, apt string }

// needed: with servers of one's own, no private ones are started.
func needed(cfg Config) []tool {
	tools := []tool{{"tesseract", "tesseract", "", "tesseract-ocr tesseract-ocr-fra"}}
	if cfg.DatabaseURL == "" {
		tools = append(tools, tool{"PostgreSQL", "postgres", "/usr/lib/postgresql/*/bin/postgres", "postgresql"})
	}
	if cfg.RedisURL == "" {
		tools = append(tools, tool{"Redis", "redis-server", "", "redis-server"})
	}
	return tools
}

func (t tool) found() bool {
	if _, err := exec.LookPath(t.program); err == nil {
		return true
	}
	matches, err := filepath.Glob(t.debian)
	return err == nil && len(matches) > 0
}
