package typeset_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"flag"
	"io"
	"math/big"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"

	"vaguemestre/channels/mail"
	"vaguemestre/channels/mailout/typeset"
	"vaguemestre/core"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var (
	now  = time.Date(2026, 11, 25, 9, 30, 0, 0, time.FixedZone("", 3600))
	town = typeset.Sender{Name: "Ville de Blois – Démarches", Address: "demarches@blois.test"}
)

// receipt is an ordinary letter.
func receipt() core.Letter {
	return core.Letter{
		ID: "0f8b2c7e-1d7a-4c3b-9a52-3f1f6a9c0d11", Kind: core.LetterReceipt, To: "camille@exemple.test", ToName: "Camille Lefèvre", InReplyTo: "<abc@exemple.test>",
		Subject: "Accusé de réception de votre envoi du 25 novembre 2026 – dépôt nº 4F7K", Language: "fr", Automatic: true, Date: now,
		Text: "Bonjour,\n\nNous avons bien reçu votre envoi.\n.\n\n— Ville de Blois\n",
		HTML: "<!DOCTYPE html>\n<html lang=\"fr\"><head><title>Accusé</title></head>\n<body><p>Nous avons bien reçu votre envoi. " + strings.Repeat("Une longue ligne, ", 100) + "</p></body></html>\n",
	}
}

func file(name, kind string, content []byte) core.LetterFile {
	return core.LetterFile{Name: name, Type: kind, Size: int64(len(content)), Open: func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	}}
}

func dispatch() core.Letter {
	l := receipt()
	l.Kind, l.Automatic, l.InReplyTo, l.HTML, l.ReplyTo = core.LetterDispatch, false, "", "", "guichet@blois.test"
	l.To, l.ToName = "etat-civil@blois.test", `Service "État civil"`
	l.Files = []core.LetterFile{
		file("LEFEVRE_Camille_justificatif_domicile_2026-11.pdf", "application/pdf", bytes.Repeat([]byte("%PDF-1.7 "), 40)),
		file("Attestation d’hébergement – très long nom de fichier, avec accents éèàç et même des emojis 📄.pdf", "application/pdf", []byte("%PDF")),
		file("note.txt", "text/plain", nil),
		file("réponse.eml", "message/rfc822", []byte("Subject: x\r\n\r\nx")),
	}
	return l
}

