package private

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// Where Debian and Ubuntu keep PostgreSQL's server programs, one folder per major
// version, none of them in PATH.
const debianPrograms = "/usr/lib/postgresql/*/bin"

// postgresPrograms are the server programs of one installed PostgreSQL.
type postgresPrograms struct {
	major  int
	server string
	initdb string
}

// findPostgres chooses among the PostgreSQL in PATH and those that match pattern:
// the one whose major version wrote the data if there are data (major > 0), else
// the one in PATH, else the newest.
func findPostgres(pattern string, major int) (postgresPrograms, error) {
	var found []postgresPrograms
	folders, _ := filepath.Glob(pattern) // our own pattern is well-formed
	for _, folder := range folders {
		if p, ok := programsIn(folder); ok {
			found = append(found, p)
		}
	}
	slices.SortFunc(found, func(a, b postgresPrograms) int { return cmp.Compare(b.major, a.major) })
	if path, err := exec.LookPath("postgres"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			if p, ok := programsIn(filepath.Dir(path)); ok {
				found = slices.Insert(found, 0, p)
			}
		}
	}
	if major > 0 {
		found = slices.DeleteFunc(found, func(p postgresPrograms) bool { return p.major != major })
	}
	switch {
	case len(found) > 0:
		return found[0], nil
	case major > 0:
		return postgresPrograms{}, fmt.Errorf("the data were written by PostgreSQL %d, which is not installed: install the package postgresql-%d", major, major)
	}
	return postgresPrograms{}, errors.New("PostgreSQL's server is neither in PATH nor in " + pattern + ": install the package postgresql")
}

var postgresVersion = regexp.MustCompile(`^postgres \(PostgreSQL\) (\d+)`)

// programsIn asks the server in folder which major version it is.
func programsIn(folder string) (postgresPrograms, bool) {
	p := postgresPrograms{server: filepath.Join(folder, "postgres"), initdb: filepath.Join(folder, "initdb")}
	if _, err := os.Stat(p.initdb); err != nil {
		return p, false
	}
	out, err := exec.Command(p.server, "--version").Output()
	match := postgresVersion.FindSubmatch(out)
	if err != nil || match == nil {
		return p, false
	}
	p.major, err = strconv.Atoi(string(match[1]))
	return p, err == nil
}

// findRedis gives the path to start the server by and the name its process will
// bear: Debian's redis-server is a link to a program that looks at the name it
// was called by.
func findRedis() (path, process string, err error) {
	if path, err = exec.LookPath("redis-server"); err != nil {
		return "", "", errors.New("redis-server is not in PATH: install the package redis-server")
	}
	target, err := filepath.EvalSymlinks(path)
	return path, filepath.Base(target), err
}
