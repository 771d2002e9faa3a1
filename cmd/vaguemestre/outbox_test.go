package main

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"vaguemestre/channels/mailout/relaytest"
	"vaguemestre/core"
	"vaguemestre/core/store/postgres"
)

var letters = flag.Int("letters", 10_000, "letters of make bench-outbox")

// mentions are those the law wants in an acknowledgement.
var mentions = []string{"service_name=Guichet de Démo", "service_address=1 place de la Mairie, 41000 Démo", "service_phone=02 00 00 00 00"}

// mailing is a town whose letters go to a relay that remembers, from an outbox that
// several processes share.
type mailing struct {
	base    *program
	env     []string
	relay   *relaytest.Relay
	store   *postgres.Store
	tenant  core.TenantID
	vault   core.CitizenID
	deposit string
	ordered map[core.LetterID]bool
}

// oneInTwenty messages are put off, for a reason of the message's.
func oneInTwenty() func(int, string) string {
	var n atomic.Int64
	return func(_ int, command string) string {
		if command == "." && n.Add(1)%20 == 0 {
			return "451 4.2.0 not now"
		}
		return ""
	}
}

// startMailing founds a town whose citizen has a verified address and sent one mail.
func startMailing(t testing.TB, answer func(session int, command string) string) *mailing {
	t.Helper()
	relay := (&relaytest.Relay{Offers: []string{"PIPELINING", "SIZE 20000000", "8BITMIME", "DSN"}, Answer: answer}).Start(t)
	base := start(t, newHome(t), nil, "--roles", "smtp,http,worker,scheduler,keeper")
	m := &mailing{base: base, relay: relay, vault: core.CitizenID(base.citizen), ordered: map[core.LetterID]bool{}}
	url := "postgres:///vaguemestre?host=" + filepath.Join(base.home, "postgres", "run") + "&user=vaguemestre"
	m.env = []string{
		"VAGUEMESTRE_DATABASE_URL=" + url,
		"VAGUEMESTRE_REDIS_URL=unix://" + filepath.Join(base.home, "redis", "run", "redis.sock"),
		"VAGUEMESTRE_BLOB_URL=" + filepath.Join(base.home, "blobs"),
		"VAGUEMESTRE_INDEX_KEY_FILE=" + filepath.Join(base.home, "keys", "index.key"),
		"VAGUEMESTRE_KEK_FILE=" + filepath.Join(base.home, "keys", "kek.json"),
		"VAGUEMESTRE_SECRETS_KEY_FILE=" + filepath.Join(base.home, "keys", "secrets.key"),
		"VAGUEMESTRE_LEASE=5s",
	}
	sender := decode[struct{ ID, Token string }](t, base.must("citizen", "sender", "add", "--json", "--citizen", base.citizen, "--email", "camille@example.test"))[0]
	base.must("citizen", "sender", "verify", "--citizen", base.citizen, "--token", sender.Token)
	base.must(append([]string{"tenant", "set", "--tenant", "demo", "relay=" + relay.Addr, "mail_from=demarches@demo.test"}, mentions...)...)
	base.must("mail", "dkim", "new", "--tenant", "demo", "--selector", "vm1")
	base.must("tenant", "set", "--tenant", "demo", "dkim_domain=demo.test", "dkim_selector=vm1")
	m.deposit, _ = base.sendTimed(message("one", "Mon avis", "avis.pdf", "application/pdf", taxNotice("Zoé LE GOFF", "one")))
	base.wait(60*time.Second, "opened deposit", func() bool {
		all := base.deposits()
		return len(all) > 0 && all[0].State == "opened"
	})
	store, err := postgres.Open(t.Context(), url, postgres.RoleHTTP, 2, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	m.store = store
	if m.tenant, err = store.TenantNamed(t.Context(), "demo"); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *mailing) post(t testing.TB, n int) {
	t.Helper()
	var orders []core.LetterOrder
	for i := range n {
		id := core.NewID[core.LetterID]()
		m.ordered[id] = true
		orders = append(orders, core.LetterOrder{ID: id, Tenant: m.tenant, Kind: core.LetterReceipt, Vault: m.vault, Object: m.deposit, Once: fmt.Sprintf("%d/%s", i, id), Due: time.Now()})
	}
	for len(orders) > 0 {
		k := min(1000, len(orders))
		if err := m.store.PostLetters(t.Context(), m.tenant, orders[:k]...); err != nil {
			t.Fatal(err)
		}
		orders = orders[k:]
	}
}

// states counts the letters that were ordered here.
func (m *mailing) states(t testing.TB) map[core.LetterState]int {
	t.Helper()
	rows, err := m.store.Letters(t.Context(), m.tenant, "")
	if err != nil {
		t.Fatal(err)
	}
	out := map[core.LetterState]int{}
	for _, r := range rows {
		if m.ordered[r.ID] {
			out[r.State]++
		}
	}
	return out
}

// hurry makes those that wait due now.
func (m *mailing) hurry(t testing.TB) {
	t.Helper()
	rows, err := m.store.Letters(t.Context(), m.tenant, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if r.State == core.LetterWaiting {
			_ = m.store.RetryLetter(t.Context(), m.tenant, r.ID) // sent just now, it is not found
		}
	}
}

var idOf = regexp.MustCompile(`(?m)^Message-ID: <([0-9a-f-]{36})@demo\.test>\r$`)

// arrived says how often each letter came to the relay, and fails on any that was not
// ordered here, or came in two forms.
func (m *mailing) arrived(t testing.TB) (distinct, more int) {
	t.Helper()
	first := map[core.LetterID][]byte{}
	for _, message := range m.relay.Messages() {
		found := idOf.FindSubmatch(message.Data)
		if found == nil {
			t.Fatalf("a message without our Message-ID:\n%.500s", message.Data)
		}
		id := core.LetterID(found[1])
		switch before, again := first[id]; {
		case !m.ordered[id]:
		case again:
			more++
			if !bytes.Equal(before, message.Data) {
				t.Errorf("letter %s came in two forms", id)
			}
		default:
			first[id] = message.Data
		}
	}
	return len(first), more
}

// killed sends letters by a mailer that is killed again and again, and holds that every
// one arrives.
func (m *mailing) killed(t testing.TB, n, kills int, pause time.Duration, hurried bool) (took time.Duration, duplicates int) {
	t.Helper()
	m.post(t, n)
	began := time.Now()
	mailer := start(t, newHome(t), m.env, "--roles", "mailer,keeper")
	for range kills {
		time.Sleep(pause/2 + rand.N(pause))
		mailer.kill()
		mailer.start()
	}
	done := func() bool {
		if hurried {
			m.hurry(t)
		}
		time.Sleep(300 * time.Millisecond)
		return m.states(t)[core.LetterSent] == n
	}
	mailer.wait(10*time.Minute, "letters sent", done)
	took = time.Since(began)
	mailer.stop()
	distinct, duplicates := m.arrived(t)
	if distinct != n {
		t.Errorf("%d of %d letters arrived", distinct, n)
	}
	return took, duplicates
}

// TestREL12_MailerKilled again and again while letters go out and some are put off: each
// arrives, and one that arrives twice is the same letter, byte for byte.
func TestREL12_MailerKilled(t *testing.T) {
	t.Parallel()
	m := startMailing(t, oneInTwenty())
	took, duplicates := m.killed(t, 400, 4, 400*time.Millisecond, true)
	t.Logf("400 letters, 4 kills: %v, %d came twice", took.Round(time.Millisecond), duplicates)
}

// BenchmarkOutbox: letters a second, composed of real rows, opened by the keeper and signed,
// to a relay on this machine; then the same with one in twenty put off, and the mailer
// killed twenty times.
func BenchmarkOutbox(b *testing.B) {
	b.Run("steady", func(b *testing.B) {
		m := startMailing(b, nil)
		for b.Loop() {
			took, duplicates := m.killed(b, *letters, 0, 0, false)
			b.ReportMetric(float64(*letters)/took.Seconds(), "letters/s")
			b.ReportMetric(float64(duplicates), "twice")
			b.ReportMetric(0, "ns/op")
		}
	})
	b.Run("killed", func(b *testing.B) {
		m := startMailing(b, oneInTwenty())
		for b.Loop() {
			took, duplicates := m.killed(b, *letters, 20, 2*time.Second, false)
			b.ReportMetric(float64(*letters)/took.Seconds(), "letters/s")
			b.ReportMetric(float64(duplicates), "twice")
			b.ReportMetric(0, "ns/op")
		}
	})
}

// BenchmarkOutboxTroubled: how long accepting a mail takes while the mailer has two
// thousand letters for a relay that never answers, puts every one off, or takes each and
// hangs up, beside how long it takes in quiet (FLT-15: 95 in 100 within 1.2 times).
func BenchmarkOutboxTroubled(b *testing.B) {
	for name, answer := range map[string]func(int, string) string{
		"tarpit": func(_ int, command string) string {
			if strings.HasPrefix(command, "MAIL") {
				return relaytest.Silent
			}
			return ""
		},
		"storm": func(_ int, command string) string {
			if strings.HasPrefix(command, "RCPT") {
				return "450 4.2.0 not now"
			}
			return ""
		},
		"drop": func(_ int, command string) string {
			if command == "." {
				return relaytest.HangUp
			}
			return ""
		},
	} {
		b.Run(name, func(b *testing.B) {
			m := startMailing(b, answer)
			for b.Loop() {
				m.accepting(b) // warm
				quiet := m.accepting(b)
				m.post(b, 2000)
				mailer := start(b, newHome(b), m.env, "--roles", "mailer,keeper")
				beside := m.accepting(b)
				mailer.stop()
				b.ReportMetric(quiet.Seconds()*1000, "ms-p95-quiet")
				b.ReportMetric(beside.Seconds()*1000, "ms-p95-beside")
				b.ReportMetric(0, "ns/op")
			}
			if got := m.states(b); got[core.LetterWaiting] != 2000 {
				b.Errorf("letters are %v", got)
			}
		})
	}
}

// accepting sends mails for five seconds, one after another, and gives
// the time that 95 in 100 took no longer than.
func (m *mailing) accepting(t testing.TB) time.Duration {
	t.Helper()
	var took []time.Duration
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
		began := time.Now()
		if err := m.base.send(m.base.address, message(fmt.Sprint(began.UnixNano()), "Bonjour", "x.txt", "text/plain", []byte("x"))); err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took[len(took)*95/100]
}
