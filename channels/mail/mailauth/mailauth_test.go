package mailauth_test

import (
	"context"
	"errors"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/emersion/go-msgauth/dkim"

	"vaguemestre/channels/mail/mailauth"
	"vaguemestre/core"
)

func TestEnvelopeAndPolicy(t *testing.T) {
	sub := core.Sender{MailFrom: "bounce@sub.courriel.test", Helo: "x", Remote: "192.0.2.1"}
	strictFrom := replace(honest, "courriel.test", "strict.test")
	for name, tc := range map[string]struct {
		message  string
		envelope core.Sender
		zone     func(*zone)
		spf      core.Result
		dmarc    core.Result
	}{
		"signed, no envelope":            {message: gmail(honest), spf: "none", dmarc: "pass"},
		"signed, SPF fails":              {message: gmail(honest), envelope: core.Sender{MailFrom: "camille@courriel.test", Remote: "198.51.100.1"}, spf: "fail", dmarc: "pass"},
		"SPF passes, aligned":            {message: honest, envelope: courriel, spf: "pass", dmarc: "pass"},
		"SPF passes, of another":         {message: honest, envelope: evil, spf: "pass", dmarc: "fail"},
		"SPF passes for the greeting":    {message: honest, envelope: core.Sender{Helo: "courriel.test", Remote: "192.0.2.1"}, spf: "pass", dmarc: "fail"},
		"SPF by IPv6, no record":         {message: honest, envelope: core.Sender{MailFrom: "x@nothing.test", Remote: "2001:db8::1"}, spf: "none", dmarc: "fail"},
		"SPF passes, of a subdomain":     {message: honest, envelope: sub, zone: func(z *zone) { z.txt["sub.courriel.test"] = []string{"v=spf1 ip4:192.0.2.1 -all"} }, spf: "pass", dmarc: "pass"},
		"SPF passes, strict policy":      {message: strictFrom, envelope: core.Sender{MailFrom: "b@sub.strict.test", Remote: "192.0.2.1"}, zone: func(z *zone) { z.txt["sub.strict.test"] = []string{"v=spf1 +all"} }, spf: "pass", dmarc: "fail"},
		"policy of the organisation":     {message: replace(honest, "@courriel", "@a.b.courriel"), spf: "none", dmarc: "fail"},
		"no policy":                      {message: replace(honest, "@courriel", "@autre"), spf: "none", dmarc: "none"},
		"several policies count as none": {message: honest, zone: func(z *zone) { z.txt["_dmarc.courriel.test"] = []string{"v=DMARC1; p=none", "v=DMARC1; p=reject"} }, spf: "none", dmarc: "none"},
		"another text beside the policy": {message: honest, zone: func(z *zone) { z.txt["_dmarc.courriel.test"] = []string{"v=spf1 -all", "v=DMARC1; p=reject"} }, spf: "none", dmarc: "fail"},
		"policy malformed":               {message: honest, zone: func(z *zone) { z.txt["_dmarc.courriel.test"] = []string{"v=DMARC1; p=perhaps"} }, spf: "none", dmarc: "permerror"},
		"SPF malformed":                  {message: honest, envelope: courriel, zone: func(z *zone) { z.txt["courriel.test"] = []string{"v=spf1 ip4:x"} }, spf: "permerror", dmarc: "fail"},
		"SPF not answered":               {message: honest, envelope: courriel, zone: func(z *zone) { z.failing["courriel.test"] = true }, spf: "temperror", dmarc: "temperror"},
		"SPF not answered, but signed":   {message: gmail(honest), envelope: courriel, zone: func(z *zone) { z.failing["courriel.test"] = true }, spf: "temperror", dmarc: "pass"},
		"SPF of another not answered":    {message: honest, envelope: evil, zone: func(z *zone) { z.failing["evil.test"] = true }, spf: "temperror", dmarc: "fail"},
		"policy not answered, unsigned":  {message: honest, zone: func(z *zone) { z.failing["_dmarc.courriel.test"] = true }, spf: "none", dmarc: "temperror"},
		"policy not answered, SPF near": {message: honest, envelope: sub, zone: func(z *zone) {
			z.txt["sub.courriel.test"] = []string{"v=spf1 +all"}
			z.failing["_dmarc.courriel.test"] = true
		}, spf: "pass", dmarc: "temperror"},
	} {
		t.Run(name, func(t *testing.T) {
			o := spoof{message: tc.message, envelope: tc.envelope}.authenticate(t, spoof{zone: tc.zone}.zoned())
			if o.SPF != tc.spf || o.DMARC != tc.dmarc || o.Trouble {
				t.Errorf("spf %s dmarc %s trouble %v, want %s %s and no trouble: no proof hung on it", o.SPF, o.DMARC, o.Trouble, tc.spf, tc.dmarc)
			}
		})
	}
}

