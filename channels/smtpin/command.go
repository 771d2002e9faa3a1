package smtpin

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// command reads command lines until one is for go-smtp, and answers the others itself.
// It gives nothing when the session is over.
func (w *wire) command() []byte {
	for !w.dead.Load() {
		w.narrow()
		line := w.line()
		if line == nil {
			return nil
		}
		if w.taken.Swap(false) {
			w.tally.commands = 0
		}
		if w.tally.commands++; w.tally.commands > w.r.cfg.MaxCommands {
			return w.say("421 4.7.0 Too many commands without a message, closing")
		}
		given := w.perform(line)
		if given != nil {
			return given
		}
	}
	return nil
}

// line reads a command line with its end, or gives nothing when the session is over.
func (w *wire) line() []byte {
	for {
		if w.stopped() {
			return w.say("421 4.3.2 Closing down, try again later")
		}
		w.arm()
		line, err := w.in().ReadSlice('\n')
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && w.stopped():
			continue
		case errors.Is(err, os.ErrDeadlineExceeded):
			return w.say("421 4.4.2 Idle for too long, closing")
		case errors.Is(err, bufio.ErrBufferFull), err == nil && len(line) > maxCommand:
			return w.say("500 5.5.2 Line too long, closing")
		case err != nil:
			w.dead.Store(true)
			return nil
		case !bytes.HasSuffix(line, []byte("\r\n")) || bytes.IndexByte(line, '\r') != len(line)-2:
			return w.say("550 5.5.2 Bare CR or LF, closing")
		}
		return line
	}
}

// perform gives the line that go-smtp is to carry out, or nothing when the command is
// answered already.
func (w *wire) perform(line []byte) []byte {
	text := bytes.TrimRight(line, " \t\r\n")
	w.verb = verbOf(text)
	wary := w.wary
	w.wary = false
	if w.verb == "BDAT" { // however it goes on: bytes may follow
		return w.bdat(append(text, "\r\n"...))
	}
	if !printable(text) {
		return w.reject("500 5.5.2 Control characters or no UTF-8 in a command", wary)
	}
	line = append(text, "\r\n"...) // where the line was
	switch w.verb {
	case "EHLO", "HELO", "RSET", "QUIT":
		return line
	case "MAIL":
		w.vast = w.declaresVast(line)
		return line
	case "RCPT":
		return w.rcpt(line)
	case "DATA":
		return w.data(line)
	case "STARTTLS":
		return w.startTLS(line)
	}
	switch reply := standing(w.verb); {
	case foreign(w.verb):
		return w.say("554 5.5.1 This server speaks SMTP, closing")
	case strings.HasPrefix(reply, "500 "):
		return w.reject(reply, wary)
	default:
		w.answer(reply)
		return nil
	}
}

// reject answers what is no command. Behind a message it is more of it, which did not
// end where its sender thinks or was not asked for: nothing else in it shall look like a
// command.
func (w *wire) reject(reply string, wary bool) []byte {
	if wary {
		return w.say("554 5.5.0 That is no command but more of a message, closing")
	}
	w.answer(reply)
	return nil
}

// verbOf is what a command does, in capitals. Whatever begins with BDAT is one.
func verbOf(line []byte) string {
	verb, _, _ := strings.Cut(string(line), " ")
	if len(verb) >= 4 && strings.EqualFold(verb[:4], "BDAT") {
		return "BDAT"
	}
	if strings.ContainsFunc(verb, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return "" // there are letters whose capitals are ASCII
	}
	return strings.ToUpper(verb)
}

// printable reports whether a command holds nothing but text.
func printable(line []byte) bool {
	return utf8.Valid(line) && bytes.IndexFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) < 0
}

var sizeOfMany = regexp.MustCompile(`(?i) SIZE=[0-9]{10,20}(?: |\r)`)

// declaresVast reports whether MAIL declares a size (RFC 1870: up to 20 digits) that
// go-smtp may not read as a number, but which is one, and too large.
func (w *wire) declaresVast(line []byte) bool { return sizeOfMany.Match(line) }

var postmaster = regexp.MustCompile(`(?i)^(RCPT TO: ?<)postmaster(>.*\r\n)$`)

// rcpt gives postmaster, who has no domain (RFC 5321 §4.1.1.3), ours.
func (w *wire) rcpt(line []byte) []byte {
	if m := postmaster.FindSubmatch(line); m != nil {
		return []byte(string(m[1]) + "postmaster@" + w.r.cfg.Domain + string(m[2]))
	}
	return line
}

// data sees to it that the reply to DATA is waited for (RFC 2920 §3.1): what was sent
// along is a message that was not asked for, or holds what shall look like commands.
func (w *wire) data(line []byte) []byte {
	w.wary = true
	if w.in().Buffered() > 0 && (!w.addressed.Load() || !w.exempt) {
		return w.say("554 5.5.0 Wait for the reply to DATA, closing")
	}
	return line
}

var chunkForm = regexp.MustCompile(`(?i)^BDAT +([0-9]+)(?: +LAST)?\r\n$`)

// bdat notes how many bytes follow a BDAT command (RFC 3030 §2). When that cannot be
// known, or is more than a message may have, the session ends: nothing behind it is a
// command.
func (w *wire) bdat(line []byte) []byte {
	m := chunkForm.FindSubmatch(line)
	if m == nil {
		return w.say("501 5.5.4 Say BDAT, the size of the chunk in bytes, and LAST with the last one; closing")
	}
	size, err := strconv.ParseUint(string(m[1]), 10, 32)
	if err != nil || int64(size) > w.r.cfg.MaxBytes {
		return w.say(w.tooLarge())
	}
	if !w.addressed.Load() { // a chunk of nothing is read over
		if w.wasted += int64(size); w.wasted > w.r.cfg.MaxBytes {
			return w.say("421 4.7.0 Too much of what was refused, closing")
		}
	}
	w.chunk, w.wary = int64(size), true
	w.begin()
	return line
}

// startTLS secures the connection and hands it to the other server as a new session,
// which knows nothing that was said in the clear (RFC 3207 §4.2). Bytes sent along with
// the command were not protected: the session ends.
func (w *wire) startTLS(line []byte) []byte {
	switch {
	case w.in().Buffered() > 0 && w.r.cfg.TLS != nil && !w.secure:
		return w.say("503 5.5.1 Nothing may follow STARTTLS, closing")
	case len(line) > len("STARTTLS\r\n"):
		w.answer("501 5.5.4 STARTTLS takes no parameter")
		return nil
	case w.secure:
		w.answer("503 5.5.1 TLS is in use already")
		return nil
	case w.r.cfg.TLS == nil:
		w.answer("502 5.5.1 STARTTLS is not offered here")
		return nil
	case !w.until.IsZero():
		w.answer("503 5.5.1 A message is under way: end it or RSET")
		return nil
	}
	w.answer("220 2.0.0 Ready to start TLS")
	w.dead.Store(true)
	if next := w.secured(); next != nil {
		next.silent = true
		w.r.upgraded.pass(next)
	}
	return nil
}
