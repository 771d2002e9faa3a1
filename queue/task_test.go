package queue

import (
	"strings"
	"testing"

	"vaguemestre/core"
)

func TestEncodeRefusesWhatIsNotOpaque(t *testing.T) {
	good := newStep(core.NounPiece)
	bad := map[string]func(*core.Step){
		"file name":     func(s *core.Step) { s.ID = "avis-impot-dupont.pdf" },
		"long as an id": func(s *core.Step) { s.ID = "jean.dupont+facture-2024@exemple.fra" },
		"tenant":        func(s *core.Step) { s.Tenant = "alfortville" },
		"upper case":    func(s *core.Step) { s.ID = strings.ToUpper("ab" + s.ID[2:]) },
		"noun":          func(s *core.Step) { s.Noun = "citizen" },
		"attempt":       func(s *core.Step) { s.Attempt = -1 },
		"empty":         func(s *core.Step) { *s = core.Step{} },
	}
	if _, err := encode(good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range bad {
		step := good
		spoil(&step)
		if _, err := encode(step); err == nil {
			t.Errorf("%s: encoded", name)
		}
	}
}

func TestDecodeIsStrict(t *testing.T) {
	step := newStep(core.NounDeposit)
	task, err := encode(step)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decode(task.Type(), task.Payload()); err != nil || got != step {
		t.Errorf("got %v, %v; want %v", got, err, step)
	}
	tenant, id := string(step.Tenant), step.ID
	for name, payload := range map[string]string{
		"empty":         "",
		"next version":  "2 " + tenant + " " + id + " 1",
		"signed":        "1 " + tenant + " " + id + " +1",
		"negative":      "1 " + tenant + " " + id + " -1",
		"leading zero":  "1 " + tenant + " " + id + " 01",
		"overflow":      "1 " + tenant + " " + id + " 99999999999999999999",
		"more":          "1 " + tenant + " " + id + " 1 x",
		"less":          "1 " + tenant + " " + id,
		"newline":       "1 " + tenant + " " + id + " 1\n",
		"two spaces":    "1  " + tenant + " " + id + " 1",
		"not an id":     "1 " + tenant + " " + strings.Repeat("z", 36) + " 1",
		"misplaced bar": "1 " + tenant + " " + strings.Repeat("-", 36) + " 1",
	} {
		if got, err := decode(task.Type(), []byte(payload)); err == nil {
			t.Errorf("%s: decoded as %v", name, got)
		}
	}
	if _, err := decode("deposit:shred", task.Payload()); err == nil {
		t.Error("unknown kind decoded")
	}
}

// Whatever is decoded is exactly what encode would have written.
func FuzzDecode(f *testing.F) {
	step := core.Step{
		Tenant: "0b6a4f0e-8f0e-4a53-9d0c-5a4f6f1f2a11", Noun: core.NounPiece,
		ID: "7d7a3f0e-1c2d-4e5f-8a9b-0c1d2e3f4a5b", Attempt: 12,
	}
	f.Add(kindOf(step.Noun), payload(step))
	f.Add("deposit:open", []byte("1 a b 0"))
	f.Add("", []byte{})
	f.Fuzz(func(t *testing.T, kind string, b []byte) {
		step, err := decode(kind, b)
		if err != nil {
			return
		}
		task, err := encode(step)
		if err != nil {
			t.Fatalf("decoded %v, which may not be rung: %v", step, err)
		}
		if task.Type() != kind || string(task.Payload()) != string(b) {
			t.Fatalf("%q %q decodes and encodes to %q %q", kind, b, task.Type(), task.Payload())
		}
	})
}