func TestSEC48_Automatic(t *testing.T) {
	for name, tc := range map[string]struct {
		header, from string
		envelope     core.Sender
		want         bool
	}{
		"a person":                 {envelope: courriel},
		"a person, no envelope":    {},
		"null envelope":            {envelope: core.Sender{Remote: "192.0.2.1"}, want: true},
		"Auto-Submitted":           {header: "Auto-Submitted: auto-replied (vacation)", want: true},
		"Auto-Submitted: no":       {header: "Auto-Submitted: No ; x=y"},
		"Precedence: bulk":         {header: "Precedence: Bulk", want: true},
		"Precedence: first-class":  {header: "Precedence: first-class"},
		"mailing list":             {header: "List-Id: <liste.test>", want: true},
		"newsletter":               {header: "list-unsubscribe: <mailto:x@y>", want: true},
		"Exchange":                 {header: "X-Auto-Response-Suppress: OOF, AutoReply", want: true},
		"Exchange, nothing":        {header: "X-Auto-Response-Suppress: None"},
		"report":                   {header: "Content-Type: Multipart/Report;\r\n report-type=delivery-status; boundary=x", want: true},
		"not a report":             {header: "Content-Type: multipart/mixed; boundary=report"},
		"mailer daemon":            {from: "MAILER-DAEMON@courriel.test", want: true},
		"no-reply":                 {from: "No-Reply@courriel.test", want: true},
		"no-reply of a department": {from: "impots.noreply@courriel.test", want: true},
		"ne pas répondre":          {from: "ne_pas_repondre+x@courriel.test", want: true},
		"list owner":               {from: "owner-liste@courriel.test", want: true},
		"list bounces":             {from: "liste-bounces@courriel.test", want: true},
		"a person named Bounceur":  {from: "bounceur@courriel.test"},
		"header without From":      {header: "Precedence: list", from: "-", want: true},
	} {
		t.Run(name, func(t *testing.T) {
			message := rest
			if tc.from == "" {
				tc.from = "camille@courriel.test"
			}
			if tc.from != "-" {
				message = "From: " + tc.from + "\r\n" + message
			}
			if tc.header != "" {
				message = tc.header + "\r\n" + message
			}
			if strings.HasPrefix(tc.header, "Content-Type") {
				message = replace(message, "Content-Type: text/plain\r\n", "")
			}
			if o := (spoof{message: message, envelope: tc.envelope}).authenticate(t, newZone()); o.Automatic != tc.want {
				t.Errorf("automatic %v, want %v", o.Automatic, tc.want)
			}
		})
	}
}

