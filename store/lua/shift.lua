-- Follows the ledger, unconditionally; idempotent by operation id for as long as it is remembered.
-- KEYS  1 epoch, 2 shifts, 3 SKUs, from 4 on the cells of one SKU each
-- ARGV  1 epoch, 2 now in microseconds, 3 msgpack [[id, [SKU, location, units to take, ...]], ...],
--       from 4 on the SKUs' names in the order of their keys
-- Gives nil when closed, else the number of operations that were new
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return false end

for number = 4, #ARGV do redis.call('SADD', KEYS[3], ARGV[number]) end

local shifted = 0
for _, operation in ipairs(cmsgpack.unpack(ARGV[3])) do
  if redis.call('ZADD', KEYS[2], 'NX', ARGV[2], operation[1]) == 1 then
    shifted = shifted + 1
    local lines = operation[2]
    for i = 1, #lines, 3 do
      local cells = KEYS[3 + lines[i]]
      redis.call('HINCRBY', cells, lines[i + 1], 0 - lines[i + 2])
      -- The field without a name is the SKU's version: who compares sees that a shift came between.
      redis.call('HINCRBY', cells, '', 1)
    end
  end
end
return shifted
