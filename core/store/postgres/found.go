package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Superuser is the account a private server is made with. It founds the database and
// is not used again.
const Superuser = "postgres"

const (
	owner = "vaguemestre_owner" // migrates
	login = "vaguemestre"       // the application: owns nothing, bypasses nothing
)

// Access is how a founded database is reached.
type Access struct {
	URL      string // as the application
	OwnerURL string // to migrate
	Login    string // the application's
}

// Found makes the two logins and a database owned by the first, where they are not
// there yet. url says how a server is reached as a user, and must let Superuser in.
func Found(ctx context.Context, url func(user, database string) string, database string) (Access, error) {
	c, err := pgx.Connect(ctx, url(Superuser, "postgres"))
	if err != nil {
		return Access{}, fmt.Errorf("found database: %w", err)
	}
	defer c.Close(ctx)
	for _, want := range []struct{ exists, name, create string }{
		{"SELECT 1 FROM pg_roles WHERE rolname = $1", owner, "CREATE ROLE " + owner + " LOGIN CREATEROLE"},
		{"SELECT 1 FROM pg_roles WHERE rolname = $1", login, "CREATE ROLE " + login + " LOGIN"},
		{"SELECT 1 FROM pg_database WHERE datname = $1", database, "CREATE DATABASE " + pgx.Identifier{database}.Sanitize() + " OWNER " + owner},
	} {
		var n int
		err := c.QueryRow(ctx, want.exists, want.name).Scan(&n)
		if errors.Is(err, pgx.ErrNoRows) {
			_, err = c.Exec(ctx, want.create)
		}
		if err != nil {
			return Access{}, fmt.Errorf("found database: %w", err)
		}
	}
	if err := giveSchema(ctx, url(Superuser, database)); err != nil {
		return Access{}, fmt.Errorf("found database: %w", err)
	}
	return Access{URL: url(login, database), OwnerURL: url(owner, database), Login: login}, nil
}

// giveSchema lets the owner create tables: since PostgreSQL 15 only the schema's owner may.
func giveSchema(ctx context.Context, url string) error {
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	_, err = c.Exec(ctx, "ALTER SCHEMA public OWNER TO "+owner)
	return err
}
