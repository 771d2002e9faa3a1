package notice

import (
	"context"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/catalogue"
	"vaguemestre/core/link"
)

// onceDigest begins the Once of a letter on all the deposits of a day that no letter told
// of; the day follows.
const onceDigest = "digest/"

// digestAt is when such a letter goes out the next morning, and digestOf how many deposits
// it tells of.
const (
	digestAt = 7 * time.Hour
	digestOf = 20
)

// digest is ordered in the place of a result that is one letter too many: one for all of
// that day's, counted the next.
func (n *Notices) digest(a core.Arrival, to Recipients) *core.LetterOrder {
	today := n.now().In(to.Settings.Location())
	morning := time.Date(today.Year(), today.Month(), today.Day()+1, 0, 0, 0, 0, today.Location()).Add(digestAt)
	o := n.order(a.Tenant, core.LetterResult, a.Vault, string(a.Vault), onceDigest+today.Format(time.DateOnly))
	o.Due, o.Address, o.Limit = morning, n.countOn(morning, answers, to.Contact), PerDay
	return &o
}

// digest writes what became of the day's deposits that no letter told of.
func (w *writing) digest(ctx context.Context, day string) error {
	from, err := time.ParseInLocation(time.DateOnly, day, w.settings.Location())
	if err != nil {
		return errKind
	}
	if !w.settings.Acknowledges() {
		return errUnwritten
	}
	ids, err := w.archive.Untold(ctx, w.lease.Tenant, w.lease.Vault, from, from.AddDate(0, 0, 1))
	if err != nil {
		return err
	}
	types, err := w.types(ctx)
	if err != nil {
		return err
	}
	f := w.head()
	f.Day = dayOf(from, w.letter.Language)
	for _, id := range ids {
		told, err := w.archive.Told(ctx, w.lease.Tenant, id)
		if err != nil {
			return err
		}
		if told.Vault != w.lease.Vault { // taken out since
			continue
		}
		if len(f.Deposits) == digestOf {
			f.More++
			continue
		}
		one, err := w.one(ctx, told, types)
		if err != nil {
			return err
		}
		f.Deposits, f.Confirm = append(f.Deposits, one), f.Confirm || one.Confirm
	}
	if len(f.Deposits) == 0 {
		return errGone
	}
	w.letter.Automatic = true
	if w.letter.To, err = w.contact(ctx); err != nil {
		return err
	}
	return w.fill("digest", f)
}

// one says what became of one deposit.
func (w *writing) one(ctx context.Context, told Told, types *catalogue.Catalogue) (f facts, err error) {
	f = w.facts(told)
	f.tell(told, types, w.letter.Language)
	if f.Confirm {
		err = w.offer(ctx, &f, link.ConfirmDeposit, string(told.Deposit), pathConfirm)
	}
	return f, err
}
