package queue

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hibiken/asynq"

	"vaguemestre/core"
)

// version of the payload. A worker leaves versions it does not know to the
// workers that do: during an upgrade such a ring is lost and rung again.
const version = "1"

// taskTimeout keeps asynq from giving a step up after its default of 30 minutes:
// the lease in PostgreSQL bounds a step, not the queue.
const taskTimeout = 24 * time.Hour

var (
	errKind    = errors.New("unknown task kind")
	errPayload = errors.New("malformed task payload")
)

// kindOf says what a task of this noun is called; "" when it is none of ours.
func kindOf(noun core.Noun) string {
	switch noun {
	case core.NounDeposit:
		return "deposit:open"
	case core.NounPiece:
		return "piece:lead"
	case core.NounReport:
		return "report:read"
	}
	return ""
}

func nounOf(kind string) (core.Noun, error) {
	for _, noun := range []core.Noun{core.NounDeposit, core.NounPiece, core.NounReport} {
		if kindOf(noun) == kind {
			return noun, nil
		}
	}
	return "", errKind
}

// taskID is the same for the same attempt at the same row, so that ringing twice
// makes one task; the next attempt has another.
func taskID(step core.Step) string {
	return fmt.Sprintf("%s:%s:%d", step.Noun, step.ID, step.Attempt)
}

// encode turns a step into its task. It refuses whatever is not an opaque
// identifier: that is what keeps everything else out of Redis.
func encode(step core.Step) (*asynq.Task, error) {
	kind := kindOf(step.Noun)
	if kind == "" {
		return nil, errKind
	}
	if !opaque(string(step.Tenant)) || !opaque(step.ID) || step.Attempt < 0 {
		return nil, errPayload
	}
	return asynq.NewTask(kind, payload(step),
		asynq.TaskID(taskID(step)), asynq.MaxRetry(0), asynq.Timeout(taskTimeout)), nil
}

func payload(step core.Step) []byte {
	return fmt.Appendf(nil, "%s %s %s %d", version, step.Tenant, step.ID, step.Attempt)
}

// decode reads a task back. It accepts exactly what encode writes.
func decode(kind string, b []byte) (core.Step, error) {
	noun, err := nounOf(kind)
	if err != nil {
		return core.Step{}, err
	}
	fields := strings.Split(string(b), " ")
	if len(fields) != 4 || !opaque(fields[1]) || !opaque(fields[2]) {
		return core.Step{}, errPayload
	}
	attempt, err := strconv.Atoi(fields[3])
	if err != nil || attempt < 0 {
		return core.Step{}, errPayload
	}
	step := core.Step{Tenant: core.TenantID(fields[1]), Noun: noun, ID: fields[2], Attempt: attempt}
	if string(payload(step)) != string(b) { // another version, "+1", "007"
		return core.Step{}, errPayload
	}
	return step, nil
}

// opaque reports whether id is a UUID in canonical text form, as core.NewID makes.
func opaque(id string) bool {
	if len(id) != 36 {
		return false
	}
	for i := range len(id) {
		c := id[i]
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
				return false
			}
		}
	}
	return true
}
