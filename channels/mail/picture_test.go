package mail_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"strings"
	"testing"

	"vaguemestre/channels/mail"
	"vaguemestre/core"
)

// drawn is a picture of that size, in the format of its name's extension.
func drawn(name string, width, height int) []byte {
	img := image.NewPaletted(image.Rect(0, 0, width, height), color.Palette{color.White, color.Black})
	for i := range img.Pix {
		img.Pix[i] = byte(i * 7 / 5 % 2)
	}
	var b bytes.Buffer
	switch {
	case width == 0:
		return []byte("\x89PNG\r\n\x1a\nbroken")
	case strings.HasSuffix(name, ".gif"):
		_ = gif.Encode(&b, img, nil) // to memory: no error
	case strings.HasSuffix(name, ".jpg"), strings.HasSuffix(name, ".jpeg"):
		_ = jpeg.Encode(&b, img, nil)
	default:
		_ = png.Encode(&b, img)
	}
	return b.Bytes()
}

// shownPart is a picture in a message: how it is sent, and what should become of it.
type shownPart struct {
	name        string // of the file; its extension is the format
	w, h        int
	disposition string // "inline", "attachment" or none
	cid         string
	aside       string
}

// mailOf is a message with an HTML text and pictures, put together as most programs do.
func mailOf(html string, parts []shownPart) io.Reader {
	var b strings.Builder
	b.WriteString("MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=r\r\n\r\n--r\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + html + "\r\n")
	for _, p := range parts {
		kind := strings.ReplaceAll(p.name[strings.LastIndexByte(p.name, '.')+1:], "jpg", "jpeg")
		fmt.Fprintf(&b, "--r\r\nContent-Type: image/%s; name=%q\r\nContent-Transfer-Encoding: base64\r\n", kind, p.name)
		if p.disposition != "" {
			fmt.Fprintf(&b, "Content-Disposition: %s; filename=%q\r\n", p.disposition, p.name)
		}
		if p.cid != "" {
			fmt.Fprintf(&b, "Content-ID: <%s>\r\n", p.cid)
		}
		b.WriteString("\r\n" + base64.StdEncoding.EncodeToString(drawn(p.name, p.w, p.h)) + "\r\n")
	}
	b.WriteString("--r--\r\n")
	return strings.NewReader(b.String())
}

// TestSignaturesAreSetAside plays what signatures and notices really carry, as their
// programs send it.
func TestSignaturesAreSetAside(t *testing.T) {
	const logo, icon, pixel = core.AsideLogo, core.AsideIcon, core.AsidePixel
	for _, tc := range []struct {
		name, html string
		parts      []shownPart
	}{
		{"Outlook, town hall's logo", `<p class="MsoNormal">Bonjour</p><p class="MsoNormal"><img width="180" height="92" src="cid:image001.png@01DB2A11.4C0" alt="Mairie"></p>`,
			[]shownPart{{"image001.png", 360, 184, "inline", "image001.png@01DB2A11.4C0", logo}}},
		{"Outlook, without disposition", `<img src="cid:image001.jpg@01DB2A11.4C0">`,
			[]shownPart{{"image001.jpg", 250, 100, "", "image001.jpg@01DB2A11.4C0", logo}}},
		{"Outlook, logo shown by VML only", `<!--[if gte vml 1]><v:shape style='width:120pt'><v:imagedata src="cid:image003.png@01DB" o:title=""/></v:shape><![endif]-->`,
			[]shownPart{{"image003.png", 200, 80, "", "image003.png@01DB", logo}}},
		{"new Outlook, named by it", `<div id="Signature"><img src="cid:7c1e" width="160"></div>`,
			[]shownPart{{"Outlook-4qzt1e.png", 480, 300, "inline", "7c1e", logo}}},
		{"Apple Mail, pasted logo", `<div>Cordialement</div><img apple-inline="yes" src="cid:A1B2@lan" id="x">`,
			[]shownPart{{"PastedGraphic-1.png", 190, 64, "inline", "A1B2@lan", logo}}},
		{"Gmail, signature with logo", `<div dir="ltr" class="gmail_signature"><a href="https://mairie.test"><img src="cid:ii_m3" width="96" height="96"></a></div>`,
			[]shownPart{{"logo.png", 400, 400, "inline", "ii_m3", logo}}},
		{"Thunderbird, signature", `<div class="moz-signature"><img src="cid:part1.x@mairie.test" alt=""></div>`,
			[]shownPart{{"bmgocbjkffdhiped.png", 320, 250, "inline", "part1.x@mairie.test", logo}}},
		{"CodeTwo, banner and icons", `<table><tr><td><a href="https://www.facebook.com/mairie"><img src="cid:fb" width="24" height="24"></a><a href="https://fr.linkedin.com/x"><img alt="LinkedIn" src="cid:li"></a></td></tr>` +
			`<tr><td><a href="https://mairie.test/agenda"><img src="cid:ban" alt="Marché de Noël"></a></td></tr></table>`,
			[]shownPart{{"image647200.png", 48, 48, "inline", "fb", icon}, {"image128.png", 32, 32, "inline", "li", icon}, {"image900.jpg", 900, 220, "inline", "ban", logo}}},
		{"Exclaimer, banner of campaign sharper than shown", `<a href="https://x.test"><img src="cid:ban" width="600" height="150"></a>`,
			[]shownPart{{"banner.jpg", 1200, 300, "inline", "ban", logo}}},
		{"social icons without a link, by name", `<img src="cid:f"><img src="cid:i"><img src="cid:y">`,
			[]shownPart{{"facebook.png", 64, 64, "inline", "f", icon}, {"icone-instagram.gif", 30, 30, "inline", "i", icon}, {"YouTube.png", 128, 90, "", "y", icon}}},
		{"large social icon, shown small", `<a href="https://www.instagram.com/x"><img src="cid:i" width=20 height=20></a>`,
			[]shownPart{{"insta.png", 1080, 1080, "inline", "i", icon}}},
		{"large social icon, one side given", `<a href="https://x.com/ville"><img src="cid:i" width="28"></a>`,
			[]shownPart{{"i.png", 900, 900, "inline", "i", icon}}},
		{"logo four times as sharp as shown, in a signature", `<div id="Signature"><img src="cid:l" style="width:150px; height:100px"></div>`,
			[]shownPart{{"image.png", 900, 600, "inline", "l", logo}}},
		{"portal's notice, named by its Content-IDs", `<img src="cid:logo-collectivite"><img src="cid:picto_ok">`,
			[]shownPart{{"a.png", 350, 240, "inline", "logo-collectivite", logo}, {"b.png", 60, 60, "inline", "picto_ok", logo}}},
		{"bank's notice: logo, spacer, pixel", `<img src="cid:l" alt="Ma Banque"><img src="cid:s"><img src="cid:p" width="1" height="1">`,
			[]shownPart{{"logo_banque.gif", 220, 70, "inline", "l", logo}, {"spacer.gif", 600, 1, "inline", "s", pixel}, {"open.gif", 1, 1, "inline", "p", pixel}}},
		{"provider's notice: header, pictograms", `<img src="cid:h" width="640"><img src="cid:a"><img src="cid:b">`,
			[]shownPart{{"entete_mail.jpg", 640, 120, "inline", "h", logo}, {"picto_conso.png", 90, 90, "inline", "a", logo}, {"picto_paiement.png", 90, 90, "inline", "b", logo}}},
		{"small Marianne in the letterhead", `<img src="cid:m" alt="République française">`,
			[]shownPart{{"image002.png", 150, 135, "inline", "m", logo}}},
		{"logo of each answer in a thread", `<img src="cid:a"><blockquote><img src="cid:b"></blockquote>`,
			[]shownPart{{"image001.png", 170, 70, "inline", "a", logo}, {"image004.png", 170, 70, "inline", "b", logo}}},
		{"logo not shown, but inline and named", `<p>Bonjour</p>`,
			[]shownPart{{"logo-ville.png", 180, 60, "inline", "", logo}}},
		{"agent's portrait in a signature", `<div class="gmail_signature"><img src="cid:me"></div>`,
			[]shownPart{{"moi.jpg", 120, 120, "inline", "me", logo}}},
		{"pixel as an attachment", `<p>Bonjour</p>`,
			[]shownPart{{"pixel.png", 1, 1, "attachment", "", pixel}}},
	} {
		t.Run(tc.name, func(t *testing.T) { holdAgainst(t, tc.html, tc.parts) })
	}
}

// TestPicturesMeantAreKept plays the documents that people put into the text of their
// message, and pictures that nothing says are not meant.
func TestPicturesMeantAreKept(t *testing.T) {
	for _, tc := range []struct {
		name, html string
		parts      []shownPart
	}{
		{"iPhone, photo in the text", `<div>Ma facture</div>`, []shownPart{{"IMG_4032.jpeg", 1512, 2016, "inline", "", ""}}},
		{"iPhone, reduced to its smallest", `<div>Ma facture</div>`, []shownPart{{"image0.jpeg", 240, 320, "inline", "", ""}}},
		{"iPhone, answered with a photo", `<div dir="ltr"><img src="cid:86FF" alt="image0.jpeg"></div><blockquote>…</blockquote>`, []shownPart{{"image0.jpeg", 1200, 1600, "inline", "86FF", ""}}},
		{"Outlook, pasted scan", `<p class="MsoNormal"><img width="643" height="857" src="cid:image001.png@01DB"></p>`, []shownPart{{"image001.png", 1200, 1600, "inline", "image001.png@01DB", ""}}},
		{"Outlook, pasted scan without disposition", `<img src="cid:image001.jpg@01DB">`, []shownPart{{"image001.jpg", 827, 1169, "", "image001.jpg@01DB", ""}}},
		{"Outlook, scan beside a logo", `<img src="cid:image001.png@1"><img src="cid:image002.jpg@1">`,
			[]shownPart{{"image001.png", 150, 60, "inline", "image001.png@1", core.AsideLogo}, {"image002.jpg", 900, 1200, "inline", "image002.jpg@1", ""}}},
		{"scan below the signature", `<div class="moz-signature">-- <br>Camille</div><img src="cid:s">`, []shownPart{{"scan.jpg", 1240, 1754, "inline", "s", ""}}},
		{"scan beside the signature, at its size", `<div id="Signature">Camille</div><img src="cid:s" width="600">`, []shownPart{{"image.png", 1240, 1754, "inline", "s", ""}}},
		{"broken picture", `<img src="cid:s">`, []shownPart{{"image.png", 0, 0, "inline", "s", ""}}},
		{"screenshot of a few lines, wide", `<img src="cid:s">`, []shownPart{{"image.png", 1400, 420, "inline", "s", ""}}},
		{"photo linked to itself", `<a href="https://photos.test/1"><img src="cid:p"></a>`, []shownPart{{"20261103_101500.jpg", 1600, 1200, "inline", "p", ""}}},
		{"Gmail, pasted screenshot", `<img src="cid:ii_m4" alt="image.png" width="472" height="266">`, []shownPart{{"image.png", 944, 532, "inline", "ii_m4", ""}}},
		{"Gmail, small screenshot", `<img src="cid:ii_m4" alt="image.png">`, []shownPart{{"image.png", 380, 300, "inline", "ii_m4", ""}}},
		{"identity photo", `<img src="cid:p">`, []shownPart{{"photo.jpg", 413, 531, "inline", "p", ""}}},
		{"identity photo pasted in Outlook", `<img src="cid:p">`, []shownPart{{"image001.jpg", 413, 531, "inline", "p", ""}}},
		{"card photographed, wide", `<img src="cid:c">`, []shownPart{{"cni recto.jpg", 1011, 638, "inline", "c", ""}}},
		{"card, small", `<img src="cid:c">`, []shownPart{{"CNI.jpg", 500, 320, "inline", "c", ""}}},
		{"attached picture called logo", `<p>Le logo de l’association</p>`, []shownPart{{"logo.png", 200, 80, "attachment", "", ""}}},
		{"attached icon with a Content-ID, not shown", `<p>Bonjour</p>`, []shownPart{{"facebook.png", 64, 64, "attachment", "f_m3a1", ""}}},
		{"picture without disposition or Content-ID", `<p>Bonjour</p>`, []shownPart{{"image001.png", 120, 40, "", "", ""}}},
		{"messenger's photo", `<img src="cid:w">`, []shownPart{{"WhatsApp Image 2026-11-03 at 10.15.00.jpeg", 360, 480, "inline", "w", ""}}},
		{"two same photos", `<img src="cid:a"><img src="cid:b">`, []shownPart{{"a.jpg", 700, 900, "inline", "a", ""}, {"b.jpg", 700, 900, "inline", "b", ""}}},
	} {
		t.Run(tc.name, func(t *testing.T) { holdAgainst(t, tc.html, tc.parts) })
	}
}

func holdAgainst(t *testing.T, html string, parts []shownPart) {
	t.Helper()
	got, err := walk(t.Context(), mail.Splitter{}, mailOf(html, parts))
	if err != nil || len(got.Parts) != len(parts) {
		t.Fatalf("%d parts of %d, error %v", len(got.Parts), len(parts), err)
	}
	for i, want := range parts {
		if got.Parts[i].Aside != want.aside {
			t.Errorf("%s, %d×%d: set aside as %q, want %q", want.name, want.w, want.h, got.Parts[i].Aside, want.aside)
		}
		if sent := drawn(want.name, want.w, want.h); got.Parts[i].Size != len(sent) {
			t.Errorf("%s: %d bytes delivered of %d", want.name, got.Parts[i].Size, len(sent))
		}
	}
}