func TestDisplayName(t *testing.T) {
	for from, want := range map[string]string{
		`Camille Martin <c@courriel.test>`:                                 "Camille Martin",
		`"Martin, Camille (Mme)" <c@courriel.test>`:                        "Martin, Camille (Mme)",
		`Camille (de la mairie) Martin <c@courriel.test>`:                  "Camille Martin",
		`"Camille \"Cam\" Martin" <c@courriel.test>`:                       `Camille "Cam" Martin`,
		`=?utf-8?Q?L=C3=A9a?= =?iso-8859-1?Q?_H=E9lie?= <c@courriel.test>`: "Léa Hélie",
		`=?windows-1252?B?TOlh?= <c@courriel.test>`:                        "Léa",
		`=?inconnu?Q?x?= <c@courriel.test>`:                                "=?inconnu?Q?x?=",
		"L\xe9a <c@courriel.test>":                                         "Léa",
		"Léa <c@courriel.test>":                                            "Léa",
		`c@courriel.test (Camille Martin)`:                                 "Camille Martin",
		`c@courriel.test`:                                                  "",
		`<c@courriel.test>`:                                                "",
		"=?utf-8?Q?a=0D=0Ab=E2=80=AEc=00?= <c@courriel.test>":              "a bc",
		strings.Repeat("é", 300) + " <c@courriel.test>":                    strings.Repeat("é", 100),
	} {
		o := spoof{message: "From: " + from + "\r\n" + rest}.authenticate(t, newZone())
		if o.Name != want || o.From != "c@courriel.test" {
			t.Errorf("%q: %q <%s>, want %q", from, o.Name, o.From, want)
		}
	}
}

// Nothing is asked that could change nothing, and a stranger cannot make us ask much.
func TestSEC44_Questions(t *testing.T) {
	many := func(d string) string {
		var b strings.Builder
		for i := range 50 {
			b.WriteString("DKIM-Signature: v=1; a=rsa-sha256; d=" + d + "; s=x" + strings.Repeat("y", i) + "; h=from; bh=eA==; b=eA==\r\n")
		}
		return b.String() + honest
	}
	chain := gmail(honest)
	for n := range 12 {
		cv := "pass"
		if n == 0 {
			cv = "none"
		}
		chain = sealed(t, chain, n+1, "stranger.test", cv, "dkim=none")
	}
	for name, tc := range map[string]struct {
		message  string
		envelope core.Sender
		sealers  []string
		zone     func(*zone)
		most     int
	}{
		"no From":                       {message: rest, envelope: courriel, most: 0},
		"unsigned, no envelope":         {message: honest, most: 1},
		"signed by another":             {message: many("evil.test"), most: 1},
		"fifty signatures":              {message: many("courriel.test"), most: 1 + 8},
		"subdomain, policy twice":       {message: replace(honest, "@courriel", "@a.courriel"), most: 2},
		"chain of strangers":            {message: replace(chain, "Mon", "Ton"), sealers: []string{"sealer.test"}, most: 2},
		"chain too long of a listed":    {message: replace(chain, "Mon", "Ton"), sealers: []string{"stranger.test"}, most: 2},
		"SPF that includes without end": {message: honest, envelope: evil, zone: func(z *zone) { z.txt["evil.test"] = []string{"v=spf1 include:evil.test include:evil.test -all"} }, most: 1 + 12},
		"key looked up once for all":    {message: gmail(gmail(gmail(honest))), most: 2},
	} {
		t.Run(name, func(t *testing.T) {
			z := spoof{zone: tc.zone}.zoned()
			spoof{message: tc.message, envelope: tc.envelope, sealers: tc.sealers}.authenticate(t, z)
			if asked := z.names(); len(asked) > tc.most {
				t.Errorf("%d questions, want at most %d: %v", len(asked), tc.most, asked)
			}
		})
	}
}

