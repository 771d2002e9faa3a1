package relaytest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"io"
	"net"
	"strings"
)

// session is one client.
type session struct {
	*Relay
	n         int
	conn      net.Conn
	in        *bufio.Reader
	encrypted bool
	trusted   bool
	message   Message
}

func (r *Relay) serve(conn net.Conn) {
	defer conn.Close()
	r.mu.Lock()
	r.sessions++
	r.open++
	r.most = max(r.most, r.open)
	s := &session{Relay: r, n: r.sessions, conn: conn}
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		r.open--
		r.mu.Unlock()
		s.conn.Close()
	}()
	if s.over(conn, r.Implicit) != nil || !s.answer("", "220 relay.test ESMTP") {
		return
	}
	for {
		line, err := s.in.ReadString('\n')
		if err != nil || !s.command(strings.TrimRight(line, "\r\n")) {
			return
		}
	}
}

func (s *session) over(conn net.Conn, encrypt bool) error {
	s.conn = conn
	if encrypt {
		secure := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{s.cert}})
		if err := secure.Handshake(); err != nil {
			return err
		}
		s.conn, s.encrypted = secure, true
	}
	var r io.Reader = s.conn
	if !s.encrypted {
		r = io.TeeReader(r, (*clearText)(s.Relay))
	}
	s.in = bufio.NewReader(r)
	return nil
}

type clearText Relay

func (c *clearText) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.clear.Write(p)
}

// reply is what a command gets: usual, or what Answer has in its place.
func (s *session) reply(command, usual string) string {
	if s.Answer != nil {
		if other := s.Answer(s.n, command); other != "" {
			return other
		}
	}
	return usual
}

// say says a reply, and reports whether the session goes on.
func (s *session) say(reply string) bool {
	switch reply {
	case HangUp:
		return false
	case Silent:
		_, _ = io.Copy(io.Discard, s.in)
		return false
	}
	_, err := io.WriteString(s.conn, strings.ReplaceAll(reply, "\n", "\r\n")+"\r\n")
	return err == nil && !strings.HasPrefix(reply, "421")
}

func (s *session) answer(command, usual string) bool { return s.say(s.reply(command, usual)) }

func (s *session) command(line string) bool {
	verb, _, _ := strings.Cut(strings.ToUpper(line), " ")
	verb, _, _ = strings.Cut(verb, ":")
	switch verb {
	case "EHLO":
		return s.answer(line, s.hello())
	case "STARTTLS":
		return s.answer(line, "220 go on") && s.over(s.conn, true) == nil
	case "AUTH":
		return s.auth(line)
	case "MAIL":
		if s.User != "" && !s.trusted {
			return s.answer(line, "530 5.7.0 who are you?")
		}
		reply := s.reply(line, "250 2.1.0 ok")
		if s.message = (Message{}); reply[0] == '2' {
			s.message.Mail = line
		}
		return s.say(reply)
	case "RCPT":
		if s.message.Mail == "" {
			return s.answer(line, "503 5.5.1 MAIL first")
		}
		reply := s.reply(line, "250 2.1.5 ok")
		if reply[0] == '2' {
			s.message.Rcpt = line
		}
		return s.say(reply)
	case "DATA":
		return s.data(line)
	case "QUIT":
		s.answer(line, "221 2.0.0 bye")
		return false
	case "RSET":
		s.message = Message{}
	case "NOOP":
	default:
		return s.answer(line, "502 5.5.2 what?")
	}
	return s.answer(line, "250 2.0.0 ok")
}

func (s *session) hello() string {
	lines := append([]string{"relay.test"}, s.Offers...)
	if s.StartTLS && !s.encrypted {
		lines = append(lines, "STARTTLS")
	}
	if s.User != "" {
		methods := s.Methods
		if methods == "" {
			methods = "PLAIN LOGIN"
		}
		lines = append(lines, "AUTH "+methods)
	}
	for i := range lines {
		sep := "-"
		if i == len(lines)-1 {
			sep = " "
		}
		lines[i] = "250" + sep + lines[i]
	}
	return strings.Join(lines, "\n")
}

func (s *session) auth(line string) bool {
	f := strings.Fields(line)
	var user, password string
	if len(f) == 3 && f[1] == "PLAIN" {
		b, _ := base64.StdEncoding.DecodeString(f[2])
		if parts := strings.Split(string(b), "\x00"); len(parts) == 3 {
			user, password = parts[1], parts[2]
		}
	}
	if len(f) == 2 && f[1] == "LOGIN" {
		for _, ask := range []struct {
			prompt string
			into   *string
		}{{"334 VXNlcm5hbWU6", &user}, {"334 UGFzc3dvcmQ6", &password}} {
			if _, err := io.WriteString(s.conn, ask.prompt+"\r\n"); err != nil {
				return false
			}
			line, err := s.in.ReadString('\n')
			if err != nil {
				return false
			}
			b, _ := base64.StdEncoding.DecodeString(strings.TrimSpace(line))
			*ask.into = string(b)
		}
	}
	if s.trusted = user == s.User && password == s.Password; !s.trusted {
		return s.answer("AUTH", "535 5.7.8 no")
	}
	s.mu.Lock()
	s.auths++
	s.mu.Unlock()
	return s.answer("AUTH", "235 2.7.0 welcome")
}

func (s *session) data(line string) bool {
	if s.message.Rcpt == "" {
		return s.answer(line, "503 5.5.1 RCPT first")
	}
	if reply := s.reply(line, "354 go on"); reply[:3] != "354" {
		return s.say(reply)
	} else if !s.say(reply) {
		return false
	}
	var b bytes.Buffer
	for {
		line, err := s.in.ReadString('\n')
		if err != nil {
			return false
		}
		if line == ".\r\n" {
			break
		}
		b.WriteString(strings.TrimPrefix(line, "."))
	}
	reply := s.reply(".", "250 2.0.0 queued")
	if strings.HasPrefix(reply, "2") {
		s.message.Data = b.Bytes()
		s.mu.Lock()
		s.messages = append(s.messages, s.message)
		s.mu.Unlock()
	}
	s.message = Message{}
	return s.say(reply)
}
