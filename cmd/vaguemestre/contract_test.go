package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"vaguemestre/core/catalogue"
)

// Every command of the contract is there, says what it is for, and explains its flags.
func TestEveryCommandHelps(t *testing.T) {
	t.Parallel()
	var found []string
	var walk func(path []string, cmd *cobra.Command)
	walk = func(path []string, cmd *cobra.Command) {
		var out, errs bytes.Buffer
		if code := execute(t.Context(), append(slices.Clone(path), "--help"), &out, &errs); code != 0 || errs.Len() > 0 {
			t.Errorf("%v --help: exit %d, %s", path, code, errs.String())
		}
		if !strings.Contains(out.String(), cmd.Short) || cmd.Short == "" || !strings.Contains(out.String(), "Usage:") {
			t.Errorf("%v --help says\n%s", path, out.String())
		}
		for _, line := range strings.Split(out.String(), "\n") {
			if name := strings.TrimSpace(line); strings.HasPrefix(name, "--") && len(strings.Fields(name)) < 3 {
				t.Errorf("%v does not explain %s", path, name)
			}
		}
		if !cmd.HasSubCommands() {
			found = append(found, strings.Join(path, " "))
		}
		for _, sub := range cmd.Commands() {
			walk(append(slices.Clone(path), sub.Name()), sub)
		}
	}
	walk(nil, newRoot())
	for _, want := range []string{"run", "doctor", "mime", "classify", "tenant add", "tenant list", "citizen add", "citizen address show",
		"citizen address rotate", "citizen address revoke", "deposits list", "vault list", "vault get", "vault confirm",
		"catalogue export", "catalogue lint", "check", "journal verify"} {
		if !slices.Contains(found, want) {
			t.Errorf("there is no command %q in %q", want, found)
		}
	}
}

// 0 done, 1 it could not be done, 2 it was asked wrongly; messages go to stderr.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	for _, c := range []struct {
		code int
		args string
		says string
	}{
		{0, "--help", ""},
		{0, "vault", ""},
		{0, "catalogue export", ""},
		{1, "check", "no vaguemestre is running"},
		{1, "vault list --citizen x", "no vaguemestre is running"},
		{1, "vault get --citizen x --document y -o " + filepath.Join(home, "out"), "not_running"},
		{1, "tenant add --code a --name A --domain a.test --json", "not_running"},
		{1, "classify --catalogue /none.yaml x.pdf", "none.yaml"},
		{2, "fax", `unknown command "fax"`},
		{2, "vault burn", `unknown command "burn"`},
		{2, "check --loud", "--loud"},
		{2, "check now", `unexpected "now"`},
		{2, "vault list", "--citizen is missing"},
		{2, "vault list --citizen", "--citizen"},
		{2, "vault confirm --citizen x", "--document, --deposit or --token"},
		{2, "tenant add --name A", "--code is missing"},
		{2, "citizen add --tenant t --given g --family f", "--email is missing"},
		{2, "deposits list", "--tenant is missing"},
		{2, "mime", "at least one file"},
		{2, "classify --json", "at least one file"},
		{2, "catalogue lint", "at least one file"},
		{2, "run --roles nobody", "roles"},
		{2, "run --config /none.yaml", "none.yaml"},
		{2, "run later", `unexpected "later"`},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			out, errs, code := vaguemestre(t, nil, append([]string{"--home", home}, strings.Fields(c.args)...)...)
			if code != c.code {
				t.Errorf("exit %d, want %d: %s", code, c.code, errs)
			}
			if code == 0 {
				if out == "" || errs != "" {
					t.Errorf("said %q, and %q on stderr", out, errs)
				}
				return
			}
			if out != "" || !strings.HasPrefix(errs, "vaguemestre: ") || !strings.Contains(errs, c.says) {
				t.Errorf("said %q, and %q on stderr", out, errs)
			}
			if strings.Contains(errs, "--help") != (code == 2) {
				t.Errorf("exit %d, saying %q", code, errs)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(home, "out")); err == nil {
		t.Error("a failed get left a file")
	}
}

