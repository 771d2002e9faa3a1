package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"time"

	"vaguemestre/channels/mail"
	"vaguemestre/channels/mail/dsn"
	"vaguemestre/channels/mail/mailauth"
	"vaguemestre/channels/smtpin"
	"vaguemestre/cmd/vaguemestre/control"
	"vaguemestre/cmd/vaguemestre/home"
	"vaguemestre/core"
	"vaguemestre/core/attribution"
	"vaguemestre/core/bounce"
	"vaguemestre/core/citizen"
	"vaguemestre/core/dispatch"
	"vaguemestre/core/examine"
	"vaguemestre/core/filing"
	"vaguemestre/core/ledger"
	"vaguemestre/core/link"
	"vaguemestre/core/mailbox"
	"vaguemestre/core/notice"
	"vaguemestre/core/opening"
	"vaguemestre/core/pipeline"
	"vaguemestre/core/recognise"
	"vaguemestre/core/revision"
	"vaguemestre/core/store/blob"
	"vaguemestre/core/store/keyfile"
	"vaguemestre/core/store/postgres"
	"vaguemestre/core/tenant"
	"vaguemestre/core/vault"
	"vaguemestre/queue"
)

// process is everything one process runs, built in reading order.
type process struct {
	cfg     Config
	log     *slog.Logger
	now     func() time.Time
	home    *home.Home
	metrics *metrics

	databaseURL string
	redisURL    string
	blobs       blobStore
	index       vault.Index
	redis       *queue.Redis
	bell        *queue.Bell

	keeper   *vault.Keeper // nil without the keeper's role
	smtp     *smtpin.Channel
	examiner *examine.Examiner
	control  *control.Server
	jobs     control.Jobs
	stores   []*postgres.Store
	tryRelay func(context.Context, core.TenantID) (code, status string, err error) // nil without the mailer's role

	runs   []part   // what runs until the process ends
	closes []func() // in order of building; closed from the last
}

// part is one thing that runs.
type part struct {
	name string
	run  func(context.Context) error
}

// blobStore is what a placement of sealed bytes offers all jobs together.
type blobStore interface {
	vault.Blobs
	ledger.Store
}

// build makes everything the roles call for; on error what was started is closed.
func build(ctx context.Context, cfg Config, log *slog.Logger) (_ *process, err error) {
	p := &process{cfg: cfg, log: log, now: time.Now, metrics: newMetrics()}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	for _, step := range []func(context.Context) error{
		p.takeHome, p.openDatabase, p.openRedis, p.openBlobs, p.openKeys,
		p.buildKeeper, p.buildSMTP, p.buildIMAP, p.buildWorker, p.buildScheduler, p.buildMailer, p.buildControl,
	} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *process) close() {
	for i := len(p.closes) - 1; i >= 0; i-- {
		p.closes[i]()
	}
}

func (p *process) onClose(f func()) { p.closes = append(p.closes, f) }

// takeHome opens the folder; processes that share servers each have one of their own.
func (p *process) takeHome(context.Context) (err error) {
	if p.home, err = home.Open(p.cfg.Home, p.log); err != nil {
		return err
	}
	p.onClose(func() {
		if err := p.home.Close(); err != nil {
			p.log.Error("close home", "err", err)
		}
	})
	return nil
}

func (p *process) openDatabase(ctx context.Context) (err error) {
	db := postgres.Access{URL: p.cfg.DatabaseURL, OwnerURL: p.cfg.DatabaseOwnerURL}
	if db.URL == "" {
		db, err = p.home.Database(ctx)
	} else {
		db.Login, err = postgres.Login(db.URL)
	}
	if err != nil {
		return err
	}
	p.databaseURL = db.URL
	if db.OwnerURL == "" { // the schema is somebody else's to migrate
		return nil
	}
	return postgres.Migrate(ctx, db.OwnerURL, db.Login)
}