func set(t testing.TB, l core.Letter) []byte {
	t.Helper()
	m, err := typeset.New(l, town, now)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := m.Write(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	if int64(b.Len()) != m.Size() {
		t.Fatalf("%d bytes, %d were foretold", b.Len(), m.Size())
	}
	return b.Bytes()
}

// wellFormed holds what every relay may rely on: lines end in CRLF alone and are not too
// long, and all is ASCII.
func wellFormed(t testing.TB, message []byte) {
	t.Helper()
	for i, line := range strings.Split(strings.TrimSuffix(string(message), "\r\n"), "\r\n") {
		if len(line) > 200 || strings.ContainsAny(line, "\r\n\x00") || strings.ContainsFunc(line, func(r rune) bool { return r > 0x7e }) {
			t.Fatalf("line %d: %q", i+1, line)
		}
	}
	if !bytes.HasSuffix(message, []byte("\r\n")) {
		t.Fatal("the last line does not end")
	}
}

// TestGolden: whole letters, as they go out. The same letter gives the same bytes.
func TestGolden(t *testing.T) {
	plainText := receipt()
	plainText.HTML, plainText.Language, plainText.InReplyTo, plainText.Subject = "", "en", "", "We have received your message"
	for name, l := range map[string]core.Letter{"receipt": receipt(), "dispatch": dispatch(), "text": plainText} {
		got := set(t, l)
		wellFormed(t, got)
		if again := set(t, l); !bytes.Equal(got, again) {
			t.Errorf("%s: set twice, and not the same", name)
		}
		golden := filepath.Join("testdata", name+".eml")
		if *update {
			if err := os.WriteFile(golden, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is\n%s\nwant (-update rewrites it)\n%s", name, got, want)
		}
	}
}

// part is a leaf of a message as another reader than ours sees it.
type part struct {
	kind, file string
	content    []byte
}

// read reads a message with the standard library.
func read(t testing.TB, raw []byte) (*netmail.Message, []part) {
	t.Helper()
	m, err := netmail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return m, leaves(t, m.Header.Get("Content-Type"), m.Header.Get("Content-Transfer-Encoding"), m.Header.Get("Content-Disposition"), m.Body)
}

func leaves(t testing.TB, contentType, encoding, disposition string, body io.Reader) []part {
	t.Helper()
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		t.Fatalf("%q: %v", contentType, err)
	}
	if strings.HasPrefix(kind, "multipart/") {
		var out []part
		r := multipart.NewReader(body, params["boundary"])
		for {
			p, err := r.NextRawPart()
			if errors.Is(err, io.EOF) {
				return out
			}
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, leaves(t, p.Header.Get("Content-Type"), p.Header.Get("Content-Transfer-Encoding"), p.Header.Get("Content-Disposition"), p)...)
		}
	}
	switch encoding {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	content, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	p := part{kind: kind, content: content}
	if disposition != "" {
		_, params, err := mime.ParseMediaType(disposition)
		if err != nil {
			t.Fatalf("%q: %v", disposition, err)
		}
		p.file = params["filename"]
	}
	return []part{p}
}

// TestOthersReadIt: the standard library, and our own walker, find what was put in, and
// nothing doubtful in how it is put.
func TestOthersReadIt(t *testing.T) {
	l := dispatch()
	l.HTML = receipt().HTML
	raw := set(t, l)
	m, parts := read(t, raw)
	decoded := func(name string) string {
		s, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get(name))
		if err != nil {
			t.Error(err)
		}
		return s
	}
	from, err := m.Header.AddressList("From")
	if err != nil || len(from) != 1 || *from[0] != (netmail.Address{Name: town.Name, Address: town.Address}) {
		t.Errorf("from %v, %v", from, err)
	}
	to, err := m.Header.AddressList("To")
	if err != nil || len(to) != 1 || *to[0] != (netmail.Address{Name: l.ToName, Address: l.To}) {
		t.Errorf("to %v, %v", to, err)
	}
	date, err := m.Header.Date()
	if err != nil || !date.Equal(now) {
		t.Errorf("date %v, %v", date, err)
	}
	if got := decoded("Subject"); got != l.Subject {
		t.Errorf("subject %q", got)
	}
	for name, want := range map[string]string{
		"Message-Id": "<0f8b2c7e-1d7a-4c3b-9a52-3f1f6a9c0d11@blois.test>", "Reply-To": "guichet@blois.test", "Auto-Submitted": "auto-generated",
		"X-Auto-Response-Suppress": "RN, NRN, OOF, AutoReply", "In-Reply-To": "", "Precedence": "", "List-Id": "", "Content-Language": "fr", "Mime-Version": "1.0",
	} {
		if got := m.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	crlf := func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }
	want := []part{{"text/plain", "", []byte(crlf(l.Text))}, {"text/html", "", []byte(crlf(l.HTML))}}
	for i, f := range l.Files {
		r, err := f.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		kind := []string{"application/pdf", "application/pdf", "text/plain", "application/octet-stream"}[i]
		want = append(want, part{kind, f.Name, content})
	}
	if !reflect.DeepEqual(parts, want) {
		t.Errorf("parts\n%q\nwant\n%q", parts, want)
	}
	var ours []part
	cover, err := mail.Splitter{}.Split(t.Context(), bytes.NewReader(raw), func(p core.Part) error {
		content, err := io.ReadAll(p.Body)
		ours = append(ours, part{p.Type, p.Name, content})
		return err
	})
	if err != nil || len(cover.Doubts) > 0 {
		t.Errorf("our walker doubts %v, %v", cover.Doubts, err)
	}
	var files []part
	for _, p := range want[2:] {
		if len(p.content) > 0 {
			files = append(files, p)
		}
	}
	if !reflect.DeepEqual(ours, files) {
		t.Errorf("our walker finds\n%q\nwant\n%q", ours, files)
	}
}

// TestSEC48_AutomaticLetters: what answers a message says so, and asks for no answer.
func TestSEC48_AutomaticLetters(t *testing.T) {
	for _, c := range []struct {
		automatic bool
		answers   string
		want      []string
	}{
		{true, "<a@b>", []string{"auto-replied", "All", "bulk", "<a@b>", "<a@b>"}},
		{true, "", []string{"auto-generated", "All", "bulk", "", ""}},
		{false, "", []string{"auto-generated", "RN, NRN, OOF, AutoReply", "", "", ""}},
		{true, "<a@b>\r\nBcc: x@y", []string{"auto-generated", "All", "bulk", "", ""}},
		{true, "<a b@c>", []string{"auto-generated", "All", "bulk", "", ""}},
		{true, strings.Repeat("<a@b> ", 1000), []string{"auto-generated", "All", "bulk", "", ""}},
	} {
		l := receipt()
		l.Automatic, l.InReplyTo = c.automatic, c.answers
		m, _ := read(t, set(t, l))
		var got []string
		for _, name := range []string{"Auto-Submitted", "X-Auto-Response-Suppress", "Precedence", "In-Reply-To", "References"} {
			got = append(got, m.Header.Get(name))
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%v %q: %q, want %q", c.automatic, c.answers, got, c.want)
		}
	}
}

