package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
)

// Client talks to the process that serves a home.
type Client struct{ http http.Client }

// Dial prepares a client for the socket; nothing is connected yet.
func Dial(socket string) *Client {
	return &Client{http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			short, done, err := reach(socket)
			if err != nil {
				return nil, err
			}
			defer done()
			var d net.Dialer
			return d.DialContext(ctx, "unix", short)
		},
	}}}
}

// Call runs a command and hands over its lines, each a JSON object.
func (c *Client) Call(ctx context.Context, name string, args Args, each func(json.RawMessage) error) error {
	body, err := c.post(ctx, name, args)
	if err != nil {
		return err
	}
	defer body.Close()
	lines := bufio.NewReader(body)
	for {
		line, err := lines.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			if err := each(json.RawMessage(line)); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the answer broke off: %w", err)
		}
	}
}

// Get writes the original that a command answers with to w. An error means that what was written is not the whole.
func (c *Client) Get(ctx context.Context, name string, args Args, w io.Writer) error {
	body, err := c.post(ctx, name, args)
	if err != nil {
		return err
	}
	defer body.Close()
	if _, err := io.Copy(w, body); err != nil {
		return fmt.Errorf("the document broke off: %w", err)
	}
	return nil
}

func (c *Client) post(ctx context.Context, name string, args Args) (io.ReadCloser, error) {
	raw, err := json.Marshal(args)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://vaguemestre/"+name, bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, &Fault{"not_running", "no vaguemestre is running on this home: start it with `vaguemestre run`, or name another with --home"}
	}
	if errors.Is(err, os.ErrPermission) {
		return nil, &Fault{"forbidden", "this home belongs to another account"}
	}
	if err != nil {
		return nil, fmt.Errorf("talk to the running process: %w", err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	fault := &Fault{}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(fault); err != nil || fault.Code == "" {
		return nil, fmt.Errorf("the running process answered %s", resp.Status)
	}
	return nil, fault
}
