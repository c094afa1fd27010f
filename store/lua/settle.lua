-- Forgets operations that the ledger has; what they took stays taken.
-- KEYS  1 operations, 2 times
-- ARGV  the operations' ids
-- Gives the number of operations forgotten
local forgotten = redis.call('HDEL', KEYS[1], unpack(ARGV))
redis.call('ZREM', KEYS[2], unpack(ARGV))
return forgotten
