package mailauth

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
)

// Resolver is what is asked of DNS; *net.Resolver is one. A *net.DNSError that says
// IsNotFound is an answer, any other error is trouble.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error)
	LookupAddr(ctx context.Context, addr string) ([]string, error)
}

// errEnough is what a message gets that makes us ask too much. It is neither an answer
// nor trouble: to ask again would change nothing.
var errEnough = errors.New("too many questions to DNS for one message")

// questions asks DNS on behalf of one message, and no more often than it may. Names are
// asked as absolute ones: no search list of ours is put behind what a stranger wrote.
type questions struct {
	resolver Resolver

	mu   sync.Mutex
	left int
}

// take counts a question.
func (q *questions) take() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.left--; q.left < 0 {
		return errEnough
	}
	return nil
}

func (q *questions) LookupTXT(ctx context.Context, name string) ([]string, error) {
	if err := q.take(); err != nil {
		return nil, err
	}
	txts, err := q.resolver.LookupTXT(ctx, absolute(name))
	return txts, trouble(err)
}

func (q *questions) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	if err := q.take(); err != nil {
		return nil, err
	}
	mxs, err := q.resolver.LookupMX(ctx, absolute(name))
	return mxs, trouble(err)
}

func (q *questions) LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error) {
	if err := q.take(); err != nil {
		return nil, err
	}
	addrs, err := q.resolver.LookupIPAddr(ctx, absolute(host))
	return addrs, trouble(err)
}

func (q *questions) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	if err := q.take(); err != nil {
		return nil, err
	}
	names, err := q.resolver.LookupAddr(ctx, addr)
	return names, trouble(err)
}

func absolute(name string) string { return strings.TrimSuffix(name, ".") + "." }

// trouble makes every error that is no answer one that the libraries take for passing.
func trouble(err error) error {
	if err == nil || notFound(err) {
		return err
	}
	return &net.DNSError{Err: "no answer", IsTemporary: true}
}

func notFound(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound
}

// passing reports whether err may be gone another time.
func passing(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsTemporary
}
