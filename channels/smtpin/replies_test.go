package smtpin_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"vaguemestre/channels/smtpin"
)

// standard is the form of every reply with a status (RFC 2034 §3): the class of both is
// the same, and there is a sentence.
var standard = regexp.MustCompile(`^([245])[0-9]{2} ([245])\.[0-9]{1,3}\.[0-9]{1,3} [A-Z][^\r\n]{1,400}\r\n$`)

// theirs are words of go-smtp's replies: what is heard of them has escaped our own.
var theirs = regexp.MustCompile(`Roger|I'll make sure|introduce|Was expecting|Unable to|Malformed|not implemented|Syntax errors|Quiting|successfully done nothing|Bad command|Hello`)

// TestEveryReplyHasItsStatus goes through what a client may say and what it is told.
func TestEveryReplyHasItsStatus(t *testing.T) {
	long := strings.Repeat("x", 3000)
	plain, mail := []string{"EHLO c.test"}, []string{"EHLO c.test", "MAIL FROM:<a@b.test>"}
	rcpt := append(slices.Clone(mail), "RCPT TO:<"+mine+">")
	chunk := append(slices.Clone(rcpt), "BDAT 2\r\nx\r")
	for _, tc := range []struct {
		before []string
		say    string
		want   string
	}{
		{nil, "NOOP", "250 2.0.0 "}, {nil, "NOOP anything", "250 2.0.0 "},
		{nil, "noop", "250 2.0.0 "}, {nil, "HELP", "214 2.0.0 "}, {nil, "HELP MAIL", "214 2.0.0 "},
		{nil, "VRFY camille", "252 2.5.0 "}, {nil, "EXPN list", "502 5.5.1 "},
		{nil, "AUTH", "502 5.5.1 "}, {nil, "AUTH PLAIN AGEAYg==", "502 5.5.1 "}, {plain, "AUTH LOGIN", "502 5.5.1 "},
		{nil, "ETRN x", "502 5.5.1 "}, {nil, "TURN", "502 5.5.1 "}, {nil, "LHLO x", "502 5.5.1 "},
		{nil, "XCLIENT ADDR=192.0.2.1", "502 5.5.1 "}, {nil, "PROXY TCP4 192.0.2.1 192.0.2.2 1 25", "500 5.5.1 "},
		{nil, "", "500 5.5.2 "}, {nil, " ", "500 5.5.2 "}, {nil, "FROB", "500 5.5.1 "}, {nil, "x", "500 5.5.1 "}, {nil, "MAILFROM:<a@b.test>", "500 5.5.1 "},
		{nil, "MAIL\tFROM:<a@b.test>", "500 5.5.1 "}, {nil, "MAıL FROM:<a@b.test>", "500 5.5.2 "},
		{nil, "NOOP \x00", "500 5.5.2 "}, {nil, "NOOP \x1b[1m", "500 5.5.2 "}, {nil, "MAIL FROM:<\xff@b.test>", "500 5.5.2 "},
		{nil, "GET / HTTP/1.1", "554 5.5.1 "}, {nil, "Host: mx.ville.test", "554 5.5.1 "}, {nil, "CONNECT x:25 HTTP/1.1", "554 5.5.1 "},
		{nil, "NOOP " + long, "500 5.5.2 "},
		{nil, "HELO", "501 5.5.4 "}, {nil, "EHLO", "501 5.5.4 "}, {nil, "EHLO ", "501 5.5.4 "},
		{nil, "MAIL FROM:<a@b.test>", "503 5.5.1 "}, {nil, "RCPT TO:<" + mine + ">", "503 5.5.1 "}, {nil, "DATA", "503 5.5.1 "},
		{nil, "BDAT 0 LAST", "503 5.5.1 "}, {nil, "BDAT 3\r\nabc", "503 5.5.1 "}, {nil, "RSET", "250 2.0.0 "}, {nil, "QUIT", "221 2.0.0 "}, {nil, "QUIT now", "221 2.0.0 "},
		{nil, "STARTTLS", "502 5.5.1 "}, {nil, "STARTTLS now", "501 5.5.4 "}, {nil, "STARTTLSX", "500 5.5.1 "},
		{plain, "MAIL", "501 5.1.7 "}, {plain, "MAIL FROM", "501 5.1.7 "}, {plain, "MAIL FROM:", "501 5.1.7 "}, {plain, "MAIL FROM:a", "501 5.1.7 "},
		{plain, "MAIL TO:<a@b.test>", "501 5.1.7 "}, {plain, "MAIL FROM:<a@b.test", "501 5.1.7 "}, {plain, `MAIL FROM:<"a@b.test>`, "501 5.1.7 "},
		{plain, "MAIL FROM:<>", "250 2.1.0 "}, {plain, "mail from:<a@b.test>", "250 2.1.0 "}, {plain, "MAIL FROM: <a@b.test>", "250 2.1.0 "},
		{plain, "MAIL FROM:<a+b=c.test@b.test>", "250 2.1.0 "}, {plain, "MAIL FROM:<@x,@y:a@b.test>", "250 2.1.0 "}, {plain, `MAIL FROM:<"a b"@b.test>`, "250 2.1.0 "},
		{plain, "MAIL FROM:<élise@b.test> SMTPUTF8", "250 2.1.0 "},
		{plain, "MAIL FROM:<a@b.test> BODY=8BITMIME", "250 2.1.0 "}, {plain, "MAIL FROM:<a@b.test> BODY=7BIT", "250 2.1.0 "},
		{plain, "MAIL FROM:<a@b.test> BODY=BINARYMIME", "504 5.5.4 "}, {plain, "MAIL FROM:<a@b.test> BODY=x", "501 5.5.4 "},
		{plain, "MAIL FROM:<a@b.test> SIZE=x", "501 5.5.4 "}, {plain, "MAIL FROM:<a@b.test> SIZE=52428801", "552 5.3.4 "},
		{plain, "MAIL FROM:<a@b.test> SIZE=99999999999", "552 5.3.4 "}, {plain, "MAIL FROM:<a@b.test> SIZE=99999999999999999999 BODY=7BIT", "552 5.3.4 "},
		{plain, "MAIL FROM:<a@b.test> A=B=C", "501 5.5.4 "}, {plain, "MAIL FROM:<a@b.test> X=Y", "555 5.5.4 "},
		{plain, "MAIL FROM:<a@b.test> RET=HDRS", "555 5.5.4 "}, {plain, "MAIL FROM:<a@b.test> ENVID=x", "555 5.5.4 "}, {plain, "MAIL FROM:<a@b.test> REQUIRETLS", "555 5.5.4 "},
		{plain, "MAIL FROM:<a@b.test> AUTH=", "501 5.5.4 "}, {plain, "MAIL FROM:<a@b.test> AUTH=x", "501 5.5.4 "}, {plain, "MAIL FROM:<a@b.test> AUTH=<>", "250 2.1.0 "},
		{mail, "MAIL FROM:<a@b.test>", "503 5.5.1 "}, {mail, "DATA", "554 5.5.1 "}, {mail, "BDAT 0 LAST", "554 5.5.1 "},
		{mail, "RCPT", "501 5.1.3 "}, {mail, "RCPT TO:<>", "501 5.1.3 "}, {mail, "RCPT TO:<a>", "501 5.1.3 "}, {mail, "RCPT FROM:<" + mine + ">", "501 5.1.3 "},
		{mail, "RCPT TO:<" + mine + ">", "250 2.1.5 "}, {mail, "RCPT TO:<@a,@b:" + mine + ">", "250 2.1.5 "}, {mail, `RCPT TO:<"a b"@pieces.ville.test>`, "550 5.1.1 "},
		{mail, "RCPT TO:<" + unlucky + ">", "451 4.3.0 "},
		{mail, "RCPT TO:<" + mine + "> NOTIFY=NEVER", "555 5.5.4 "}, {mail, "RCPT TO:<" + mine + "> ORCPT=rfc822;x", "555 5.5.4 "}, {mail, "RCPT TO:<" + mine + "> X=Y", "555 5.5.4 "},
		{mail, "RCPT TO:<" + mine + "> A=B=C", "501 5.5.4 "},
		{mail, "RCPT TO:<postmaster>", "550 5.1.1 "}, {mail, "RCPT TO:<Postmaster>", "550 5.1.1 "}, {mail, "RCPT TO:<abuse@pieces.ville.test>", "550 5.1.1 "},
		{rcpt, "DATA now", "501 5.5.4 "}, {rcpt, "RCPT TO:<" + neighbours + ">", "452 4.5.3 "}, {rcpt, "RSET", "250 2.0.0 "}, {rcpt, "EHLO", "501 5.5.4 "},
		{rcpt, "BDAT", "501 5.5.4 "}, {rcpt, "BDAT x", "501 5.5.4 "}, {rcpt, "BDAT -1", "501 5.5.4 "}, {rcpt, "BDAT 1 FIRST", "501 5.5.4 "}, {rcpt, "BDAT 1 LAST LAST", "501 5.5.4 "},
		{rcpt, "BDAT 52428801", "552 5.3.4 "}, {rcpt, "BDAT 99999999999999999999 LAST", "552 5.3.4 "}, {rcpt, "BDAT 2\r\nx\r", "250 2.0.0 "},
		{chunk, "MAIL FROM:<a@b.test>", "503 5.5.1 "}, {chunk, "RCPT TO:<" + mine + ">", "503 5.5.1 "}, {chunk, "DATA", "503 5.5.1 "}, {chunk, "NOOP", "250 2.0.0 "},
		{chunk, "RSET", "250 2.0.0 "}, {chunk, "BDAT 1 LAST\r\n\n", "250 2.0.0 Taken in: "}, {chunk, "BDAT 1 LAST\r\nx", "550 5.5.2 "}, {chunk, "STARTTLS", "502 5.5.1 "},
	} {
		t.Run(fmt.Sprintf("%.40q after %d", tc.say, len(tc.before)), func(t *testing.T) {
			addr, _ := open(t, smtpin.Config{}, &town{})
			d := connect(t, addr)
			for _, say := range tc.before {
				d.send(say)
				if !strings.HasPrefix(say, "BDAT") {
					d.send("\r\n")
				}
				d.expect("250")
			}
			d.send(tc.say)
			if !strings.Contains(tc.say, "\r\n") {
				d.send("\r\n")
			}
			got := d.expect(tc.want)
			m := standard.FindStringSubmatch(got)
			if m == nil || m[1] != m[2] || theirs.MatchString(got) {
				t.Errorf("reply %q", got)
			}
		})
	}
}

