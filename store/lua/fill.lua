-- Writes cells into the epoch that is being built, and renews the lease.
-- KEYS  1 builder, 2 SKUs, from 3 on the cells of one SKU each
-- ARGV  1 epoch being built, 2 lease in milliseconds, 3 msgpack [[location, units, ...] per SKU],
--       from 4 on the SKUs' names in the order of their keys
-- Gives 1, or 0 when the lease is lost: then nothing was written
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
for number, cells in ipairs(cmsgpack.unpack(ARGV[3])) do
  for i = 1, #cells, 2 do redis.call('HSET', KEYS[2 + number], cells[i], cells[i + 1]) end
  redis.call('SADD', KEYS[2], ARGV[3 + number])
end
return 1
