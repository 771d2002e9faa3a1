package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"vaguemestre/channels"
	"vaguemestre/channels/imappoll"
	"vaguemestre/channels/smtpin"
	"vaguemestre/core"
	"vaguemestre/queue"
)

// metrics is what the process counts; nothing in it is personal.
type metrics struct {
	registry *prometheus.Registry
	deposits *prometheus.CounterVec
	attempts *prometheus.CounterVec
	verdicts *prometheus.CounterVec
	letters  *prometheus.CounterVec
	resting  *prometheus.CounterVec
	seen     map[string]*prometheus.CounterVec // by what the mail channels call it
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		deposits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "vaguemestre_deposits_total", Help: "Deposits handed to intake, by channel and outcome (taken, repeat, refused, later).",
		}, []string{"channel", "outcome"}),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "vaguemestre_attempts_total", Help: "Attempts of workers, by noun and outcome (done, refused, later, failed, stale).",
		}, []string{"noun", "outcome"}),
		seen: map[string]*prometheus.CounterVec{
			smtpin.SeenConnection: smtpCounter("connections", "kind", "SMTP connections served: plain, or tls from the first byte."),
			smtpin.SeenTurnedAway: smtpCounter("turned_away", "reason", "SMTP connections not served, by reason."),
			smtpin.SeenTLS:        smtpCounter("tls", "version", "TLS negotiations with senders, by version or failed."),
			smtpin.SeenRefusal:    smtpCounter("refusals", "reply", "SMTP replies that accept nothing, by reply and status."),
			imappoll.SeenSession:  imapCounter("sessions", "fault", "Sessions with mailboxes' servers that ended, by fault or ok."),
			imappoll.SeenMessage:  imapCounter("messages", "outcome", "Messages of mailboxes, by what became of them (taken, refused, failed)."),
			imappoll.SeenMoved:    imapCounter("moves", "outcome", "Moves of messages within mailboxes, many at once: done or failed."),
		},
	}
	for _, c := range m.seen {
		m.registry.MustRegister(c)
	}
	m.verdicts = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "vaguemestre_attributions_total", Help: "Messages opened or held, by trust level (T0 to T3) and the reason for it, or for holding them.",
	}, []string{"trust", "reason"})
	m.letters = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "vaguemestre_letters_total", Help: "Attempts to send a letter, by kind and the state they left it in (sent, waiting, refused, failed, cancelled).",
	}, []string{"kind", "state"})
	m.resting = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "vaguemestre_relay_rests_total", Help: "Times a relay was left alone for a while, by why.",
	}, []string{"code"})
	m.registry.MustRegister(m.deposits, m.attempts, m.verdicts, m.letters, m.resting, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func smtpCounter(noun, label, help string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "vaguemestre_smtp_" + noun + "_total", Help: help}, []string{label})
}

func imapCounter(noun, label, help string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "vaguemestre_imap_" + noun + "_total", Help: help}, []string{label})
}

// imap counts what the pollers of mailboxes saw.
func (m *metrics) imap(what, detail string) { m.smtp(what, detail) }

// smtp counts what the SMTP channel saw.
func (m *metrics) smtp(what, detail string) {
	if c, known := m.seen[what]; known {
		c.WithLabelValues(detail).Inc()
	}
}

func (m *metrics) attempt(noun core.Noun, outcome string) {
	m.attempts.WithLabelValues(string(noun), outcome).Inc()
}

func (m *metrics) letter(kind core.LetterKind, o core.LetterOutcome) {
	m.letters.WithLabelValues(string(kind), string(o.State)).Inc()
}

func (m *metrics) rests(code string) { m.resting.WithLabelValues(code).Inc() }

func (m *metrics) attribution(a core.Attribution) {
	m.verdicts.WithLabelValues(fmt.Sprintf("T%d", a.Trust), a.Reason).Inc()
}

// watchQueue reads the queue when the metrics are read.
func (m *metrics) watchQueue(redis *queue.Redis, bell *queue.Bell) {
	m.registry.MustRegister(queueCollector{redis, bell})
}

type queueCollector struct {
	redis *queue.Redis
	bell  *queue.Bell
}

var (
	queuePending = prometheus.NewDesc("vaguemestre_queue_pending", "Tasks waiting, by lane.", []string{"lane"}, nil)
	queueActive  = prometheus.NewDesc("vaguemestre_queue_active", "Tasks being worked on, by lane.", []string{"lane"}, nil)
	bellRung     = prometheus.NewDesc("vaguemestre_bell_rung_total", "Rings sent to Redis.", nil, nil)
	bellDropped  = prometheus.NewDesc("vaguemestre_bell_dropped_total", "Rings left to the sweeper because Redis was away.", nil, nil)
)

func (c queueCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{queuePending, queueActive, bellRung, bellDropped} {
		ch <- d
	}
}

func (c queueCollector) Collect(ch chan<- prometheus.Metric) {
	rung, dropped := c.bell.Counts()
	ch <- prometheus.MustNewConstMetric(bellRung, prometheus.CounterValue, float64(rung))
	ch <- prometheus.MustNewConstMetric(bellDropped, prometheus.CounterValue, float64(dropped))
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	lanes, err := c.redis.Depth(ctx)
	if err != nil {
		return // Redis is away: readiness says so, the scrape goes on
	}
	for _, l := range lanes {
		ch <- prometheus.MustNewConstMetric(queuePending, prometheus.GaugeValue, float64(l.Pending), l.Lane)
		ch <- prometheus.MustNewConstMetric(queueActive, prometheus.GaugeValue, float64(l.Active), l.Lane)
	}
}

// counted is an intake that counts.
type counted struct {
	channels.Intake
	deposits *prometheus.CounterVec
}

func (m *metrics) count(in channels.Intake) channels.Intake { return counted{in, m.deposits} }

func (c counted) Accept(ctx context.Context, d core.Deposit, bodies ...core.Body) (core.Receipt, error) {
	receipt, err := c.Intake.Accept(ctx, d, bodies...)
	outcome := "taken"
	var refusal *core.Refusal
	switch {
	case errors.As(err, &refusal):
		outcome = "refused"
	case err != nil:
		outcome = "later"
	case receipt.Repeat:
		outcome = "repeat"
	}
	c.deposits.WithLabelValues(d.Channel, outcome).Inc()
	return receipt, err
}

// watchLetters reads the outbox when the metrics are read.
func (m *metrics) watchLetters(outbox outbox, now func() time.Time) {
	m.registry.MustRegister(letterCollector{outbox, now})
}

type outbox interface {
	WaitingLetters(ctx context.Context) (n int, since time.Time, err error)
}

type letterCollector struct {
	outbox outbox
	now    func() time.Time
}

var (
	lettersWaiting = prometheus.NewDesc("vaguemestre_letters_waiting", "Letters ordered and not sent yet.", nil, nil)
	lettersOldest  = prometheus.NewDesc("vaguemestre_letters_oldest_seconds", "Age of the oldest of them: the law wants a deposit registered within a working day.", nil, nil)
)

func (c letterCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- lettersWaiting
	ch <- lettersOldest
}

func (c letterCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	n, since, err := c.outbox.WaitingLetters(ctx)
	if err != nil {
		return // the database is away: readiness says so, the scrape goes on
	}
	age := 0.0
	if !since.IsZero() {
		age = c.now().Sub(since).Seconds()
	}
	ch <- prometheus.MustNewConstMetric(lettersWaiting, prometheus.GaugeValue, float64(n))
	ch <- prometheus.MustNewConstMetric(lettersOldest, prometheus.GaugeValue, age)
}
