-- Takes the builder's lease and closes the gate, if it still is as the builder saw it.
-- KEYS  1 epoch, 2 builder, 3 epochs
-- ARGV  1 epoch to build, 2 lease in milliseconds, 3 epoch seen ('' for none)
-- Gives 1, or 0 when somebody else builds or has built
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[3] then return 0 end
if not redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then return 0 end
redis.call('DEL', KEYS[1])
redis.call('SADD', KEYS[3], ARGV[1])
return 1
