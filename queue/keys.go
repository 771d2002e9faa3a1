package queue

import "github.com/redis/go-redis/v9"

// This file holds all we know of how asynq v0.26 lays a queue out in Redis; its
// own inspector neither forgets a task whose worker was killed nor finds a queue
// whose name was flushed. The tests hold it against asynq itself, so an upgrade
// that moves a key is seen.

// keyQueues is the set of queue names, which asynq's inspectors read. A client
// adds a name once in its life, so a flush would hide the queue from them.
const keyQueues = "asynq:queues"

// key names one of a lane's structures.
func key(lane, part string) string { return "asynq:{" + lane + "}:" + part }

// silence is how long an active task may go without its worker renewing asynq's
// lease before it counts as abandoned. A living worker renews every 5 seconds, to
// 30 seconds ahead; three renewals missed leave 15. Mistaking a slow worker for a
// dead one costs one ring too many.
const (
	leaseSeconds   = 30
	silenceSeconds = 15
)

// weed looks at task ids in one lane. A task stands if it waits in the pending
// list, or is active under a lease some worker keeps renewing. Whatever else there
// is under that id (archived, completed, abandoned, torn) is deleted. The answer
// has 1 for each id that stands and 0 for each that may be enqueued anew.
//
// KEYS: pending, active, lease, then the other sets a task may be in.
// ARGV: the prefix of task keys, the least seconds a renewed lease has left, ids.
var weed = redis.NewScript(`
local now = tonumber(redis.call('TIME')[1])
local answer = {}
local waiting
local function waits(id)
	if not waiting then
		waiting = {}
		for _, other in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
			waiting[other] = true
		end
	end
	return waiting[id]
end
for i = 3, #ARGV do
	local id, task = ARGV[i], ARGV[1] .. ARGV[i]
	local state = redis.call('HGET', task, 'state')
	local stands = false
	if state == 'pending' then
		stands = waits(id)
	elseif state == 'active' then
		local lease = redis.call('ZSCORE', KEYS[3], id)
		stands = lease and tonumber(lease) >= now + tonumber(ARGV[2])
	end
	if redis.call('EXISTS', task) == 1 and not stands then
		redis.call('LREM', KEYS[1], 0, id)
		redis.call('LREM', KEYS[2], 0, id)
		for k = 3, #KEYS do
			redis.call('ZREM', KEYS[k], id)
		end
		redis.call('DEL', task)
	end
	answer[#answer + 1] = stands and 1 or 0
end
return answer
`)

// weedKeys are the KEYS of weed.
func weedKeys(lane string) []string {
	parts := []string{"pending", "active", "lease", "scheduled", "retry", "archived", "completed"}
	for i, part := range parts {
		parts[i] = key(lane, part)
	}
	return parts
}