// What the DKIM library must refuse by itself, since only it sees what it verifies.
func TestDKIMLibrary(t *testing.T) {
	verify := func(message string) error {
		v, err := dkim.VerifyWithOptions(strings.NewReader(message), &dkim.VerifyOptions{LookupTXT: func(name string) ([]string, error) {
			return newZone().LookupTXT(t.Context(), name+".")
		}})
		if err != nil || len(v) != 1 {
			t.Fatalf("%d verifications, error %v", len(v), err)
		}
		return v[0].Err
	}
	for name, message := range map[string]string{
		"l=":                 tagged("s1", "; l=35").sign(honest),
		"From not in h=":     tagged("s1", "").with(func(f *forged) { f.h = "to:subject" }).sign(honest),
		"expired":            tagged("s1", "; x="+stamp(-time.Minute)).sign(honest),
		"512 bits":           tagged("short", "").with(func(f *forged) { f.key = shortKey() }).sign(honest),
		"i= of another":      tagged("s1", "; i=@evil.test").sign(honest),
		"tag twice":          tagged("s1", "; d=courriel.test").sign(honest),
		"over-signed From":   "From: x@evil.test\r\n" + gmail(honest),
		"revoked key":        tagged("revoked", "").sign(honest),
		"body appended to":   gmail(honest) + "x\r\n",
		"two keys published": tagged("several", "").sign(honest),
	} {
		if verify(message) == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if err := verify(tagged("s1", "").sign(honest)); err != nil {
		t.Errorf("a signature of these tests: %v", err)
	}
	// Fields of one name are signed from the bottom up: the upper one is the intruder.
	twice := tagged("s1", "").with(func(f *forged) { f.h = "from:subject" }).sign(honest)
	if err := verify("Subject: above\r\n" + twice); err != nil {
		t.Errorf("unsigned Subject above: %v", err)
	}
	if verify(replace(twice, "Date:", "Subject: below\r\nDate:")) == nil {
		t.Error("Subject below the signed one: taken")
	}
}

func TestReadingErrors(t *testing.T) {
	a := mailauth.New(mailauth.Config{Resolver: newZone()})
	broken := errors.New("broken")
	message := gmail(honest + strings.Repeat("texte\r\n", 20000))
	for name, at := range map[string]int{"in the header": 100, "in the body": len(message) - 1000, "at the end": len(message)} {
		r := io.MultiReader(strings.NewReader(message[:at]), iotest.ErrReader(broken))
		if o, err := a.Authenticate(t.Context(), r, courriel); !errors.Is(err, broken) || o != (core.Origin{}) {
			t.Errorf("%s: %+v, error %v", name, o.Reason, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Authenticate(ctx, strings.NewReader(message), courriel); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	for _, r := range []io.Reader{iotest.OneByteReader(strings.NewReader(gmail(honest))), iotest.DataErrReader(strings.NewReader(gmail(honest)))} {
		if o, err := a.Authenticate(t.Context(), r, courriel); err != nil || !o.Proven {
			t.Errorf("read by small pieces: %+v, error %v", o.Reason, err)
		}
	}
}

// A broken message leaves no goroutine behind, with several signatures either.
func TestNothingStaysBehind(t *testing.T) {
	a := mailauth.New(mailauth.Config{Resolver: newZone()})
	message := gmail(gmail(gmail(honest + strings.Repeat("texte\r\n", 20000))))
	before := runtime.NumGoroutine()
	for range 50 {
		a.Authenticate(t.Context(), io.MultiReader(strings.NewReader(message[:50000]), iotest.ErrReader(io.ErrUnexpectedEOF)), courriel)
	}
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before+2; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}

// endless is text without end, of a size.
type endless struct {
	text string
	left int
	at   int
}

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), e.left)], e.text[e.at:])
	e.at, e.left = (e.at+n)%len(e.text), e.left-n
	return n, nil
}

// What costs time or memory beyond its size: nothing does.
func TestBoundedByHostileMail(t *testing.T) {
	const size = 30 << 20
	signature := func(form string) string {
		s := tagged("s1", "").sign("From: c@courriel.test\r\n\r\nx\r\n")
		return replace(s[:strings.Index(s, "\r\n\r\n")+4], "relaxed/relaxed", form)
	}
	names := "from" + strings.Repeat(":x", 250)
	for name, tc := range map[string]struct{ header, body string }{
		"empty lines, simple":        {signature("simple/simple"), "\r\n"},
		"empty lines, relaxed":       {signature("relaxed/relaxed"), "\r\n"},
		"lone CR, relaxed":           {signature("relaxed/relaxed"), "\r"},
		"blank lines, relaxed":       {signature("relaxed/relaxed"), " \r\n"},
		"one line":                   {signature("relaxed/relaxed"), "x"},
		"many fields, many names":    {strings.Repeat("X:\r\n", 900) + tagged("s1", "").with(func(f *forged) { f.h = names }).sign("From: c@courriel.test\r\n\r\n"), ""},
		"many lines in a field":      {signature("relaxed/relaxed")[:0] + "X:" + strings.Repeat("\r\n y", 990) + "\r\n" + signature("relaxed/relaxed"), ""},
		"many comments in From":      {"From: " + strings.Repeat("(", 4000) + strings.Repeat(")", 4000) + "\r\n\r\n", ""},
		"many encoded words in From": {"From: " + strings.Repeat("=?utf-8?q?", 700) + " <c@courriel.test>\r\n\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			body := &endless{text: strings.Repeat(tc.body, 1000), left: size}
			if tc.body == "" {
				body.left = 0
			}
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			start := time.Now()
			_, err := mailauth.New(mailauth.Config{Resolver: newZone()}).Authenticate(t.Context(), io.MultiReader(strings.NewReader(tc.header), body), core.Sender{})
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			if err != nil {
				t.Fatal(err)
			}
			if took > time.Minute { // 0.3 s alone; the race detector on a busy machine needs 6 s
				t.Errorf("took %v", took)
			}
			if grown := int64(after.HeapSys) - int64(before.HeapSys); grown > 16<<20 {
				t.Errorf("heap grew by %d bytes", grown)
			}
		})
	}
}

