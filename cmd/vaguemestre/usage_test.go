package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// tick is the unit of processor time in /proc: Linux's USER_HZ, on every machine we run on.
const tick = 10 * time.Millisecond

// processor is the processor time of a process, all its threads together, and that of
// its children that have ended; nothing for one that is gone (proc_pid_stat(5)).
func processor(pid int) (own, reaped time.Duration) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:])) // from the third field on
	number := func(i int) time.Duration { n, _ := strconv.Atoi(f[i-3]); return time.Duration(n) }
	return (number(14) + number(15)) * tick, (number(16) + number(17)) * tick
}

// family is the processor time of a process and all its descendants, those that ended too.
func family(pid int) (sum time.Duration) {
	parent := map[int]int{}
	for _, p := range everyone() {
		parent[p.pid] = p.parent
	}
	for id := range parent {
		for up := id; up != 0; up = parent[up] {
			if up == pid {
				own, reaped := processor(id)
				sum += own + reaped
				break
			}
		}
	}
	return sum
}

// served is the process of that name which another started.
func served(t testing.TB, by int, name string) int {
	t.Helper()
	for _, p := range everyone() {
		if p.parent == by && p.name == name {
			return p.pid
		}
	}
	t.Fatalf("process %d has no child %s", by, name)
	return 0
}
