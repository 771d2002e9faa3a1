// Package private owns the PostgreSQL and the Redis that a process keeps for
// itself: started from the programs installed on the machine, reachable through
// Unix sockets in directories nobody else may enter, watched and started again
// when they fall, and gone when the process is gone, however it ended.
//
// Below the Dir of either configuration lie data (the server's own files), run
// (its socket), server.log (its messages, at most 8 MiB with server.log.1) and
// lock, which the living process holds: a second start on the same Dir is
// refused. The lock is also what makes it safe to end a server found there: its
// owner can only be dead.
//
// Servers never run as root. Started by root they take the account that owns the
// data, else the first of postgres, redis and nobody that exists. Where that
// account cannot enter Dir (a home below /root), everything lies below
// /var/lib/vaguemestre instead, and Dir/elsewhere is a link to it. Temporary
// directories are closed too: a test that may be run by root opens its own with
// mode 0711 first, or data stay behind.
//
// Linux only: it relies on parent-death signals and on /proc.
package private
