// Package migrations holds the schema, forward only, as goose runs it.
package migrations

import "embed"

// FS holds the numbered SQL files.
//
//go:embed *.sql
var FS embed.FS
