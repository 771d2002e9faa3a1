package smtpin_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"vaguemestre/channels/smtpin"
)

// TestSEC40_Smuggling sends what two servers may read differently. Whatever comes after
// the trick holds a second message, which must never be taken in.
func TestSEC40_Smuggling(t *testing.T) {
	for name, end := range map[string]string{
		"LF.LF":         "\n.\n",
		"LF.CRLF":       "\n.\r\n",
		"CR.CR":         "\r.\r",
		"CR.CRLF":       "\r.\r\n",
		"CRLF.LF":       "\r\n.\n",
		"CRLF.CR":       "\r\n.\r",
		"CRLF.CRCRLF":   "\r\n.\r\r\n",
		"CRCRLF.CRLF":   "\r\r\n.\r\n",
		"LFCR.LFCR":     "\n\r.\n\r",
		"CRLF.CRxLF":    "\r\n.\rx\n",
		"dot, CR, text": "\r\n.\rtext\r\n",
		"bare LF":       "a\nb",
		"bare CR":       "a\rb",
		"CR.LF":         "\r.\n",
		"LF.CR":         "\n.\r",
		"LF.CRCRLF":     "\n.\r\r\n",
		"CR.CRCRLF":     "\r.\r\r\n",
		"CRCRLF.CRCRLF": "\r\r\n.\r\r\n",
		"LFLF.LFLF":     "\n\n.\n\n",
		"CRLF.LFCR":     "\r\n.\n\r",
		"CRNUL.CRLF":    "\r\x00.\r\n",
		"CRLF.CRNULLF":  "\r\n.\r\x00\n",
		"CRNULLF.CRLF":  "\r\x00\n.\r\n",
		"LFNUL.CRLF":    "\n\x00.\r\n",
		"NULLF.NULLF":   "\x00\n.\x00\n",
		"dot LF, alone": ".\n.\r",
		"CRLF..LF":      "\r\n..\n",
		"CRLF..CR":      "\r\n..\rx",
		"LF..CRLF":      "\n..\r\n",
		"CRLF LF.CRLF":  "\r\n\n.\r\n",
		"CRLF CR.CRLF":  "\r\n\r.\r\n",
	} {
		for _, split := range []bool{false, true} {
			for _, tls := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s split=%t tls=%t", name, split, tls), func(t *testing.T) {
					intake := &town{}
					addr, _ := open(t, smtpin.Config{TLS: certificate(t)}, intake)
					d := dial(t, addr)
					if tls {
						d = d.startTLS()
					}
					d.envelope(mine)
					d.cmd("DATA", "354 ")
					raw := "Subject: first\r\n\r\ntext" + end + second
					if split {
						trickle(d, raw)
					} else {
						d.send(raw)
					}
					d.expect("550 5.5.2 ")
					d.expect("")
					if n := len(intake.Taken()); n != 0 {
						t.Errorf("%d messages taken in", n)
					}
				})
			}
		}
	}
}

// trickle sends every byte on its own; the far end may close in the middle.
func trickle(d *dialog, raw string) {
	for i := range len(raw) {
		if _, err := io.WriteString(d.Conn, raw[i:i+1]); err != nil {
			return
		}
	}
}

// TestSEC40_NoSmugglingWithoutBareBreaks sends tricks with proper line ends: one message each.
func TestSEC40_NoSmugglingWithoutBareBreaks(t *testing.T) {
	for name, inside := range map[string]string{
		"NUL before the dot": "\r\n\x00.\r\n",
		"NUL after the dot":  "\r\n.\x00\r\n",
		"blank after":        "\r\n. \r\n",
		"two dots":           "\r\n..\r\n",
		"tab after":          "\r\n.\t\r\n",
		"VT for a line end":  "\v.\v",
		"FF for a line end":  "\f.\f",
		"NEL for a line end": "\u0085.\u0085",
		"LS for a line end":  "\u2028.\u2028",
		"0x8d, 0x8a":         "\x8d\x8a.\x8d\x8a",
		"full width":         "\r\n\uff0e\r\n",
		"percent":            "%0d%0a.%0d%0a",
		"words":              "\\r\\n.\\r\\n",
		"dot, dot, NUL":      "\r\n..\x00\r\n",
		"blank before":       "\r\n .\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			intake := &town{}
			addr, _ := open(t, smtpin.Config{}, intake)
			d := dial(t, addr)
			d.envelope(mine)
			raw := "Subject: x\r\n\r\ntext" + inside + "RSET\r\n"
			d.data(raw, "250 ")
			d.cmd("NOOP", "250 ")
			taken := intake.Taken()
			if want := strings.ReplaceAll(raw, "\r\n.", "\r\n"); len(taken) != 1 || string(taken[0].Bodies[0]) != want {
				t.Errorf("took %+v, want %q", taken, want)
			}
		})
	}
}