func (p *process) openRedis(ctx context.Context) (err error) {
	if p.redisURL = p.cfg.RedisURL; p.redisURL == "" {
		if p.redisURL, err = p.home.Redis(ctx); err != nil {
			return err
		}
	}
	p.redis, err = queue.Open(queue.Config{URL: p.redisURL, Concurrency: p.cfg.Workers, SweepEvery: p.cfg.Sweep}, p.log)
	if err != nil {
		return err
	}
	p.onClose(func() { p.redis.Close() })
	p.bell = queue.NewBell(p.redis, p.now, p.log)
	p.run("bell", p.bell.Run)
	p.metrics.watchQueue(p.redis, p.bell)
	return nil
}

func (p *process) openBlobs(ctx context.Context) error {
	where := p.cfg.BlobURL
	if where == "" {
		where = p.home.Blobs()
	}
	if !strings.Contains(where, "://") {
		folder, err := blob.OpenFolder(where)
		p.blobs = folder
		return err
	}
	bucket, err := blob.OpenBucket(ctx, where)
	if err != nil {
		return err
	}
	p.blobs = bucket
	p.onClose(func() { bucket.Close() })
	return nil
}

func (p *process) openKeys(context.Context) error {
	path := p.cfg.IndexKeyFile
	if path == "" {
		path = p.home.IndexKey()
	}
	secret, err := keyfile.Secret(path, 32)
	if err != nil {
		return err
	}
	p.index = vault.NewIndex(secret)
	return nil
}

// secrets opens the towns' secrets as far as the store's role may.
func (p *process) secrets(s *postgres.Store) (*tenant.Secrets, error) {
	path := p.cfg.SecretsKeyFile
	if path == "" {
		path = p.home.Secrets()
	}
	key, err := keyfile.Secret(path, 32)
	if err != nil {
		return nil, err
	}
	return tenant.NewSecrets(s, key, p.now)
}

// store opens the database under one role.
func (p *process) store(ctx context.Context, role postgres.Role, conns int) (*postgres.Store, error) {
	s, err := postgres.Open(ctx, p.databaseURL, role, int32(conns), p.now)
	if err != nil {
		return nil, fmt.Errorf("role %s: %w", role, err)
	}
	p.onClose(s.Close)
	p.stores = append(p.stores, s)
	return s, nil
}

// buildKeeper: the only place that reads the key file.
func (p *process) buildKeeper(ctx context.Context) error {
	if !p.cfg.has("keeper") {
		return nil
	}
	path := p.cfg.KEKFile
	if path == "" {
		path = p.home.KEK()
	}
	service, err := keyfile.Open(path)
	if err != nil {
		return err
	}
	s, err := p.store(ctx, postgres.RoleKeeper, 4)
	if err != nil {
		return err
	}
	p.keeper = vault.NewKeeper(service, s, s, p.now)
	return nil
}

func (p *process) buildWorker(ctx context.Context) error {
	if !p.cfg.has("worker") {
		return nil
	}
	s, err := p.store(ctx, postgres.RoleWorker, 2*p.cfg.Workers+2)
	if err != nil {
		return err
	}
	p.examiner = examine.New(examine.Config{CacheDir: filepath.Join(p.home.Cache(), "pdf"), Concurrency: p.cfg.Workers}, p.log)
	p.onClose(func() { p.examiner.Close() })
	blobs := vault.WithRows{Blobs: p.blobs, Rows: s}
	senders := mailauth.New(mailauth.Config{Resolver: resolver(p.cfg.Resolver), Sealers: p.cfg.ARCSealers, Now: p.now})
	whose := attribution.New(s, p.index)
	notices := notice.New(s, p.index, p.now)
	opener := opening.New(s, p.keeper, blobs, mail.Splitter{MaxParts: p.cfg.MailMaxParts, MaxDepth: p.cfg.MailMaxDepth}, senders, whose, notices, p.log, p.metrics.attribution)
	filer := filing.New(s, p.keeper, p.now)
	reader := pipeline.NewReader(s, p.keeper, blobs, p.examiner, recognise.New(0), filer)
	runner := pipeline.New(s, opener, reader, bounce.New(s, p.keeper, dsn.Parse), notices, p.bell, p.cfg.Lease, p.log, p.metrics.attempt)
	p.run("worker", queue.NewWorker(p.redis, runner.Run, p.log).Run)
	return nil
}

