package mapi_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"vaguemestre/channels/mail/mapi"
	"vaguemestre/core"
)

func TestCodepageText(t *testing.T) {
	for _, tc := range []struct {
		name string
		c    mapi.Codepage
		in   string
		want string
	}{
		{"western", 1252, "re\xe7u \x80", "reçu €"},
		{"central European", 1250, "\xf8", "ř"},
		{"Cyrillic", 1251, "\xcf", "П"},
		{"DOS", 850, "\x87", "ç"},
		{"Latin 9", 28605, "\xa4", "€"},
		{"Japanese", 932, "\x93\xfa", "日"},
		{"Japanese in escapes", 50220, "\x1b$BF|\x1b(B", "日"},
		{"Chinese", 936, "\xc4\xe3", "你"},
		{"Taiwanese", 950, "\xa7A", "你"},
		{"Korean", 949, "\xb0\xa1", "가"},
		{"UTF-8", 65001, "reçu", "reçu"},
		{"UTF-8 under another name", 1252, "reçu", "reçu"},
		{"UTF-8 it is not", 65001, "re\xe7u", "reçu"},
		{"UTF-16", 1200, "\xe7\x00u\x00\x00\x00x\x00", "çu"},
		{"ASCII", 20127, "a.pdf", "a.pdf"},
		{"none", 0, "re\xe7u", "reçu"},
		{"unknown", 4711, "re\xe7u", "reçu"},
		{"up to NUL", 1252, "a\x00b", "a"},
		{"nothing", 1252, "", ""},
	} {
		if got := tc.c.Text([]byte(tc.in)); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestTextIsBoundedAndStorable(t *testing.T) {
	for _, in := range []string{strings.Repeat("é", 1<<20), strings.Repeat("\x93", 1<<20), strings.Repeat("\xd8", 1<<20)} {
		for _, kind := range []uint16{mapi.TypeString8, mapi.TypeUnicode} {
			for _, c := range []mapi.Codepage{0, 932, 1252, 65001, 50220} {
				got := mapi.Property{Type: kind, Value: []byte(in)}.Text(c)
				if len(got) > 4*mapi.MaxText || !utf8.ValidString(got) || strings.Contains(got, "\x00") {
					t.Errorf("type %x, codepage %d: %d bytes, valid %v", kind, c, len(got), utf8.ValidString(got))
				}
			}
		}
	}
}

func TestNumber(t *testing.T) {
	for _, tc := range []struct {
		kind  uint16
		value string
		want  uint32
	}{
		{mapi.TypeInt32, "\x01\x02\x00\x00", 0x201},
		{mapi.TypeInt16, "\x01\x02junk", 0x201},
		{mapi.TypeBool, "\x01\x00", 1},
		{mapi.TypeInt32, "\x01", 0},
		{mapi.TypeBinary, "\x01\x02\x00\x00", 0},
	} {
		if got := (mapi.Property{Type: tc.kind, Value: []byte(tc.value)}).Number(); got != tc.want {
			t.Errorf("type %x of %q: %d, want %d", tc.kind, tc.value, got, tc.want)
		}
	}
}

func TestNameOfAttachment(t *testing.T) {
	for _, tc := range []struct {
		name string
		set  []uint16
		want uint16
	}{
		{"long before all", []uint16{mapi.DisplayName, mapi.AttachFilename, mapi.AttachLongFilename, mapi.AttachTransportName}, mapi.AttachLongFilename},
		{"short before shown", []uint16{mapi.DisplayName, mapi.AttachFilename}, mapi.AttachFilename},
		{"shown when there is no other", []uint16{mapi.DisplayName}, mapi.DisplayName},
	} {
		var a mapi.Attachment
		for _, id := range tc.set {
			if !mapi.OfAttachment(id) {
				t.Errorf("%x is not heeded", id)
			}
			a.Set(mapi.Property{ID: id, Type: mapi.TypeString8, Value: []byte{byte('a' + id%16)}}, 1252)
		}
		if got, want := a.Part(core.ViaMSG, 0, nil).Name, string(rune('a'+tc.want%16)); got != want {
			t.Errorf("%s: %q, want %q", tc.name, got, want)
		}
	}
}

func TestAttachmentAsPart(t *testing.T) {
	text := func(id uint16, s string) mapi.Property {
		return mapi.Property{ID: id, Type: mapi.TypeString8, Value: []byte(s)}
	}
	number := func(id uint16, n byte) mapi.Property {
		return mapi.Property{ID: id, Type: mapi.TypeInt32, Value: []byte{n, 0, 0, 0}}
	}
	for _, tc := range []struct {
		name string
		set  []mapi.Property
		want core.Part
	}{
		{"nothing known", nil, core.Part{}},
		{"type with parameters", []mapi.Property{text(mapi.AttachType, " Text/Plain; charset=utf-8")}, core.Part{Type: "text/plain"}},
		{"blank name", []mapi.Property{text(mapi.AttachLongFilename, "  "), text(mapi.AttachFilename, " a.pdf ")}, core.Part{Name: "a.pdf"}},
		{"Content-ID in brackets", []mapi.Property{text(mapi.AttachContentID, " <a@b> ")}, core.Part{ContentID: "a@b"}},
		{"shown in the text", []mapi.Property{number(mapi.AttachFlags, 4)}, core.Part{Inline: true}},
		{"other flags", []mapi.Property{number(mapi.AttachFlags, 3)}, core.Part{}},
		{"hidden", []mapi.Property{number(mapi.AttachHidden, 1)}, core.Part{Inline: true}},
		{"disposition", []mapi.Property{text(mapi.AttachDisposition, "Inline; x=y")}, core.Part{Inline: true}},
		{"properties of others", []mapi.Property{text(0x0037, "subject"), number(0x0e20, 7)}, core.Part{}},
	} {
		var a mapi.Attachment
		for _, p := range tc.set {
			a.Set(p, 1252)
		}
		tc.want.Via, tc.want.Depth = core.ViaTNEF, 2
		if got := a.Part(core.ViaTNEF, 2, nil); got != tc.want {
			t.Errorf("%s: %+v, want %+v", tc.name, got, tc.want)
		}
	}
}
