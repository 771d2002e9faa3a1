package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/adaptor"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// health answers /healthz (the process lives), /readyz (it can do its work) and
// /metrics. It speaks plain HTTP, so it listens on loopback alone.
type health struct {
	app      *fiber.App
	listener net.Listener
}

// check is one thing readiness depends on.
type check struct {
	name string
	ask  func(context.Context) error
}

func listenHealth(addr string, m *metrics, checks []check) (*health, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	if tcp, ok := l.Addr().(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		l.Close()
		return nil, fmt.Errorf("listen on %s: not a loopback address, and no TLS", addr)
	}
	app := fiber.New(fiber.Config{
		DisableStartupMessage: true, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, BodyLimit: 1 << 10,
	})
	app.Get("/healthz", func(c *fiber.Ctx) error { return c.JSON(fiber.Map{"status": "ok"}) })
	app.Get("/readyz", func(c *fiber.Ctx) error { return ready(c, checks) })
	app.Get("/metrics", adaptor.HTTPHandler(promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})))
	return &health{app, l}, nil
}

// ready asks everything within two seconds: 200 when all is well, 503 and the names of
// what is not otherwise.
func ready(c *fiber.Ctx, checks []check) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	states := fiber.Map{}
	status := fiber.StatusOK
	for _, check := range checks {
		states[check.name] = "ok"
		if err := check.ask(ctx); err != nil {
			states[check.name] = "down"
			status = fiber.StatusServiceUnavailable
		}
	}
	return c.Status(status).JSON(states)
}

func (h *health) run(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- h.app.Listener(h.listener) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return h.app.ShutdownWithTimeout(5 * time.Second)
	}
}
