package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"vaguemestre/channels/mailout"
	"vaguemestre/channels/mailout/submission"
	"vaguemestre/cmd/vaguemestre/control"
	"vaguemestre/cmd/vaguemestre/zone"
)

// adviseSenders says of each town whether its letters can go out, and whether they will be
// believed. The towns' settings are known to the running process alone.
func adviseSenders(ctx context.Context, out io.Writer, home string, resolver zone.Resolver) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	err := control.Dial(socketOf(home)).Call(ctx, "mail/check", control.Args{}, func(line json.RawMessage) error {
		var s control.Sending
		if err := json.Unmarshal(line, &s); err != nil {
			return err
		}
		showSending(ctx, out, s, resolver)
		return nil
	})
	var fault *control.Fault
	if errors.As(err, &fault) && fault.Code == "not_running" {
		fmt.Fprintln(out, "! towns' relays and signatures: known to the running process alone, and none is running on this home")
	} else if err != nil {
		fmt.Fprintf(out, "! towns' relays and signatures: %v\n", err)
	}
}

// showSending shows what a town's relay says, then its sender's records.
func showSending(ctx context.Context, out io.Writer, s control.Sending, resolver zone.Resolver) {
	switch {
	case !s.Sends:
		fmt.Fprintf(out, "! %s sends no letters: vaguemestre tenant set --tenant %s relay=HOST:PORT mail_from=ADDRESS\n", s.Code, s.Code)
		return
	case !s.Tried:
		fmt.Fprintf(out, "! %s: relay %s: not tried, for the running process has not the mailer's role\n", s.Code, s.Relay)
	case s.Fault != "":
		fmt.Fprintf(out, "✗ %s: relay %s: %s\n    %s\n", s.Code, s.Relay, join(s.Fault, s.Status), mends(s.Fault, s.Code))
	default:
		fmt.Fprintf(out, "✓ %s: relay %s\n", s.Code, s.Relay)
	}
	for _, key := range s.Missing {
		fmt.Fprintf(out, "✗ %s: deposits are not acknowledged, a mention the law wants is missing: vaguemestre tenant set --tenant %s %s=…\n", s.Code, s.Code, key)
	}
	if !s.Signs {
		fmt.Fprintf(out, "! %s: letters are not signed: vaguemestre mail dkim new --tenant %s\n", s.Code, s.Code)
	}
	town := zone.Sender{Domain: s.Domain}
	for _, k := range s.Keys {
		town.Keys = append(town.Keys, zone.Record{Name: k.Name, Type: k.Type, Value: k.Value})
	}
	for _, f := range zone.Check(ctx, resolver, town.Records()) {
		mark := "!"
		if f.State == zone.Found {
			mark = "✓"
		}
		fmt.Fprintf(out, "%s %s: %s %s: %s\n", mark, s.Code, f.Type, f.Name, f.State)
		if f.State != zone.Found {
			show(out, f)
		}
	}
}

func join(code, status string) string {
	if status == "" {
		return code
	}
	return code + " " + status
}

// mends says what to do about a relay's fault.
func mends(code, town string) string {
	set := "vaguemestre tenant set --tenant " + town + " "
	secret := "vaguemestre tenant secret set --tenant " + town + " --name relay"
	mend, known := map[string]string{
		mailout.CodeSettings:        "a password or signing key that its settings name is not set, or does not open: " + secret,
		submission.CodeUnreachable:  "nobody answers there: check host, port and firewall; " + set + "relay=HOST:PORT",
		submission.CodeSilent:       "it answers too slowly, or hangs up: is it SMTP there, and TLS from the first byte (tls://HOST:465)?",
		submission.CodeProtocol:     "what answers there is no SMTP server",
		submission.CodeBusy:         "it takes nothing just now: letters wait and are sent later",
		submission.CodeNoTLS:        "it offers no STARTTLS, and nothing is sent in the clear: " + set + "relay=tls://HOST:465, or ask its operator",
		submission.CodeTLS:          "TLS fails: a port with STARTTLS is HOST:587, one with TLS from the first byte tls://HOST:465",
		submission.CodeCertificate:  "its certificate is not valid for its name, or its key is not the pinned one: ask its operator; " + set + "relay_pin=SHA256 trusts one key",
		submission.CodeAuth:         "it refuses name or password, or wants them: " + set + "relay_user=NAME; " + secret,
		submission.CodeAuthMethod:   "it takes passwords neither by PLAIN nor by LOGIN",
		submission.CodeSenderDenied: "it does not let the town's address send: ask its operator, or " + set + "mail_from=ADDRESS",
	}[code]
	if !known {
		return "see docs/answers.md"
	}
	return mend
}
