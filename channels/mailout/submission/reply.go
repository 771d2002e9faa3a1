package submission

import (
	"bufio"
	"errors"
	"regexp"
	"strconv"
)

// reply is what a relay answered. Its text is kept for EHLO alone.
type reply struct {
	code   int
	status string // enhanced (RFC 3463): "4.7.1"
	lines  []string
}

// What is read of one reply at most. RFC 5321 has lines of 512.
const (
	maxReplyLine  = 4 << 10
	maxReplyLines = 100
)

var errReply = errors.New("no reply of SMTP")

var statusForm = regexp.MustCompile(`^([245])\.[0-9]{1,3}\.[0-9]{1,3}(?: |$)`)

// readReply reads one reply, all its lines. errReply for what is none, other errors are
// r's. r's buffer holds maxReplyLine.
func readReply(r *bufio.Reader) (reply, error) {
	var out reply
	for range maxReplyLines {
		raw, err := r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return reply{}, errReply
		}
		if err != nil {
			return reply{}, err
		}
		line := string(raw[:len(raw)-1])
		if n := len(line); n > 0 && line[n-1] == '\r' {
			line = line[:n-1]
		}
		code, more, text, ok := parseLine(line)
		if !ok || out.code != 0 && code != out.code {
			return reply{}, errReply
		}
		out.code = code
		out.lines = append(out.lines, text)
		if m := statusForm.FindStringSubmatch(text); m != nil && m[1] == strconv.Itoa(code/100) {
			out.status = text[:len(m[0])]
			if n := len(out.status); out.status[n-1] == ' ' {
				out.status = out.status[:n-1]
			}
		}
		if !more {
			return out, nil
		}
	}
	return reply{}, errReply
}

func parseLine(line string) (code int, more bool, text string, ok bool) {
	if len(line) < 3 {
		return 0, false, "", false
	}
	code, err := strconv.Atoi(line[:3])
	if err != nil || code < 200 || code > 599 {
		return 0, false, "", false
	}
	if len(line) == 3 {
		return code, false, "", true
	}
	if line[3] != ' ' && line[3] != '-' {
		return 0, false, "", false
	}
	return code, line[3] == '-', line[4:], true
}

func (r reply) class() int { return r.code / 100 }
