package main

import (
	"bytes"
	"crypto/elliptic"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vaguemestre/core/recognise/twoddoc/twoddoctest"
)

// TestTwoDDoc plays the operator: imports, looks, verifies.
func TestTwoDDoc(t *testing.T) {
	dir := t.TempDir()
	ca, signer := twoddoctest.NewCA(t, "FR98"), twoddoctest.Signer(t)
	leaf, test := ca.Issue("0001", elliptic.P256()), twoddoctest.NewCA(t, "FR00").Issue("0001", elliptic.P256())
	good := leaf.Code(t, twoddoctest.Header+twoddoctest.Bill)
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	list := file("tsl.xml", twoddoctest.List(t, signer, 1, twoddoctest.Entry{ID: "FR98", Status: twoddoctest.InAccord, Cert: ca.Cert}))
	bundle, revoked := file("bundle.pem", twoddoctest.PEM(ca.Cert, leaf.Cert)), file("crl.pem", ca.Revoke(0, leaf.Cert))
	code, forged := file("code", append(good, '\n')), file("forged", bytes.Replace(good, []byte("1319"), []byte("1318"), 1))
	testCode := file("test", test.Code(t, "DC04FR0000011EBC1EBC0101FR"+twoddoctest.Bill))
	spelled := file("spelled", bytes.ReplaceAll(bytes.ReplaceAll(good, []byte{0x1d}, []byte("<GS>")), []byte{0x1f}, []byte("<US>")))
	print := file("print.txt", []byte("Facture d’électricité du 17 juillet 2021\nMme Natacha SPECIMEN, 145 avenue des Spécimens, 75000 PARIS\nTotal : 1 319,24 €"))
	other := file("other.txt", []byte("Facture d’électricité du 17 juillet 2021\nMme Corinne BERTHIER, 145 avenue des Spécimens, 75000 PARIS\nTotal : 1 319,24 €"))
	file("trust/FR00-0001.pem", twoddoctest.PEM(test.Cert))
	qr := file("qr", []byte("https://example.org/"))

	for _, c := range []struct {
		args string
		exit int
		says string
	}{
		{"2ddoc import", 2, ""},
		{"2ddoc verify --colour", 2, ""},
		{"2ddoc nonsense", 2, ""},
		{"2ddoc list --json", 1, `"list":null`},
		{"2ddoc import --json " + list, 1, twoddoctest.Fingerprint(signer)},
		{"2ddoc import --json --signer " + twoddoctest.Fingerprint(signer) + " " + list + " " + bundle, 0, `"name":"FR98-0001","until":"2023-12-31","taken":true`},
		{"2ddoc import " + qr, 1, "neither PEM, DER"},
		{"2ddoc import " + filepath.Join(dir, "absent"), 1, "no such file"},
		{"2ddoc list", 1, "devait être renouvelée"}, // the list was due again in 2022
		{"2ddoc show " + code, 0, "not verified"},
		{"2ddoc show " + code, 0, "1\u202f319,24\u00a0€"},
		{"2ddoc show --json " + code, 0, `"label":"Montant TTC"`},
		{"2ddoc show " + qr, 1, "no 2D-Doc"},
		{"2ddoc show --json " + qr + " " + code, 1, `"error":"no 2D-Doc"`},
		{"2ddoc verify " + code, 0, "valid"},
		{"2ddoc verify --json " + code, 0, `"signature":"valid"`},
		{"2ddoc verify --json " + spelled, 1, `"signature":"malformed"`},
		{"2ddoc verify --json --spelled " + spelled, 0, `"signature":"valid"`},
		{"2ddoc verify --json " + forged, 1, `"signature":"invalid_signature"`},
		{"2ddoc verify --json " + forged + " " + code, 1, `"signature":"valid"`},
		{"2ddoc verify --json " + testCode, 1, `"signature":"certificate_unknown"`},
		{"2ddoc verify --json --trust " + filepath.Join(dir, "trust") + " " + testCode + " " + code, 0, `"test":true`},
		{"2ddoc verify --trust " + filepath.Join(dir, "absent") + " " + code, 1, ""},
		{"2ddoc verify --json " + qr, 1, `"signature":"none"`},
		{"2ddoc verify --json --text " + print + " " + code, 0, `"matches_text":true`},
		{"2ddoc verify --json --text " + other + " " + code, 1, `"matches_text":false`},
		{"2ddoc verify --text " + print + " " + code, 0, "Le texte correspond au code."},
		{"2ddoc verify --json " + filepath.Join(dir, "absent"), 1, "no such file"},
		{"2ddoc import --json " + revoked, 0, `"what":"revocations"`},
		{"2ddoc verify --json " + code, 1, `"signature":"revoked"`},
	} {
		var stdout, stderr bytes.Buffer
		exit := execute(t.Context(), append(strings.Fields(c.args), "--home", filepath.Join(dir, "home")), &stdout, &stderr)
		if exit != c.exit || !strings.Contains(stdout.String(), c.says) {
			t.Errorf("%s: exit %d, want %d\n%s%s", c.args, exit, c.exit, stdout.String(), stderr.String())
		}
		if strings.Contains(c.args, "--json") {
			for line := range strings.Lines(stdout.String()) {
				if !json.Valid([]byte(line)) {
					t.Errorf("%s: no JSON: %s", c.args, line)
				}
			}
		}
	}

	root, out := newRoot(), &bytes.Buffer{}
	root.SetArgs([]string{"2ddoc", "show", "--json"})
	root.SetIn(bytes.NewReader(good))
	root.SetOut(out)
	if err := root.ExecuteContext(t.Context()); err != nil || !strings.Contains(out.String(), `"file":"-"`) || !strings.Contains(out.String(), `"error":null`) {
		t.Errorf("stdin: %v\n%s", err, out)
	}
}
