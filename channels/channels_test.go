package channels_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"vaguemestre/channels"
)

// stumbling is a channel that holds for a while each time and then falls; after the
// last it holds until its context ends. It remembers when it was started.
type stumbling struct {
	begin  time.Time
	holds  []time.Duration
	starts []time.Duration
}

func (s *stumbling) Name() string { return "stumbling" }

func (s *stumbling) Run(ctx context.Context) error {
	s.starts = append(s.starts, time.Since(s.begin))
	if len(s.starts) > len(s.holds) {
		<-ctx.Done()
		return nil
	}
	time.Sleep(s.holds[len(s.starts)-1])
	return errors.New("fell")
}

func TestServeStartsAgainWhatFell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		s := &stumbling{begin: time.Now(), holds: []time.Duration{0, 0, 0, 0, 0, 0, 0, 0, 2 * time.Minute, 0}}
		steady := &stumbling{begin: time.Now()}
		if err := channels.Serve(ctx, slog.New(slog.DiscardHandler), s, steady); err != nil {
			t.Errorf("Serve: %v", err)
		}
		if ended := time.Since(s.begin); ended != time.Hour {
			t.Errorf("Serve ended after %v, its context after an hour", ended)
		}
		var pauses []time.Duration
		for i, at := range s.starts[1:] {
			pauses = append(pauses, at-s.starts[i]-s.holds[i])
		}
		want := []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 1, 2}
		for i := range want {
			want[i] *= time.Second
		}
		if !slices.Equal(pauses, want) {
			t.Errorf("pauses %v, want %v", pauses, want)
		}
		if len(steady.starts) != 1 {
			t.Errorf("the channel beside it started %d times", len(steady.starts))
		}
	})
}

func TestServeEndsDuringAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		s := &stumbling{begin: time.Now(), holds: []time.Duration{0}}
		if err := channels.Serve(ctx, slog.New(slog.DiscardHandler), s); err != nil || len(s.starts) != 1 {
			t.Errorf("error %v, %d starts", err, len(s.starts))
		}
	})
}
