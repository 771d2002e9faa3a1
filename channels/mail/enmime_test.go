//go:build corpus

package mail_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/jhillyerd/enmime/v2"
)

// splitByEnmime lists what enmime finds in a message, counted by the same rule as ours:
// its leaves, forwarded messages opened. It is not given what it would never come back
// from: its time doubles with each multipart inside another.
func splitByEnmime(t *testing.T, raw []byte) []sent {
	t.Helper()
	found := make(chan []sent, 1)
	go func() { found <- enmimeParts(raw, 0) }()
	select {
	case got := <-found:
		return got
	case <-time.After(10 * time.Second):
		t.Log("enmime: no answer after 10 s")
		return nil
	}
}

func enmimeParts(raw []byte, depth int) (got []sent) {
	const most = 12 // multiparts one in another, messages in messages
	if depth > most || bytes.Count(bytes.ToLower(raw), []byte("multipart/")) > 3*most {
		return nil
	}
	root, err := enmime.ReadParts(bytes.NewReader(raw))
	if err != nil || root == nil {
		return nil
	}
	root.DepthMatchAll(func(p *enmime.Part) bool {
		kind, _, _ := strings.Cut(p.ContentType, "/")
		switch {
		case p.FirstChild != nil || kind == "multipart" || len(p.Content) == 0:
		case p.ContentType == "message/rfc822":
			got = append(got, enmimeParts(p.Content, depth+1)...)
		case p.FileName != "" || p.Disposition == "attachment" || kind != "text" && kind != "message":
			got = append(got, newSent(p.FileName, p.ContentType, p.Content))
		}
		return false
	})
	return got
}
