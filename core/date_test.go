package core

import (
	"encoding/json"
	"testing"
	"time"
)

func day(t *testing.T, s string) Date {
	t.Helper()
	d, err := ParseDate(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestNewDate(t *testing.T) {
	for _, c := range []struct {
		y, m, d int
		want    bool
	}{
		{2026, 2, 28, true}, {2026, 2, 29, false}, {2024, 2, 29, true}, {1900, 2, 29, false}, {2000, 2, 29, true},
		{2026, 4, 31, false}, {2026, 12, 31, true}, {2026, 13, 1, false}, {2026, 0, 1, false}, {2026, 1, 0, false},
		{2026, 1, 32, false}, {0, 1, 1, false}, {-1, 1, 1, false}, {1, 1, 1, true},
	} {
		d, ok := NewDate(c.y, time.Month(c.m), c.d)
		if ok != c.want || (ok && d != Date{c.y, time.Month(c.m), c.d}) {
			t.Errorf("NewDate(%d, %d, %d) = %v, %v", c.y, c.m, c.d, d, ok)
		}
	}
}

// A limit of months ends on the day of the same number, or on the last of a month
// that is too short (code de procédure civile, art. 641).
func TestAddMonths(t *testing.T) {
	for _, c := range []struct {
		from string
		n    int
		want string
	}{
		{"2026-01-31", 1, "2026-02-28"}, {"2024-01-31", 1, "2024-02-29"}, {"2026-03-31", 1, "2026-04-30"},
		{"2026-02-28", 1, "2026-03-28"}, {"2026-11-30", 3, "2027-02-28"}, {"2026-12-15", 1, "2027-01-15"},
		{"2026-05-31", 0, "2026-05-31"}, {"2026-03-31", -1, "2026-02-28"}, {"2026-01-15", -1, "2025-12-15"},
		{"2024-02-29", 12, "2025-02-28"}, {"2024-02-29", 48, "2028-02-29"}, {"2026-08-31", 120, "2036-08-31"},
	} {
		if got := day(t, c.from).AddMonths(c.n); got.String() != c.want {
			t.Errorf("%s + %d months = %s, want %s", c.from, c.n, got, c.want)
		}
	}
}

func TestAddDays(t *testing.T) {
	for _, c := range []struct {
		from string
		n    int
		want string
	}{
		{"2026-02-28", 1, "2026-03-01"}, {"2024-02-28", 1, "2024-02-29"}, {"2026-12-31", 1, "2027-01-01"},
		{"2026-03-29", 1, "2026-03-30"}, {"2026-10-25", 1, "2026-10-26"}, // the clocks change: a day stays a day
		{"2026-01-01", -1, "2025-12-31"}, {"2026-01-01", 365, "2027-01-01"},
	} {
		if got := day(t, c.from).AddDays(c.n); got.String() != c.want {
			t.Errorf("%s + %d days = %s, want %s", c.from, c.n, got, c.want)
		}
	}
}

func TestDateOrder(t *testing.T) {
	days := []string{"1999-12-31", "2026-01-31", "2026-02-01", "2026-02-28", "2027-01-01"}
	for i, a := range days {
		for j, b := range days {
			if got := day(t, a).Before(day(t, b)); got != (i < j) {
				t.Errorf("%s before %s: %v", a, b, got)
			}
		}
		if !(Date{}).Before(day(t, a)) {
			t.Errorf("no date does not come before %s", a)
		}
	}
}

// The civil date is that of the place: one instant has two dates.
func TestDateOfIsLocal(t *testing.T) {
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 6, 30, 22, 30, 0, 0, time.UTC)
	if got := DateOf(at).String() + " " + DateOf(at.In(paris)).String(); got != "2026-06-30 2026-07-01" {
		t.Errorf("dates %s", got)
	}
}

func TestDateText(t *testing.T) {
	type paper struct {
		Issued Date   `json:"issued,omitzero"`
		Ends   Date   `json:"ends"`
		Covers Period `json:"covers,omitzero"`
	}
	for _, c := range []struct {
		paper paper
		text  string
	}{
		{paper{}, `{"ends":""}`},
		{paper{Issued: day(t, "2026-07-31"), Ends: day(t, "0987-01-02")}, `{"issued":"2026-07-31","ends":"0987-01-02"}`},
		{paper{Covers: Period{day(t, "2025-01-01"), day(t, "2025-12-31")}}, `{"ends":"","covers":{"from":"2025-01-01","to":"2025-12-31"}}`},
	} {
		b, err := json.Marshal(c.paper)
		if err != nil || string(b) != c.text {
			t.Errorf("%+v as %s, %v; want %s", c.paper, b, err, c.text)
		}
		var back paper
		if err := json.Unmarshal([]byte(c.text), &back); err != nil || back != c.paper {
			t.Errorf("%s read as %+v, %v", c.text, back, err)
		}
	}
	for _, s := range []string{"2026-02-29", "2026-13-01", "31/07/2026", "2026-7-1", " 2026-07-31", "2026-07-31T00:00:00Z", "x"} {
		var d Date
		if err := d.UnmarshalText([]byte(s)); err == nil {
			t.Errorf("%q read as %v", s, d)
		}
	}
}

// What reads as a date prints as it was read, and nothing else reads.
func FuzzParseDate(f *testing.F) {
	for _, s := range []string{"2026-07-31", "2024-02-29", "0001-01-01", "9999-12-31", "2026-02-30", "", "２０２６-01-01"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := ParseDate(s); err == nil && d.String() != s {
			t.Errorf("%q read as %q", s, d)
		}
	})
}
