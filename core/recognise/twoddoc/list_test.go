package twoddoc

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"vaguemestre/core/recognise/twoddoc/twoddoctest"
)

// TestHostileLists: what is signed and what is read are one, or the list is refused.
func TestHostileLists(t *testing.T) {
	ca := twoddoctest.NewCA(t, "FR98")
	signer := twoddoctest.Signer(t)
	good := string(twoddoctest.List(t, signer, 3, twoddoctest.Entry{ID: "FR98", Status: inAccord, Cert: ca.Cert}))
	if l, err := ReadList([]byte(good)); err != nil || l.Sequence != 3 || len(l.Authorities) != 1 || l.Authorities[0].ID != "FR98" {
		t.Fatal(l, err)
	}
	signature := good[strings.Index(good, "<ds:Signature "):strings.Index(good, "</tsl:TrustServiceStatusList>")]
	replace := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%q is not in the list", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	other := string(twoddoctest.List(t, signer, 4, twoddoctest.Entry{ID: "FR97", Status: inAccord, Cert: ca.Cert}))
	for name, list := range map[string]string{
		"unsigned":              replace(signature, ""),
		"signed twice":          replace(signature, signature+signature),
		"another's signature":   replace(signature, other[strings.Index(other, "<ds:Signature "):strings.Index(other, "</tsl:TrustServiceStatusList>")]),
		"signature deeper":      strings.Replace(strings.Replace(good, signature, "", 1), "</tsl:TrustServiceProviderList>", signature+"</tsl:TrustServiceProviderList>", 1),
		"wrapped":               `<tsl:TrustServiceStatusList xmlns:tsl="` + tsl + `">` + strings.TrimPrefix(good, `<?xml version="1.0"?>`) + `</tsl:TrustServiceStatusList>`,
		"another provider":      replace("FR98</tsl:Name>", "FR99</tsl:Name>"),
		"provider added":        replace("<tsl:TrustServiceProviderList>", "<tsl:TrustServiceProviderList><tsl:TrustServiceProvider/>"),
		"attribute added":       replace(`xml:lang="fr">FR98`, `xml:lang="en">FR98`),
		"number":                replace("Number>3<", "Number>9<"),
		"DOCTYPE":               replace(`<?xml version="1.0"?>`, `<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]>`),
		"instruction":           replace("<tsl:SchemeInformation>", "<?php x?><tsl:SchemeInformation>"),
		"attribute twice":       replace(`xml:lang="fr"`, `xml:lang="fr" xml:lang="fr"`),
		"prefix of nobody":      replace("<tsl:SchemeInformation>", "<x:y/><tsl:SchemeInformation>"),
		"weak digest":           replace("xmlenc#sha256", "xmldsig#sha1"),
		"other transform":       replace(enveloped, "http://www.w3.org/TR/1999/REC-xslt-19991116"),
		"covers an element":     replace(`URI=""`, `URI="#x"`),
		"no reference":          good[:strings.Index(good, "<ds:Reference")] + good[strings.Index(good, "</ds:SignedInfo>"):],
		"two roots":             good + "<a/>",
		"not closed":            good[:len(good)-10],
		"deep":                  strings.Repeat("<a>", 100_000),
		"other document":        "<html></html>",
		"too large":             good + strings.Repeat(" ", maxXML),
		"nothing":               "",
		"bytes":                 "\x00\xff<",
		"signer's time is over": string(twoddoctest.List(t, twoddoctest.SignerUntil(t, twoddoctest.Begins.Add(time.Hour)), 3, twoddoctest.Entry{ID: "FR98", Status: inAccord, Cert: ca.Cert})),
	} {
		if l, err := ReadList([]byte(list)); err == nil {
			t.Errorf("%s: taken: %+v", name, l)
		}
	}
	for name, list := range map[string]string{ // what canonical XML holds for the same
		"comment":        replace("<tsl:SchemeInformation>", "<!-- c --><tsl:SchemeInformation>"),
		"single quotes":  replace(`xml:lang="fr"`, `xml:lang='fr'`),
		"empty element":  replace(`<ds:CanonicalizationMethod Algorithm="`+excC14N+`"></ds:CanonicalizationMethod>`, `<ds:CanonicalizationMethod Algorithm="`+excC14N+`"/>`),
		"reference":      replace("FR98</tsl:Name>", "&#70;R98</tsl:Name>"),
		"unused prefix":  replace("<tsl:SchemeInformation>", `<tsl:SchemeInformation xmlns:z="urn:z">`),
		"CDATA":          replace("FR98</tsl:Name>", "<![CDATA[FR98]]></tsl:Name>"),
		"space in a tag": replace("<tsl:SchemeInformation>", "<tsl:SchemeInformation  >"),
	} {
		if _, err := ReadList([]byte(list)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzReadList(f *testing.F) {
	ca, _, _ := twoddoctest.Fixed(f)
	good := twoddoctest.List(f, twoddoctest.Signer(f), 3, twoddoctest.Entry{ID: "FR98", Status: inAccord, Cert: ca.Cert})
	want, err := ReadList(good)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`<a xmlns="urn:a" xmlns:b="urn:b" b:c="&lt;&#xD;"><b:d xmlns:b="urn:b2"/>x<!-- y --></a>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if l, err := ReadList(data); err == nil && (l.Sequence != want.Sequence || len(l.Authorities) != 1 || !l.Authorities[0].Certificates[0].Equal(want.Authorities[0].Certificates[0])) {
			t.Fatalf("another list is taken: %q", data)
		}
		root, err := parseXML(data)
		if err != nil {
			return
		}
		var once, twice bytes.Buffer
		root.canonical(&once, nil)
		again, err := parseXML(once.Bytes())
		if err != nil {
			t.Fatalf("%q is canonically %q: %v", data, once.Bytes(), err)
		}
		if again.canonical(&twice, nil); !bytes.Equal(once.Bytes(), twice.Bytes()) {
			t.Fatalf("%q and %q", once.Bytes(), twice.Bytes())
		}
	})
}
