package mailauth

import (
	"encoding/base64"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// maxTags is the longest list of tags that is read, in bytes.
const maxTags = 8 << 10

// tags is a list of tags (RFC 6376 §3.2), read as the DKIM library reads it.
type tags map[string]string

// parseTags gives nil for what is no list of tags, or names one twice.
func parseTags(s string) tags {
	if len(s) > maxTags {
		return nil
	}
	t := tags{}
	for pair := range strings.SplitSeq(s, ";") {
		key, value, ok := strings.Cut(pair, "=")
		key = strings.TrimSpace(key)
		switch _, twice := t[key]; {
		case !ok && key == "":
		case !ok, twice:
			return nil
		default:
			t[key] = strings.TrimSpace(value)
		}
	}
	return t
}

// word is the value of a tag without blanks; "" when it is absent.
func (t tags) word(key string) string { return solid(t[key]) }

// list is the value of a tag that has parts.
func (t tags) list(key string) []string {
	return strings.Split(strings.ToLower(t.word(key)), ":")
}

// bytes is the value of a tag in base64; nil when it is none.
func (t tags) bytes(key string) []byte {
	b, err := base64.StdEncoding.DecodeString(t.word(key))
	if err != nil {
		return nil
	}
	return b
}

// time is the value of a tag in seconds; the zero time when it is absent.
func (t tags) time(key string) (time.Time, bool) {
	if _, ok := t[key]; !ok {
		return time.Time{}, true
	}
	sec, err := strconv.ParseInt(t.word(key), 10, 64)
	return time.Unix(sec, 0), err == nil
}

// solid drops the blanks from s.
func solid(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, s)
}
