-- Shows SKUs' cells and, when asked, every operation that the gate remembers, at one instant.
-- KEYS  1 epoch, 2 operations, from 3 on the cells of one SKU each
-- ARGV  1 epoch, 2 '1' to show the operations
-- Gives nil when closed, else [operations as id, record, ..., cells as location, units, ... per SKU]
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return false end

local seen = { ARGV[2] == '1' and redis.call('HGETALL', KEYS[2]) or {} }
for number = 3, #KEYS do seen[number - 1] = redis.call('HGETALL', KEYS[number]) end
return seen