// TestSEC66_NamesAreInert: whatever stands in names, subjects and types, the message has
// the fields and parts it should have, and no others.
func TestSEC66_NamesAreInert(t *testing.T) {
	for _, hostile := range []string{
		"a\r\nBcc: victim@exemple.test", "a\nX: y", "a\rX: y", "a\x00b", "..\\..\\etc\\passwd", "../../etc/passwd", "/", ".", "..", "", " ", "\"; filename=\"b.exe",
		"a\"b", `a\`, "fdp.exe\u202e", "\u2028X: y", "=?utf-8?q?=0D=0ABcc:_v@x?=", "=?utf-8?q?", strings.Repeat("é", 4096), strings.Repeat("a", 4096), "\xff\xfe",
		"a;b=c", "(comment)", "<x@y>", "a, b@c", "'", "%0d%0a", "\u00a0x\u202f!", "nom.pdf\x7f", strings.Repeat("📄", 300) + ".pdf", strings.Repeat("x ", 2000),
	} {
		inert(t, hostile)
	}
}

// inert puts a text wherever a stranger's may stand.
func inert(t testing.TB, hostile string) {
	t.Helper()
	l := dispatch()
	l.ToName, l.Subject, l.Text, l.ReplyTo, l.InReplyTo, l.Language = hostile, hostile, hostile, hostile, hostile, hostile
	l.HTML = "<p>" + hostile
	l.Files = []core.LetterFile{file(hostile, hostile, []byte("content"))}
	m, err := typeset.New(l, typeset.Sender{Name: hostile, Address: town.Address}, now)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := m.Write(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	if int64(b.Len()) != m.Size() {
		t.Fatalf("%d bytes, %d were foretold", b.Len(), m.Size())
	}
	wellFormed(t, b.Bytes())
	got, parts := read(t, b.Bytes())
	known := []string{"From", "To", "Reply-To", "Subject", "Date", "Message-Id", "In-Reply-To", "References", "Auto-Submitted", "X-Auto-Response-Suppress", "Content-Language", "Mime-Version", "Content-Type"}
	for name, values := range got.Header {
		if len(values) != 1 || !contains(known, name) {
			t.Errorf("%q: field %s: %q", hostile, name, values)
		}
	}
	for _, name := range []string{"From", "To"} {
		if list, err := got.Header.AddressList(name); err != nil || len(list) != 1 {
			t.Errorf("%q: %s %q: %v", hostile, name, got.Header.Get(name), err)
		}
	}
	if len(parts) != 3 || string(parts[2].content) != "content" {
		t.Errorf("%q: %d parts", hostile, len(parts))
		return
	}
	if name := parts[2].file; name == "" || strings.ContainsAny(name, "/\\\r\n\x00\u202e\u2028") || strings.HasPrefix(name, ".") || strings.ContainsFunc(name, unicode.IsControl) || len([]rune(name)) > 140 {
		t.Errorf("%q: file name %q", hostile, name)
	}
	ours := 0
	cover, err := mail.Splitter{}.Split(t.Context(), bytes.NewReader(b.Bytes()), func(p core.Part) error {
		if p.Via == "" {
			ours++
			if p.Name != parts[2].file {
				t.Errorf("%q: our walker reads %q, another %q", hostile, p.Name, parts[2].file)
			}
		}
		return nil
	})
	if err != nil || len(cover.Doubts) > 0 || ours != 1 {
		t.Errorf("%q: doubts %v, %v, %d files", hostile, cover.Doubts, err, ours)
	}
}

func contains(list []string, s string) bool {
	for _, have := range list {
		if have == s {
			return true
		}
	}
	return false
}

func FuzzNames(f *testing.F) {
	for _, s := range []string{"a\r\nBcc: b@c", "é\u202e.pdf", "=?utf-8?q?x?=", "a\"b\\", strings.Repeat("é", 300), "x; y=z"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { inert(t, s) })
}

// TestAddresses: in one form that all read alike, or not at all.
func TestAddresses(t *testing.T) {
	for in, want := range map[string]string{
		"a@b.test": "a@b.test", "A.b+c@Ville.TEST": "A.b+c@ville.test", "é@ville.test": "é@ville.test", "a@évry.test": "a@xn--vry-9la.test", "a@xn--vry-9la.test": "a@xn--vry-9la.test",
		"": "", "a": "", "@b": "", "a@": "", "a@b@c.test": "", "a b@c.test": "", "a@b c": "", "<a@b>": "", "a@b>": "", "a\r\n@b": "", "a@b\r\nRCPT TO:<c@d>": "", `"a"@b`: "", "a..b@c": "",
		".a@b": "", "a@[127.0.0.1]": "", "a@b..c": "", "a\u202e@b": "", "a\u00a0@b": "", "a,b@c": "", "\xff@b": "", strings.Repeat("a", 65) + "@b": "", "a@" + strings.Repeat("b.", 130) + "c": "", "a@-b.test": "",
	} {
		a, ok := typeset.ParseAddress(in)
		if got := a.String(); ok != (want != "") || ok && got != want {
			t.Errorf("%q: %q %v, want %q", in, got, ok, want)
		}
	}
	l := receipt()
	l.To = "nobody"
	var refusal *core.Refusal
	if _, err := typeset.New(l, town, now); !errors.As(err, &refusal) || refusal.Code != typeset.CodeRecipient {
		t.Errorf("nobody: %v", err)
	}
	if _, err := typeset.New(receipt(), typeset.Sender{Address: "x"}, now); err == nil || errors.As(err, &refusal) {
		t.Errorf("no sender: %v", err)
	}
	for to, want := range map[string]bool{"camille@exemple.test": false, "camille@évry.test": false, "éloïse@exemple.test": true} {
		l.To = to
		m, err := typeset.New(l, town, now)
		if err != nil || m.UTF8() != want {
			t.Errorf("%s: needs SMTPUTF8: %v, %v", to, m.UTF8(), err)
		}
	}
}

// TestFiles that are not what was said, or cannot be read, stop a letter.
func TestFiles(t *testing.T) {
	broken := errors.New("broken")
	for name, f := range map[string]core.LetterFile{
		"short":  {Size: 10, Open: file("", "", []byte("short")).Open},
		"long":   {Size: 3, Open: file("", "", []byte("longer")).Open},
		"closed": {Size: 3, Open: func(context.Context) (io.ReadCloser, error) { return nil, broken }},
	} {
		l := receipt()
		l.Files = []core.LetterFile{f}
		m, err := typeset.New(l, town, now)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Write(t.Context(), io.Discard); err == nil {
			t.Errorf("%s: written", name)
		}
	}
	for size := range 200 { // every length of a last line
		l := receipt()
		content := bytes.Repeat([]byte("x"), size)
		l.Files = []core.LetterFile{file("x.pdf", "application/pdf", content)}
		raw := set(t, l)
		if _, parts := read(t, raw); !bytes.Equal(parts[2].content, content) {
			t.Fatalf("%d bytes come back as %d", size, len(parts[2].content))
		}
	}
}

// TestSEC53_Encrypted: OpenSSL opens the letter with the service's key, and finds text and
// files; without it nothing of them is to be seen.
func TestSEC53_Encrypted(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "x"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour)},
		&x509.Certificate{}, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	l := dispatch()
	open := set(t, l)
	l.Certificate = der
	raw := set(t, l)
	wellFormed(t, raw)
	dir := t.TempDir()
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), "letter": raw,
		"cert": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("openssl", "cms", "-decrypt", "-in", "letter", "-inkey", "key", "-recip", "cert")
	cmd.Dir = dir
	inner, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if _, entity, _ := bytes.Cut(open, []byte("MIME-Version: 1.0\r\n")); !bytes.Equal(inner, entity) {
		t.Errorf("opened:\n%s\nwant\n%s", inner, entity)
	}
	cover, err := mail.Splitter{}.Split(t.Context(), bytes.NewReader(raw), func(p core.Part) error {
		if p.Refusal == nil || p.Refusal.Code != "encrypted_message" {
			t.Errorf("%s is read", p.Name)
		}
		return nil
	})
	if err != nil || len(cover.Doubts) > 0 {
		t.Errorf("doubts %v, %v", cover.Doubts, err)
	}
	l.Certificate = []byte("none")
	var refusal *core.Refusal
	if _, err := typeset.New(l, town, now); !errors.As(err, &refusal) || refusal.Code != typeset.CodeCertificate {
		t.Errorf("no certificate: %v", err)
	}
}
