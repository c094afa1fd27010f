-- Corrects cells by a difference, per SKU, where no shift or repair came between.
-- A reserve or an undo in between does no harm: it moves what is there and what is expected alike.
-- KEYS  1 epoch, 2 SKUs, from 3 on the cells of one SKU each
-- ARGV  1 epoch, 2 msgpack [[version, [location, units to add, ...]] per SKU],
--       from 3 on the SKUs' names in the order of their keys
-- Gives nil when closed, else per SKU 1 (repaired) or 0
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return false end
local answers = {}
for number, repair in ipairs(cmsgpack.unpack(ARGV[2])) do
  local cells = KEYS[2 + number]
  answers[number] = 0
  if (tonumber(redis.call('HGET', cells, '')) or 0) == repair[1] then
    for i = 1, #repair[2], 2 do redis.call('HINCRBY', cells, repair[2][i], repair[2][i + 1]) end
    redis.call('HINCRBY', cells, '', 1)
    redis.call('SADD', KEYS[2], ARGV[2 + number])
    answers[number] = 1
  end
end
return answers