func TestSEC40_SmugglingInCommands(t *testing.T) {
	for name, line := range map[string]string{
		"LF":          "NOOP\nRSET\r\n",
		"CR":          "NOOP\rRSET\r\n",
		"CRCRLF":      "NOOP\r\r\n",
		"LF after TO": "RCPT TO:<" + mine + ">\nDATA\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			addr, _ := open(t, smtpin.Config{}, &town{})
			d := dial(t, addr)
			d.cmd("MAIL FROM:<a@b.test>", "250 ")
			d.send(line)
			d.expect("550 5.5.2 ")
			d.expect("")
		})
	}
}

func TestChunks(t *testing.T) {
	t.Run("cut anywhere", func(t *testing.T) {
		intake := &town{}
		addr, _ := open(t, smtpin.Config{}, intake)
		d := dial(t, addr)
		raw := "Message-ID: <1@b>\r\n\r\n.\r\nDATA\r\n" + strings.Repeat("x", 3000) + "\r\n"
		for cut := 0; cut <= 30; cut++ {
			d.envelope(mine)
			d.send(fmt.Sprintf("BDAT %d\r\n%sBDAT %d LAST\r\n%s", cut, raw[:cut], len(raw)-cut, raw[cut:]))
			d.expect("250 ")
			d.expect("250 2.0.0 Taken in: ")
		}
		for n, got := range intake.Taken() {
			if string(got.Bodies[0]) != raw || got.Key != "1@b" {
				t.Errorf("cut at %d: took %q", n, got.Bodies[0])
			}
		}
		if n := len(intake.Taken()); n != 31 {
			t.Errorf("%d messages", n)
		}
	})
	for name, raw := range map[string]string{"bare LF": "\n.\n", "bare CR": "\r.\rx\r\n", "CR at the end": "x\r"} {
		t.Run(name, func(t *testing.T) {
			intake := &town{}
			addr, _ := open(t, smtpin.Config{}, intake)
			d := dial(t, addr)
			d.envelope(mine)
			d.send(fmt.Sprintf("BDAT %d LAST\r\n%sMAIL FROM:<evil@b.test>\r\n", len(raw), raw))
			d.expect("550 5.5.2 ")
			d.expect("")
			if n := len(intake.Taken()); n != 0 {
				t.Errorf("%d messages taken in", n)
			}
		})
	}
}

// TestCutShort breaks the connection within a message: nothing may be taken in, however
// the part that came looks like a whole.
func TestCutShort(t *testing.T) {
	for name, raw := range map[string]string{
		"DATA":           "DATA\r\n" + letter,
		"DATA, dot":      "DATA\r\n" + letter + ".\r",
		"BDAT":           "BDAT 500 LAST\r\n" + letter,
		"between chunks": fmt.Sprintf("BDAT %d\r\n%s", len(letter), letter),
		"RSET":           fmt.Sprintf("BDAT %d\r\n%sRSET\r\n", len(letter), letter),
	} {
		t.Run(name, func(t *testing.T) {
			intake := &town{}
			addr, stop := open(t, smtpin.Config{}, intake)
			d := dial(t, addr)
			d.envelope(mine)
			d.send(raw)
			d.Conn.(*net.TCPConn).CloseWrite()
			for d.reply() != "" {
			}
			stop()
			if n := len(intake.Taken()); n != 0 {
				t.Errorf("%d messages taken in", n)
			}
		})
	}
}
