package smtpin

import "time"

// maxKnown is how many a generation of a memory holds.
const maxKnown = 20_000

// memory keeps what was counted lately, and is bounded: two generations. A present one
// that is full, or older than any bucket needs to be full again, becomes the former one,
// and the former one is forgotten; who is heard of again moves to the present. Who wants
// to be forgotten has to be crowded out by thousands of others.
type memory[K comparable, V any] struct {
	present, former map[K]V
	since           time.Time
}

// get finds what is remembered of k, or begins with fresh.
func (m *memory[K, V]) get(k K, now time.Time, fresh func() V) V {
	if v, ok := m.present[k]; ok {
		return v
	}
	if m.present == nil || len(m.present) >= maxKnown || now.Sub(m.since) > refill {
		m.former, m.present, m.since = m.present, map[K]V{}, now
	}
	v, ok := m.former[k]
	if !ok {
		v = fresh()
	}
	m.present[k] = v
	return v
}
