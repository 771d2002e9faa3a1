package private

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

const (
	protocol3    = 3 << 16 // PostgreSQL, "Message Formats", StartupMessage
	maxMessage   = 1 << 16
	answerWithin = 2 * time.Second
)

// dial opens the socket with a time limit on the whole exchange.
func dial(ctx context.Context, socket string) (net.Conn, error) {
	d := net.Dialer{Timeout: answerWithin}
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(answerWithin)); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// pingPostgres runs SELECT 1: a server that accepts connections may still be
// recovering. It speaks just enough of the wire protocol (PostgreSQL
// documentation, "Frontend/Backend Protocol") to need no driver.
func pingPostgres(ctx context.Context, socket, superuser string) error {
	conn, err := dial(ctx, socket)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	hello := binary.BigEndian.AppendUint32(nil, protocol3)
	hello = append(hello, "user\x00"+superuser+"\x00database\x00postgres\x00\x00"...)
	if err := exchange(conn, 0, hello); err != nil {
		return err
	}
	if err := exchange(conn, 'Q', []byte("SELECT 1\x00")); err != nil {
		return err
	}
	return send(conn, 'X', nil)
}

// exchange sends one message and reads answers until the server is ready for the
// next; an ErrorResponse among them is the error.
func exchange(conn net.Conn, kind byte, body []byte) error {
	if err := send(conn, kind, body); err != nil {
		return err
	}
	for {
		var head [5]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return err
		}
		size := binary.BigEndian.Uint32(head[1:])
		if size < 4 || size > maxMessage {
			return fmt.Errorf("a message of %d bytes", size)
		}
		answer := make([]byte, size-4)
		if _, err := io.ReadFull(conn, answer); err != nil {
			return err
		}
		switch head[0] {
		case 'E':
			return errors.New("refused with code " + sqlState(answer))
		case 'R':
			if len(answer) < 4 || binary.BigEndian.Uint32(answer) != 0 {
				return errors.New("a password is asked for")
			}
		case 'Z':
			return nil
		}
	}
}

// send writes one message; the first of a connection has no kind.
func send(conn net.Conn, kind byte, body []byte) error {
	var b []byte
	if kind != 0 {
		b = append(b, kind)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)+4))
	_, err := conn.Write(append(b, body...))
	return err
}

// sqlState is the code field of an ErrorResponse.
func sqlState(answer []byte) string {
	for field := range bytes.SplitSeq(answer, []byte{0}) {
		if len(field) > 1 && field[0] == 'C' {
			return string(field[1:])
		}
	}
	return "unknown"
}

// pingRedis sends PING: a server still loading its file answers with an error.
func pingRedis(ctx context.Context, socket string) error {
	conn, err := dial(ctx, socket)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	answer := make([]byte, 64)
	n, err := conn.Read(answer)
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(answer[:n], []byte("+PONG")) {
		return fmt.Errorf("answered %q", answer[:n])
	}
	return nil
}