// resolver asks the DNS server at addr, or whichever the system asks.
func resolver(addr string) *net.Resolver {
	if addr == "" {
		return net.DefaultResolver
	}
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, addr)
	}}
}

func (p *process) buildScheduler(ctx context.Context) error {
	if !p.cfg.has("scheduler") {
		return nil
	}
	s, err := p.store(ctx, postgres.RoleScheduler, 2)
	if err != nil {
		return err
	}
	p.run("sweeper", queue.NewSweeper(p.redis, s, p.now, p.log).Run)
	p.run("collector", func(ctx context.Context) error { return p.collect(ctx, s) })
	return nil
}

// letterCountDays is for how long it is kept how many letters somebody got on a day: the
// day after counts too, and the days of towns and database are not the same.
const letterCountDays = 3

// collect removes orphaned blobs, what nobody claimed, and counts of days gone by, at
// start and then every hour.
func (p *process) collect(ctx context.Context, s *postgres.Store) error {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		deleted, err := ledger.Collect(ctx, s, p.blobs, p.now())
		if err != nil && ctx.Err() == nil {
			p.log.Error("collect orphaned blobs", "cause", core.Cause(err))
		}
		if deleted > 0 {
			p.log.Info("orphaned blobs collected", "n", deleted)
		}
		expired, err := attribution.Expire(ctx, s, p.blobs, p.now())
		if err != nil && ctx.Err() == nil {
			p.log.Error("destroy unclaimed deposits", "cause", core.Cause(err))
		}
		if expired > 0 {
			p.log.Info("unclaimed deposits destroyed", "n", expired)
		}
		if err := s.ForgetLetterCounts(ctx, p.now().AddDate(0, 0, -letterCountDays)); err != nil && ctx.Err() == nil {
			p.log.Error("forget letter counts", "cause", core.Cause(err))
		}
		if _, err := bounce.Expire(ctx, s, p.now()); err != nil && ctx.Err() == nil {
			p.log.Error("delete old reports on letters", "cause", core.Cause(err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (p *process) buildControl(ctx context.Context) error {
	if !p.cfg.has("http") {
		return nil
	}
	s, err := p.store(ctx, postgres.RoleHTTP, 4)
	if err != nil {
		return err
	}
	blobs := vault.WithRows{Blobs: p.blobs, Rows: s}
	filer := filing.New(s, p.keeper, p.now)
	links := link.New(s, p.index, p.now)
	notices := notice.New(s, p.index, p.now)
	senders := citizen.NewSenders(s, p.keeper, notices, links, p.index, p.now)
	secrets, err := p.secrets(s)
	if err != nil {
		return err
	}
	reader := vault.NewReader(s, p.keeper, blobs)
	p.jobs = control.Jobs{
		Store:     s,
		Tenants:   tenant.New(s, p.keeper, p.index, p.now),
		Secrets:   secrets,
		Mailboxes: mailbox.New(s, p.cfg.development(), p.now),
		Citizens:  citizen.New(s, p.keeper, notices, p.index, p.now),
		Senders:   senders,
		Desk:      attribution.NewDesk(s, p.keeper, blobs, notices, p.index, p.bell, p.now, p.log),
		Confirmer: attribution.NewConfirmer(links, filer, senders),
		Directory: dispatch.NewDirectory(s, p.now),
		Dispatch:  dispatch.NewDesk(s, p.keeper, reader, links, p.now),
		Vault:     reader,
		Filer:     filer,
		Reviser:   revision.New(s, p.keeper, links, p.now),
		Blobs:     blobs,
		// A home whose database is its own is a development home: there the operator may
		// act as the citizen.
		Development:   p.cfg.development(),
		Demonstration: p.demonstration,
		TryRelay:      p.tryRelay,
	}
	if p.control, err = control.Listen(p.home.Socket(), p.jobs, p.log); err != nil {
		return err
	}
	p.run("control", p.control.Run)
	return nil
}

func (p *process) run(name string, f func(context.Context) error) {
	p.runs = append(p.runs, part{name, f})
}
