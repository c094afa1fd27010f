-- Opens the gate on the epoch that was built, and ends the lease.
-- KEYS  1 epoch, 2 builder, 3 SKUs
-- ARGV  1 epoch built, 2 number of SKUs written
-- Gives 1, or 0 when the lease is lost or what was written is not all there
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
if redis.call('SCARD', KEYS[3]) ~= tonumber(ARGV[2]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[2])
return 1
