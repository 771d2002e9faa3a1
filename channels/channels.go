// Package channels owns what every way in has in common: what a channel needs of us,
// what we need of a channel, and keeping the channels running.
package channels

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"vaguemestre/core"
)

// Intake is what a channel needs of us.
type Intake interface {
	// Locate finds whose secret address this is, or of which letter the return path, before
	// any tenant is known.
	// core.ErrNotFound: unknown or revoked, and the sender is not told which; any
	// other error means "ask again later".
	Locate(ctx context.Context, address string) (core.Address, error)
	// Accept takes a deposit in, streaming its bodies: an e-mail has one, photos of one
	// document several, in order. A nil error, and nothing else, means that it is
	// durable and may be acknowledged; the same deposit again gives the same receipt. A
	// *core.Refusal is final; any other error means "later", and nothing was taken.
	Accept(ctx context.Context, d core.Deposit, bodies ...core.Body) (core.Receipt, error)
}

// Channel is one way in. It owns its protocol and turns what it receives into
// deposits; the suite in channeltest says what it promises.
type Channel interface {
	// Name is stored with every deposit.
	Name() string
	// Run serves until ctx ends, lets what has begun finish within reason, and returns
	// nil then. It may be called again after it returned.
	Run(ctx context.Context) error
}

// A channel that fell is started again after a pause that doubles from firstPause to
// lastPause, and is short again once the channel has held for as long as lastPause.
const (
	firstPause = time.Second
	lastPause  = time.Minute
)

// Serve runs the channels, each on its own, starts again one that fell, and returns nil
// once ctx has ended and all of them have.
func Serve(ctx context.Context, log *slog.Logger, chans ...Channel) error {
	var running sync.WaitGroup
	for _, c := range chans {
		running.Go(func() { keep(ctx, log.With("channel", c.Name()), c) })
	}
	running.Wait()
	return nil
}

// keep runs one channel until ctx ends.
func keep(ctx context.Context, log *slog.Logger, c Channel) {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		log.Info("channel starts")
		started := time.Now()
		err := c.Run(ctx)
		if ctx.Err() != nil {
			if err != nil {
				log.Error("channel ended", "error", err)
			}
			return
		}
		if time.Since(started) >= lastPause {
			pause = firstPause
		}
		log.Error("channel fell", "error", err, "pause", pause)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}
