-- Ends the builder's lease, if it is still ours.
-- KEYS  1 builder
-- ARGV  1 epoch being built
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
