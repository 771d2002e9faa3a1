package notice

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"vaguemestre/core"
	"vaguemestre/core/address"
	"vaguemestre/core/link"
	"vaguemestre/core/vault"
)

// acknowledge writes a receipt or a result.
func (w *writing) acknowledge(ctx context.Context) error {
	l := w.lease
	told, err := w.archive.Told(ctx, l.Tenant, core.DepositID(l.Object))
	if err != nil && !errors.Is(err, core.ErrNotFound) {
		return err
	}
	if err != nil || told.Vault != l.Vault { // attached to another since, or to nobody
		return errGone
	}
	if !w.settings.Acknowledges() {
		return errUnwritten
	}
	w.letter.Automatic = true
	if l.Once == onceSender {
		if w.letter.To, err = w.sender(ctx, told); err != nil {
			return err
		}
		return w.fill("sender", w.facts(told))
	}
	if w.letter.To, err = w.contact(ctx); err != nil {
		return err
	}
	f := w.facts(told)
	if err := w.answerable(ctx, told, &f); err != nil {
		return err
	}
	if l.Kind == core.LetterReceipt {
		return w.fill("receipt", f)
	}
	types, err := w.types(ctx)
	if err != nil {
		return err
	}
	f.tell(told, types, w.letter.Language)
	f.Again = strings.HasSuffix(l.Once, Last)
	if f.Confirm {
		if err := w.offer(ctx, &f, link.ConfirmDeposit, l.Object, pathConfirm); err != nil {
			return err
		}
	}
	return w.fill("result", f)
}

// contact opens the address letters to the citizen go to.
func (w *writing) contact(ctx context.Context) (string, error) {
	box, err := w.archive.Contact(ctx, w.lease.Tenant, w.lease.Vault)
	if errors.Is(err, core.ErrNotFound) {
		return "", errNobody
	}
	if err != nil {
		return "", err
	}
	return w.unbox(ctx, box)
}

func (w *writing) unbox(ctx context.Context, c Contact) (string, error) {
	plain, err := w.keys.Unbox(ctx, w.access("open_contact"), c.Box)
	if err != nil {
		return "", fmt.Errorf("open contact: %w", err)
	}
	return string(plain[0]), nil
}

func (w *writing) access(act string) core.Access {
	return core.Access{Tenant: w.lease.Tenant, Vault: w.lease.Vault, Actor: "mailer", Act: act, Purpose: "send_letter", Object: string(w.lease.ID)}
}

// sender opens the address a deposit came from. It was proven when the letter was
// ordered, and is looked at once more.
func (w *writing) sender(ctx context.Context, told Told) (string, error) {
	keys, err := w.keys.Open(ctx, w.access("open_origin"), vault.Wrapped{Object: told.Body.Object, Bytes: told.Body.Wrapped})
	if err != nil {
		return "", fmt.Errorf("open key: %w", err)
	}
	var origin core.Origin
	var envelope core.Envelope
	if err := w.unseal(keys[0], told, vault.LabelOrigin, told.Origin, &origin); err != nil {
		return "", err
	}
	if told.Envelope != nil {
		if err := w.unseal(keys[0], told, vault.LabelEnvelope, told.Envelope, &envelope); err != nil {
			return "", err
		}
	}
	if messageID.MatchString(envelope.Key) {
		w.letter.InReplyTo = "<" + envelope.Key + ">"
	}
	if origin.Automatic || !origin.Proven || origin.DMARC != core.ResultPass {
		return "", errNobody
	}
	to, ok := address.Canonical(origin.From)
	if !ok {
		return "", errNobody
	}
	return to, nil
}

// messageID is what of a Message-ID may be repeated (RFC 5322 §3.6.4); the keys of other
// channels have no such form.
var messageID = regexp.MustCompile(`^[!#-'*+\-/-9=?A-Z^-~.]{1,100}@[A-Za-z0-9.-]{1,100}$`)

func (w *writing) unseal(key vault.Key, told Told, label string, sealed []byte, value any) error {
	plain, err := key.Open(w.lease.Tenant, told.Body.Object, label, sealed)
	if err == nil {
		err = json.Unmarshal(plain, value)
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", label, err)
	}
	return nil
}
