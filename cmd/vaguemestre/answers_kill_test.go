package main

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"vaguemestre/channels/mailout/relaytest"
)

// Killed again and again while mail comes in and letters go out, the program orders for
// each deposit one receipt and one result, and sends each: again, if it could not be
// noted, under the same Message-ID.
func TestREL12_KilledWhileAnswering(t *testing.T) {
	t.Parallel()
	const citizens, each, kills = 5, 2, 4
	relay := (&relaytest.Relay{StartTLS: true, User: "depot", Password: "sesame"}).Start(t)
	p := start(t, newHome(t), []string{"VAGUEMESTRE_LEASE=2s", "VAGUEMESTRE_SWEEP=1s"})
	var owners []enrolment
	for i := range citizens {
		c := decode[enrolment](t, p.must("citizen", "add", "--json", "--tenant", "demo", "--given", "Camille", "--family", fmt.Sprint("Roy", i), "--email", fmt.Sprintf("c%d@example.test", i)))[0]
		token := decode[struct{ Token string }](t, p.must("citizen", "sender", "add", "--json", "--citizen", c.ID, "--email", fmt.Sprintf("c%d@example.test", i)))[0].Token
		p.must("citizen", "sender", "verify", "--citizen", c.ID, "--token", token)
		owners = append(owners, c)
	}
	p.writes(relay)

	random := rand.New(rand.NewPCG(1, 2))
	stop := make(chan struct{})
	killed := make(chan struct{})
	go func() { // the sender's server tries again until it is told yes
		defer close(killed)
		for i := range citizens * each {
			m := message(fmt.Sprint("k", i), "x", "x.pdf", "application/pdf", taxNotice(fmt.Sprint("Camille ROY ", i), fmt.Sprint("kill", i)))
			for p.send(owners[i%citizens].Address, m) != nil {
				select {
				case <-stop:
					return
				case <-time.After(50 * time.Millisecond):
				}
			}
			time.Sleep(100 * time.Millisecond)
		}
	}()
	defer close(stop)
	for range kills {
		time.Sleep(time.Duration(200+random.IntN(900)) * time.Millisecond)
		p.kill()
		p.start()
	}
	<-killed

	type letter struct{ ID, Kind, State, Object, Once string }
	var letters []letter
	p.wait(60*time.Second, "end of all letters", func() bool {
		letters = decode[letter](t, p.must("mail", "list", "--json", "--tenant", "demo"))
		sent := 0
		for _, l := range letters {
			if l.State == "sent" {
				sent++
			}
		}
		return sent == len(letters) && sent >= 2*citizens*each
	})
	ordered := map[string]int{}
	for _, l := range letters {
		ordered[l.Kind]++
	}
	if ordered["receipt"] != citizens*each || ordered["result"] != citizens*each || len(letters) != 2*citizens*each {
		t.Errorf("ordered %v, want a receipt and a result for each of %d deposits", ordered, citizens*each)
	}
	arrived := map[string]int{}
	for _, m := range relay.Messages() {
		arrived[read(t, m).header.Get("Message-ID")]++
	}
	if len(arrived) != len(letters) {
		t.Errorf("%d letters arrived, %d were sent", len(arrived), len(letters))
	}
	t.Logf("%d letters, %d messages, %d kills", len(letters), len(relay.Messages()), kills)
	p.must("check")
	p.must("journal", "verify")
	p.stop()
}