// mime: one line a file, in order; a file that cannot be read says so in its line.
func TestMIMELines(t *testing.T) {
	t.Parallel()
	body := []byte("%PDF-1.4 un & <deux>")
	sum := sha256.Sum256(body)
	file := filepath.Join(t.TempDir(), "un.eml")
	if err := os.WriteFile(file, message("1", "x", "avis & <reçu>.pdf", "application/pdf", body), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, code := vaguemestre(t, nil, "mime", "/none.eml", file)
	if code != 0 || errs != "" {
		t.Fatalf("exit %d, %s", code, errs)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 2 || !strings.Contains(lines[1], "avis & <reçu>.pdf") {
		t.Fatalf("lines %q", lines)
	}
	got := decode[map[string]any](t, out)
	if missing, ok := got[0]["error"].(string); !ok || missing == "" || got[0]["file"] != "/none.eml" || !reflect.DeepEqual(got[0]["parts"], []any{}) {
		t.Errorf("a missing file gives %v", got[0])
	}
	want := map[string]any{"file": file, "error": nil, "parts": []any{map[string]any{
		"filename": "avis & <reçu>.pdf", "content_type": "application/pdf", "size": float64(len(body)), "sha256": hex.EncodeToString(sum[:]),
	}}}
	if !reflect.DeepEqual(got[1], want) {
		t.Errorf("%v, want %v", got[1], want)
	}
}

// classify: every key on every line, null or empty where there is nothing to say.
func TestClassifyLines(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, content := range map[string][]byte{
		"avis.pdf": taxNotice("Zoé LE GOFF", "c"), "menu.pdf": textPDF("Menu du jour", "Entrée : salade"), "note.txt": []byte("Bonjour.\n"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	out, errs, code := vaguemestre(t, []string{pdfCache(t)}, "classify", "--json", at("avis.pdf"), at("menu.pdf"), at("note.txt"), at("none.pdf"))
	if code != 0 || errs != "" {
		t.Fatalf("exit %d, %s", code, errs)
	}
	got := decode[map[string]any](t, out)
	if len(got) != 4 {
		t.Fatalf("%d lines: %s", len(got), out)
	}
	contract := []string{"authenticity", "confidence", "error", "evidence", "expires", "file", "holder", "holders", "issued", "period", "segments", "type"}
	for i, line := range got {
		if keys := slices.Sorted(maps.Keys(line)); !slices.Equal(keys, contract) {
			t.Errorf("line %d has %v, want %v", i, keys, contract)
		}
	}
	notice := got[0]
	if notice["file"] != at("avis.pdf") || notice["type"] != "avis_imposition_ir" || notice["error"] != nil || notice["issued"] != "2026-07-31" ||
		!strings.EqualFold(notice["holder"].(string), "Zoé LE GOFF") || notice["confidence"].(float64) < 0.6 || notice["confidence"].(float64) > 1 {
		t.Errorf("the notice is %v", notice)
	}
	if period, ok := notice["period"].([]any); ok && (len(period) != 2 || len(period[0].(string)) != len(time.DateOnly)) {
		t.Errorf("its period is %v", period)
	}
	if reasons, ok := notice["evidence"].([]any); !ok || len(reasons) == 0 {
		t.Errorf("its evidence is %v", notice["evidence"])
	}
	for _, i := range []int{1, 2, 3} {
		line := got[i]
		if failed := line["error"] != nil; failed != (i > 1) {
			t.Errorf("line %d: error %v", i, line["error"])
		}
		for key, none := range map[string]any{"type": nil, "holder": nil, "issued": nil, "expires": nil, "period": nil, "holders": []any{}, "segments": []any{}} {
			if !reflect.DeepEqual(line[key], none) {
				t.Errorf("line %d: %s is %v, want %v", i, key, line[key], none)
			}
		}
	}
	if said := got[2]["error"].(string); !strings.HasPrefix(said, "unsupported_text: ") {
		t.Errorf("the text file's error is %q", said)
	}
	if shown, _, code := vaguemestre(t, []string{pdfCache(t)}, "classify", at("avis.pdf")); code != 0 || !strings.Contains(shown, "avis_imposition_ir (") {
		t.Errorf("without --json: exit %d, %s", code, shown)
	}
}

// pdfCache lets classify use the compiled sandbox that all tests share.
func pdfCache(t *testing.T) string {
	t.Helper()
	cache := t.TempDir()
	home := filepath.Join(cache, "home")
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	shareCache(t, home)
	if err := os.Symlink(filepath.Join(home, "cache"), filepath.Join(cache, "vaguemestre")); err != nil {
		t.Fatal(err)
	}
	return "XDG_CACHE_HOME=" + cache
}

// What is exported can be read again and nothing is wrong with it; what is wrong is
// said, file by file.
func TestCatalogueExportAndLint(t *testing.T) {
	t.Parallel()
	exported, _, code := vaguemestre(t, nil, "catalogue", "export")
	types, err := catalogue.Parse([]byte(exported))
	if code != 0 || err != nil || len(types.Types()) != len(catalogue.Default().Types()) {
		t.Fatalf("export: exit %d, %v", code, err)
	}
	line := decode[map[string]any](t, first(vaguemestre(t, nil, "catalogue", "export", "--json")))
	if len(line) != 1 || line[0]["catalogue"] != exported || line[0]["version"] != float64(0) {
		t.Errorf("export --json gives %d lines", len(line))
	}
	good := written(t, exported)
	if out, errs, code := vaguemestre(t, nil, "catalogue", "lint", good); code != 0 || out+errs != "" {
		t.Errorf("lint of the default: exit %d, %s%s", code, out, errs)
	}
	bad := written(t, "types:\n- {code: RIB, label: '', family: Banque, validity: [{until: someday}]}\n")
	out, errs, code := vaguemestre(t, nil, "catalogue", "lint", good, bad, "/none.yaml")
	if code != 1 || errs != "" || !strings.Contains(out, bad+": ") || !strings.Contains(out, "/none.yaml: ") || strings.Contains(out, good) {
		t.Errorf("lint: exit %d, %s%s", code, out, errs)
	}
}

func first(out, _ string, _ int) string { return out }

// The commands that talk to the running process answer one object a line, with the
// keys of the contract, and faults with a code.
func TestRunningCommandsSpeakJSON(t *testing.T) {
	t.Parallel()
	p := start(t, newHome(t), nil)
	if err := p.send(p.address, message("j", "x", "avis.pdf", "application/pdf", taxNotice("Zoé LE GOFF", "j"))); err != nil {
		t.Fatal(err)
	}
	p.wait(20*time.Second, "document", func() bool { return len(p.vault()) == 1 })
	document := p.vault()[0].ID
	for _, c := range []struct{ args, keys string }{
		{"tenant add --code ville --name Ville --domain depot.ville.test", "code id name"},
		{"tenant add --code bourg --name Bourg", "code id name"},
		{"tenant list", "code id name"},
		{"citizen add --tenant ville --given Ana --family Belle --email ana@ville.test", "deposit_address id reading_consent tenant"},
		{"citizen address show --citizen " + p.citizen, "address created revoked"},
		{"deposits list --tenant demo", "channel citizen id pieces received state trust trust_reason"},
		{"vault list --citizen " + p.citizen, "channel confidence filename holder id issued retain_until sha256 size standing state type valid_until version"},
		{"vault confirm --citizen " + p.citizen + " --document " + document, "id state"},
		{"catalogue export --tenant demo", "catalogue version"},
		{"citizen address rotate --citizen " + p.citizen, "deposit_address"},
	} {
		lines := decode[map[string]any](t, p.must(append(strings.Fields(c.args), "--json")...))
		if len(lines) == 0 {
			t.Errorf("%s answers nothing", c.args)
			continue
		}
		if keys := strings.Join(slices.Sorted(maps.Keys(lines[0])), " "); keys != c.keys {
			t.Errorf("%s answers with %s, want %s", c.args, keys, c.keys)
		}
	}
	if last := decode[struct{ Closed bool }](t, p.must("check", "--json")); !last[len(last)-1].Closed {
		t.Error("check does not close")
	}
	nobody := "00000000-0000-4000-8000-000000000000"
	for _, c := range []struct {
		code int
		args string
		says string
	}{
		{1, "vault list --citizen " + nobody, "not_found"},
		{1, "vault list --citizen nobody", "not_found"},
		{1, "vault get --citizen " + p.citizen + " --document " + nobody, "not_found"},
		{1, "vault get --citizen " + p.citizen + " --document nothing", "not_found"},
		{1, "vault confirm --citizen " + p.citizen + " --document nothing", "not_found"},
		{1, "deposits list --tenant nowhere", "not_found"},
		{1, "tenant add --code ville --name V --domain v.test", "code_taken"},
		{2, "tenant add --code Ville! --name V --domain v.test", "code"},
		{2, "tenant add --code v --name V --domain nodomain", "deposit_domain"},
		{2, "citizen add --tenant demo --given A --family B --email nomail", "e-mail"},
	} {
		out, errs, code := p.command(append(strings.Fields(c.args), "--json")...)
		if code != c.code || out != "" || !strings.Contains(errs, c.says) {
			t.Errorf("%s: exit %d, %q, and %q on stderr", c.args, code, out, errs)
		}
	}
}
