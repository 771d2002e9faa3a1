package queue

import (
	"time"

	"vaguemestre/core"
)

// A lane is one asynq queue. Each noun has its own, so that neither deposits nor
// pieces wait behind the other; what a tenant rings beyond a steady pace goes to
// laneBulk, so that ten thousand arrivals of one town do not stand before the
// next arrival of another (REL-10).
const (
	laneDeposit = "deposit"
	lanePiece   = "piece"
	laneBulk    = "bulk"
)

var lanes = [...]string{laneDeposit, lanePiece, laneBulk}

// weights are the chances of a lane to be looked at first. An empty lane costs
// its neighbours nothing: alone, bulk has every worker.
func weights() map[string]int {
	return map[string]int{laneDeposit: 8, lanePiece: 8, laneBulk: 1}
}

// What one tenant may ring before its steps go to the bulk lane.
const (
	burst = 20
	pace  = time.Second // one more step each
)

// lanesOf lists where a task of this noun may stand.
func lanesOf(noun core.Noun) [2]string {
	switch noun {
	case core.NounDeposit:
		return [2]string{laneDeposit, laneBulk}
	case core.NounReport: // nobody waits for one
		return [2]string{laneBulk, laneBulk}
	}
	return [2]string{lanePiece, laneBulk}
}

// fairness remembers how much each tenant rang lately. It belongs to one goroutine.
type fairness struct {
	now     func() time.Time
	tenants map[core.TenantID]allowance
}

// allowance is a tenant's token bucket: full steps left at an instant.
type allowance struct {
	left int
	at   time.Time
}

func newFairness(now func() time.Time) *fairness {
	return &fairness{now, make(map[core.TenantID]allowance)}
}

// lane chooses where step rings, and counts it.
func (f *fairness) lane(step core.Step) string {
	now := f.now()
	a, known := f.tenants[step.Tenant]
	if !known {
		a = allowance{burst, now}
	}
	if earned := now.Sub(a.at) / pace; earned > 0 {
		a.left = int(min(time.Duration(a.left)+earned, burst))
		a.at = a.at.Add(earned * pace)
	}
	lane := laneBulk
	if a.left > 0 {
		a.left--
		lane = lanesOf(step.Noun)[0]
	}
	f.tenants[step.Tenant] = a
	return lane
}