// What the server offers is what it does.
func TestEHLO(t *testing.T) {
	addr, _ := open(t, smtpin.Config{TLS: certificate(t), MaxMessages: 7, Exempt: everybody, GreetDelay: 1}, &town{})
	d := connect(t, addr)
	want := "250-mx.ville.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250-CHUNKING\r\n250-STARTTLS\r\n250-SMTPUTF8\r\n250-SIZE 52428800\r\n250 LIMITS RCPTMAX=100 MAILMAX=7\r\n"
	if got := d.cmd("EHLO <script>.test", "250-"); got != want {
		t.Errorf("EHLO: %q", got)
	}
	if got := d.cmd("HELO c.test", "250 "); got != "250 mx.ville.test\r\n" {
		t.Errorf("HELO: %q", got)
	}
	if got := d.startTLS().cmd("EHLO c.test", "250-"); got != strings.Replace(want, "250-STARTTLS\r\n", "", 1) {
		t.Errorf("EHLO after STARTTLS: %q", got)
	}
}

// Whoever looks for a person finds one, where the town has named one.
func TestPostmaster(t *testing.T) {
	addr, _ := open(t, smtpin.Config{Contact: "contact@ville.test"}, &town{})
	d := dial(t, addr)
	mailFrom(d)
	for _, to := range []string{"postmaster", "POSTMASTER@pieces.ville.test", "abuse@mx.ville.test"} {
		if got := d.cmd("RCPT TO:<"+to+">", "551 5.1.6 "); !strings.Contains(got, "contact@ville.test") {
			t.Errorf("%s: %q", to, got)
		}
	}
}
