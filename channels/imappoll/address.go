package imappoll

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"vaguemestre/channels/mail"
	"vaguemestre/core"
	"vaguemestre/core/mailbox"
)

// deposit hands a message to intake for one of the owners it is addressed to, and says
// how many there are.
func (s *session) deposit(it item, body *literal) (owners int, err error) {
	head, whole, err := mail.PeekHead(body, s.cfg.MaxHeader)
	if err != nil {
		return 0, err
	}
	to, err := s.addressees(s.work, head)
	if err != nil {
		return 0, err
	}
	if len(to) == 0 {
		return 0, &core.Refusal{Code: mailbox.CodeNoAddress, Reason: mailbox.MessageSentence(mailbox.CodeNoAddress)}
	}
	d := core.Deposit{
		Tenant:   s.box.Tenant,
		Channel:  core.ChannelIMAP,
		Key:      head.MessageID(), // and not the UID, which does not survive another UIDVALIDITY: decision 0020
		Sender:   core.Sender{Delivered: it.delivered, Trusted: s.box.Settings.Trusted},
		Address:  to[min(it.owner, len(to)-1)],
		Journey:  core.JourneyHome,
		Received: s.cfg.Now(),
	}
	_, err = s.intake.Accept(s.work, d, core.Body{Type: "message/rfc822", R: whole})
	return len(to), err
}

// addressees finds the deposit addresses that a message came to: of the fields that mail
// servers write, the first that names a secret one names the owner; else every owner
// named in To and Cc has the message. With none, it came to the generic address, if the
// town has one and does not say otherwise. None at all is no error.
func (s *session) addressees(ctx context.Context, head mail.Head) ([]core.Address, error) {
	asked := 0
	for _, field := range []string{"Delivered-To", "X-Original-To", "Envelope-To"} {
		found, err := s.secret(ctx, head.Fields(field), &asked)
		if err != nil || len(found) > 0 {
			return found[:min(1, len(found))], err
		}
	}
	found, err := s.secret(ctx, append(head.Fields("To"), head.Fields("Cc")...), &asked)
	if err != nil || len(found) > 0 {
		return found, err
	}
	if s.box.Settings.Unaddressed != mailbox.Generic {
		return nil, nil
	}
	generic, err := s.store.GenericAddress(ctx, s.box.Tenant)
	if errors.Is(err, core.ErrNotFound) {
		return nil, nil
	}
	return []core.Address{generic}, err
}

// What is looked at of a header: more is nobody's mail.
const (
	candidatesAtMost = 200
	ownersAtMost     = 20
)

// secret finds the secret addresses of the town in the values of fields, one for each
// owner, in order; and the return paths of its letters, which a report on one is sent to. One of another town is none: its mail is not in this mailbox.
func (s *session) secret(ctx context.Context, values []string, asked *int) (found []core.Address, err error) {
	for _, value := range values {
		for _, candidate := range candidates(value) {
			if *asked++; *asked > candidatesAtMost {
				return found, nil
			}
			a, err := s.known.find(ctx, s.intake.Locate, candidate)
			if errors.Is(err, core.ErrNotFound) || err == nil && (a.Tenant != s.box.Tenant || a.Vault == "" && a.Letter == "") {
				continue
			}
			if err != nil {
				return nil, err
			}
			if !slices.ContainsFunc(found, func(f core.Address) bool { return f.Vault == a.Vault && f.Letter == a.Letter }) {
				found = append(found, a)
			}
			if len(found) == ownersAtMost {
				return found, nil
			}
		}
	}
	return found, nil
}

// candidates cuts what looks like addresses out of a field, whatever its form.
func candidates(value string) (out []string) {
	for _, word := range strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(" \t\r\n<>,;:()\"", r) }) {
		if i := strings.LastIndexByte(word, '@'); i > 0 && i < len(word)-1 && len(word) <= 320 {
			out = append(out, word)
		}
	}
	return out
}

// lookups keeps the addresses that were found for a moment: a mailbox is full of messages
// to the same one. What was not found may be made the next moment.
type lookups struct {
	mu    sync.Mutex
	until time.Time
	kept  map[string]core.Address
}

const (
	lookupsKept = 1000
	lookupsFor  = 20 * time.Second
)

func (l *lookups) find(ctx context.Context, locate func(context.Context, string) (core.Address, error), address string) (core.Address, error) {
	l.mu.Lock()
	if l.kept == nil || len(l.kept) >= lookupsKept || time.Now().After(l.until) {
		l.kept, l.until = map[string]core.Address{}, time.Now().Add(lookupsFor)
	}
	a, there := l.kept[address]
	l.mu.Unlock()
	if there {
		return a, nil
	}
	a, err := locate(ctx, address)
	if err == nil {
		l.mu.Lock()
		l.kept[address] = a
		l.mu.Unlock()
	}
	return a, err
}
