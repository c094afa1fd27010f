-- Gives back what operations took; an operation without a record was given back before.
-- KEYS  1 epoch, 2 operations, 3 times, from 4 on the cells of one SKU each
-- ARGV  1 epoch, 2 msgpack [[id, [SKU, location, units, ...]], ...], as their records say
-- Gives nil when closed, else the number of operations given back
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return false end

local undone = 0
for _, operation in ipairs(cmsgpack.unpack(ARGV[2])) do
  redis.call('ZREM', KEYS[3], operation[1])
  -- The record goes first: were the script cut off here, too little would be free, never too much.
  if redis.call('HDEL', KEYS[2], operation[1]) == 1 then
    undone = undone + 1
    local lines = operation[2]
    for i = 1, #lines, 3 do
      redis.call('HINCRBY', KEYS[3 + lines[i]], lines[i + 1], lines[i + 2])
    end
  end
end
return undone