func TestDefaultsAndSealers(t *testing.T) {
	s := spoof{message: sealed(t, replace(gmail(honest), "Bonjour", "Bonsoir"), 1, "sealer.test", "none", "dkim=pass header.d=courriel.test")}
	for _, tc := range []struct {
		sealers []string
		want    bool
	}{{nil, false}, {[]string{""}, false}, {[]string{"not a domain"}, false}, {[]string{"x.test", "SEALER.test"}, true}, {[]string{"test"}, false}} {
		s.sealers = tc.sealers
		o := s.authenticate(t, newZone())
		if o.Proven != tc.want || tc.want && o.Sealer != "sealer.test" {
			t.Errorf("sealers %q: proven %v, sealer %q", tc.sealers, o.Proven, o.Sealer)
		}
	}
	if s := (core.Origin{From: "camille@courriel.test"}).LogValue().String(); strings.Contains(s, "camille") {
		t.Errorf("logged as %s", s)
	}
}

func FuzzAuthenticate(f *testing.F) {
	for _, s := range append(spoofs(f), honests(f)...) {
		f.Add([]byte(s.message))
	}
	z := newZone()
	unknown := newRSA(1024).record()
	for name := range z.txt { // nobody here holds the key of this zone
		if strings.Contains(name, "._domainkey.") {
			z.txt[name] = []string{unknown}
		}
	}
	a := mailauth.New(mailauth.Config{Resolver: z, Sealers: []string{"sealer.test", "courriel.test"}})
	reasons := []string{"no_from", "two_from", "several_addresses", "group_address", "malformed_from", "malformed_header", "header_too_large"}
	f.Fuzz(func(t *testing.T, message []byte) {
		o, err := a.Authenticate(t.Context(), strings.NewReader(string(message)), core.Sender{})
		if err != nil {
			t.Fatalf("error %v", err)
		}
		if o.Proven || o.DMARC == core.ResultPass {
			t.Errorf("proven without a key: %+v", o.Reason)
		}
		if o.Reason == "" || (o.From == "") != slices.Contains(reasons, o.Reason) || strings.ContainsAny(o.From, " \r\n\x00<>,;") {
			t.Errorf("from %q, reason %q", o.From, o.Reason)
		}
	})
}

func BenchmarkAuthenticate(b *testing.B) {
	for name, size := range map[string]int{"10KB": 10 << 10, "5MB": 5 << 20} {
		message := gmail(honest + strings.Repeat("JVBERi0xLjcKJeLjz9MKNSAwIG9iago8PC9GaWx0ZXIvRmxhdGVEZWNvZGUvTGVuZ3RoIDU+Pnh\r\n", size/80))
		b.Run(name, func(b *testing.B) {
			a := mailauth.New(mailauth.Config{Resolver: newZone()})
			b.SetBytes(int64(len(message)))
			b.ReportAllocs()
			for b.Loop() {
				if o, err := a.Authenticate(b.Context(), strings.NewReader(message), courriel); err != nil || !o.Proven {
					b.Fatal(o.Reason, err)
				}
			}
		})
	}
}
