-- Deletes SKUs of a past epoch; with none left, the rest of it. Never runs beside a build, which
-- takes the epoch away first.
-- KEYS  1 epoch, 2 epochs, 3 SKUs, 4 operations, 5 times, 6 shifts, from 7 on cells; all but 1 and 2
--       of the past epoch
-- ARGV  1 present epoch, 2 past epoch, from 3 on the SKUs' names in the order of their keys
-- Gives 1, or 0 when the present epoch has passed too
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
for number = 7, #KEYS do
  redis.call('UNLINK', KEYS[number])
  redis.call('SREM', KEYS[3], ARGV[number - 4])
end
if redis.call('SCARD', KEYS[3]) == 0 then
  redis.call('UNLINK', KEYS[4], KEYS[5], KEYS[6])
  redis.call('SREM', KEYS[2], ARGV[2])
end
return 1
