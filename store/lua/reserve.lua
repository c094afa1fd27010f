-- Takes units for each operation in order, each all or nothing; idempotent by operation id.
-- KEYS  1 epoch, 2 operations, 3 times, from 4 on the cells of one SKU each
-- ARGV  1 epoch, 2 now in microseconds, 3 msgpack [[id, record, [SKU, location, units, ...]], ...]
--       SKUs are numbered in the order of their keys, from 1; a cell stands at most once
-- Gives nil when closed; else per operation 1 (granted), or [SKU, location, units there, ...]
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return false end

local function shortages(lines)
  local short = {}
  for i = 1, #lines, 3 do
    local there = tonumber(redis.call('HGET', KEYS[3 + lines[i]], lines[i + 1])) or 0
    if there < lines[i + 2] then
      short[#short + 1] = lines[i]
      short[#short + 1] = lines[i + 1]
      short[#short + 1] = there
    end
  end
  return short
end

-- Cells before the record: were the script cut off between, too little would be free, never too much.
local function take(operation)
  local lines = operation[3]
  for i = 1, #lines, 3 do
    redis.call('HINCRBY', KEYS[3 + lines[i]], lines[i + 1], 0 - lines[i + 2])
  end
  redis.call('HSET', KEYS[2], operation[1], operation[2])
  redis.call('ZADD', KEYS[3], ARGV[2], operation[1])
end

local answers = {}
for number, operation in ipairs(cmsgpack.unpack(ARGV[3])) do
  answers[number] = 1
  if redis.call('HEXISTS', KEYS[2], operation[1]) == 0 then
    local short = shortages(operation[3])
    if #short == 0 then take(operation) else answers[number] = short end
  end
end
return answers
