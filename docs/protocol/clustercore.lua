-- Wireshark dissector of clustercore's reliable datagrams; see datagram.md beside it.
--
--   tshark -X lua_script:docs/protocol/clustercore.lua -r capture.pcap
--
-- Packets without a connection and those of clear mode are found by their check on any port. Protected packets are found behind a handshake
-- in the same capture, or by the port of the preference "UDP port". They show their header only, unless the preference "Key log" names a file
-- with their secrets: -o clustercore.keys:FILE. Their tags are not checked then.

local clustercore = Proto("clustercore", "clustercore datagrams")

local KINDS = {
  [0x40] = "Data", [0x41] = "Data", [0x61] = "Init", [0x63] = "Cookie", [0x65] = "Accept",
  [0x67] = "Versions", [0x69] = "Reset", [0x6b] = "Refuse",
}
local FRAMES = {
  [0x00] = "padding", [0x01] = "ping", [0x02] = "acknowledgement", [0x03] = "acknowledgement",
  [0x04] = "window", [0x05] = "stream window", [0x06] = "messages", [0x07] = "fragment", [0x08] = "latest",
  [0x09] = "unreliable", [0x0a] = "challenge", [0x0b] = "response", [0x0c] = "close",
}
local STREAM_KINDS = { [0] = "ordered", [1] = "unordered", [2] = "latest", [3] = "unreliable" }
local REFUSALS = { [1] = "full", [2] = "not accepting", [3] = "handshake refused" }
local PARAMETERS = {
  "receive_window", "stream_window", "streams_max", "message_bytes_max", "acknowledgement_delay_max_us",
  "packet_bytes_max", "idle_timeout_ms", "reset_token (low)", "reset_token (high)",
}

local LONG_HEADER = 24
local DATA_HEADER = 16
local CHECK = 4
local TAG = 16

local field = {
  kind = ProtoField.uint8("clustercore.kind", "Kind", base.HEX, KINDS),
  phase = ProtoField.bool("clustercore.phase", "Key phase", 8, nil, 0x01),
  source_shard = ProtoField.uint8("clustercore.source_shard", "Source shard"),
  version = ProtoField.uint16("clustercore.version", "Version"),
  number = ProtoField.uint64("clustercore.number", "Packet number"),
  target = ProtoField.uint64("clustercore.target", "Target id", base.HEX),
  source = ProtoField.uint64("clustercore.source", "Source id", base.HEX),
  epoch = ProtoField.uint64("clustercore.epoch", "Epoch"),
  cookie = ProtoField.bytes("clustercore.cookie", "Cookie"),
  handshake = ProtoField.bytes("clustercore.handshake", "Handshake"),
  parameter = ProtoField.string("clustercore.parameter", "Parameter"),
  token = ProtoField.bytes("clustercore.token", "Reset token"),
  refusal = ProtoField.uint16("clustercore.refusal", "Refusal", base.DEC, REFUSALS),
  spoken = ProtoField.uint16("clustercore.spoken", "Version spoken"),
  check = ProtoField.uint32("clustercore.check", "CRC-32C", base.HEX),
  protected = ProtoField.bytes("clustercore.protected", "Protected"),
  frame = ProtoField.uint8("clustercore.frame", "Frame", base.HEX, FRAMES),
  stream = ProtoField.uint32("clustercore.stream", "Stream"),
  sequence = ProtoField.string("clustercore.sequence", "Sequence"),
  count = ProtoField.uint16("clustercore.count", "Messages"),
  message = ProtoField.bytes("clustercore.message", "Message"),
  total = ProtoField.string("clustercore.total", "Bytes in all"),
  offset = ProtoField.string("clustercore.offset", "Offset"),
  bytes = ProtoField.bytes("clustercore.bytes", "Bytes"),
  credit = ProtoField.string("clustercore.credit", "Credit"),
  range = ProtoField.string("clustercore.range", "Acknowledged"),
  delay = ProtoField.string("clustercore.delay_us", "Delay in us"),
  ecn = ProtoField.string("clustercore.ecn", "Marks: ECT(0), ECT(1), CE"),
  path = ProtoField.uint64("clustercore.path", "Value", base.HEX),
  code = ProtoField.string("clustercore.code", "Code"),
  text = ProtoField.string("clustercore.text", "Text"),
}
local fields = {}
for _, each in pairs(field) do fields[#fields + 1] = each end
clustercore.fields = fields

local malformed = ProtoExpert.new("clustercore.malformed", "Cannot be read", expert.group.MALFORMED, expert.severity.ERROR)
clustercore.experts = { malformed }

clustercore.prefs.port = Pref.uint("UDP port", 0, "Port whose packets are taken for clustercore's; 0 for none")

clustercore.prefs.keys = Pref.string("Key log", "", "File with lines of CLUSTERCORE_1_SECRET_0")

local band, bor, bxor, bnot = bit.band, bit.bor, bit.bxor, bit.bnot
local lshift, rshift, ror = bit.lshift, bit.rshift, bit.ror

-- SHA-256 (FIPS 180-4). Its constants are the first bits of the fractions of roots of primes.
local sha_round, sha_start = {}, {}
do
  local function fraction(value) return bit.tobit(math.floor(value % 1 * 2 ^ 32)) end
  local candidate = 2
  while #sha_round < 64 do
    local is_prime = true
    for divisor = 2, math.floor(math.sqrt(candidate)) do is_prime = is_prime and candidate % divisor ~= 0 end
    if is_prime then
      if #sha_start < 8 then sha_start[#sha_start + 1] = fraction(candidate ^ (1 / 2)) end
      sha_round[#sha_round + 1] = fraction(candidate ^ (1 / 3))
    end
    candidate = candidate + 1
  end
end

local function word_of(text, at)
  local a, b, c, d = text:byte(at, at + 3)
  return bor(lshift(a, 24), lshift(b, 16), lshift(c, 8), d)
end

local function text_of_word(word)
  return string.char(rshift(word, 24), band(rshift(word, 16), 0xff), band(rshift(word, 8), 0xff), band(word, 0xff))
end

local function sha256(text)
  local zeros = (55 - #text) % 64
  local padded = text .. "\128" .. ("\0"):rep(zeros + 4) .. text_of_word(#text * 8)
  local state = {}
  for place = 1, 8 do state[place] = sha_start[place] end
  for block = 1, #padded, 64 do
    local w = {}
    for place = 1, 16 do w[place] = word_of(padded, block + 4 * place - 4) end
    for place = 17, 64 do
      local x, y = w[place - 15], w[place - 2]
      local low = bxor(ror(x, 7), ror(x, 18), rshift(x, 3))
      local high = bxor(ror(y, 17), ror(y, 19), rshift(y, 10))
      w[place] = bit.tobit(w[place - 16] + low + w[place - 7] + high)
    end
    local a, b, c, d, e, f, g, h = state[1], state[2], state[3], state[4], state[5], state[6], state[7], state[8]
    for place = 1, 64 do
      local sum = bxor(ror(e, 6), ror(e, 11), ror(e, 25))
      local choice = bxor(band(e, f), band(bnot(e), g))
      local first = h + sum + choice + sha_round[place] + w[place]
      local second = bxor(ror(a, 2), ror(a, 13), ror(a, 22)) + bxor(band(a, b), band(a, c), band(b, c))
      h, g, f, e, d, c, b, a = g, f, e, bit.tobit(d + first), c, b, a, bit.tobit(first + second)
    end
    for place, value in ipairs({ a, b, c, d, e, f, g, h }) do state[place] = bit.tobit(state[place] + value) end
  end
  local parts = {}
  for place = 1, 8 do parts[place] = text_of_word(state[place]) end
  return table.concat(parts)
end

-- HMAC (RFC 2104), for keys of up to 64 bytes.
local function hmac(key, text)
  local function masked(mask)
    local bytes = {}
    for place = 1, 64 do bytes[place] = string.char(bxor(key:byte(place) or 0, mask)) end
    return table.concat(bytes)
  end
  return sha256(masked(0x5c) .. sha256(masked(0x36) .. text))
end

-- HKDF-Expand (RFC 5869), up to 32 bytes.
local function expand(secret, label, len)
  return hmac(secret, "clustercore datagram 1 " .. label .. "\1"):sub(1, len)
end

-- AES-128 (FIPS 197), one direction: counter mode needs no other.
local sbox = { [0] = 0x63 }
local function double(value) return bxor(band(lshift(value, 1), 0xff), value >= 0x80 and 0x1b or 0) end
do
  -- Powers of 3 and of its inverse run through the field.
  local power, inverse = 1, 1
  repeat
    power = bxor(power, double(power))
    for _, places in ipairs({ 1, 2, 4 }) do inverse = band(bxor(inverse, lshift(inverse, places)), 0xff) end
    if inverse >= 0x80 then inverse = bxor(inverse, 0x09) end
    local value = inverse
    for places = 1, 4 do
      value = bxor(value, band(lshift(inverse, places), 0xff), rshift(inverse, 8 - places))
    end
    sbox[power] = bxor(value, 0x63)
  until power == 1
end

local function schedule_of(key)
  local bytes, constant = { key:byte(1, 16) }, 1
  for place = 17, 176, 4 do
    local word = { bytes[place - 4], bytes[place - 3], bytes[place - 2], bytes[place - 1] }
    if (place - 1) % 16 == 0 then
      word = { bxor(sbox[word[2]], constant), sbox[word[3]], sbox[word[4]], sbox[word[1]] }
      constant = double(constant)
    end
    for offset = 0, 3 do bytes[place + offset] = bxor(bytes[place + offset - 16], word[offset + 1]) end
  end
  return bytes
end

local function encrypt_block(schedule, block)
  local state = {}
  for place = 1, 16 do state[place] = bxor(block[place], schedule[place]) end
  for round = 1, 10 do
    local moved = {}
    for column = 0, 3 do
      for row = 0, 3 do moved[4 * column + row + 1] = sbox[state[4 * ((column + row) % 4) + row + 1]] end
    end
    for column = 1, 13, 4 do
      local a, b, c, d = moved[column], moved[column + 1], moved[column + 2], moved[column + 3]
      if round < 10 then
        local all = bxor(a, b, c, d)
        moved[column], moved[column + 1] = bxor(a, all, double(bxor(a, b))), bxor(b, all, double(bxor(b, c)))
        moved[column + 2], moved[column + 3] = bxor(c, all, double(bxor(c, d))), bxor(d, all, double(bxor(d, a)))
      end
    end
    for place = 1, 16 do state[place] = bxor(moved[place], schedule[16 * round + place]) end
  end
  return state
end

-- By connection id: what follows from its secret, phase by phase.
local chains = {}
-- By number of the captured packet: its phase, once it is known.
local phases = {}

local function read_keys()
  chains, phases = {}, {}
  local file = clustercore.prefs.keys ~= "" and io.open(clustercore.prefs.keys)
  if not file then return end
  for line in file:lines() do
    local id, secret = line:match("^CLUSTERCORE_1_SECRET_0 (%x+) (%x+)$")
    if id and #id == 16 and #secret == 64 then
      secret = secret:gsub("%x%x", function(digits) return string.char(tonumber(digits, 16)) end)
      chains[id:lower()] = { secret = secret, keys = {}, phase = 0, newest = -1 }
    end
  end
  file:close()
end

clustercore.init = read_keys

-- The key of a phase, and its vector.
local function key_of(chain, phase)
  while #chain.keys < phase + 1 do
    chain.keys[#chain.keys + 1] = {
      schedule = schedule_of(expand(chain.secret, "key", 16)),
      vector = { expand(chain.secret, "vector", 12):byte(1, 12) },
    }
    chain.secret = expand(chain.secret, "next", 32)
  end
  return chain.keys[phase + 1]
end

-- Phase of a packet, when packets are looked at in their order for the first time: a turned bit above all numbers so far is the next one.
local function phase_of(chain, pinfo, turned, number)
  if not phases[pinfo.number] then
    if turned == chain.phase % 2 then
      chain.newest = math.max(chain.newest, number)
      phases[pinfo.number] = chain.phase
    elseif number > chain.newest then
      chain.phase, chain.newest = chain.phase + 1, number
      phases[pinfo.number] = chain.phase
    else
      phases[pinfo.number] = math.max(chain.phase - 1, 0)
    end
  end
  return phases[pinfo.number]
end

-- The frames of a protected packet, or nil without its key.
local function decrypted(buffer, pinfo)
  local len = buffer:len() - DATA_HEADER - TAG
  if len <= 0 then return nil end
  local target, number = {}, 0
  for place = 7, 0, -1 do target[#target + 1] = string.format("%02x", buffer(8 + place, 1):uint()) end
  local chain = chains[table.concat(target)]
  if not chain then return nil end
  for place = 7, 2, -1 do number = number * 256 + buffer(place, 1):uint() end
  local key = key_of(chain, phase_of(chain, pinfo, band(buffer(0, 1):uint(), 1), number))
  local block = {}
  for place = 1, 12 do block[place] = key.vector[place] end
  for place = 7, 12 do block[place] = bxor(block[place], buffer(14 - place, 1):uint()) end
  local sealed, opened = buffer:raw(DATA_HEADER, len), {}
  for start = 1, len, 16 do
    -- The first counter seals the tag.
    local counter = 2 + (start - 1) / 16
    for place = 13, 16 do block[place] = band(rshift(counter, 8 * (16 - place)), 0xff) end
    local mask = encrypt_block(key.schedule, block)
    for place = start, math.min(start + 15, len) do
      opened[place] = string.char(bxor(sealed:byte(place), mask[place - start + 1]))
    end
  end
  return ByteArray.new(table.concat(opened), true):tvb("Frames")
end

-- CRC-32C (Castagnoli), reflected.
local crc_table = {}
for value = 0, 255 do
  local crc = value
  for _ = 1, 8 do
    local shifted = bit.rshift(crc, 1)
    crc = bit.band(crc, 1) == 1 and bit.bxor(shifted, 0x82f63b78) or shifted
  end
  crc_table[value] = crc
end

local function check_is_right(buffer)
  local len = buffer:len() - CHECK
  local bytes = buffer:raw(0, len)
  local crc = bit.tobit(0xffffffff)
  for place = 1, len do
    crc = bit.bxor(bit.rshift(crc, 8), crc_table[bit.band(bit.bxor(crc, bytes:byte(place)), 0xff)])
  end
  return bit.bnot(crc) == bit.tobit(buffer(len, CHECK):le_uint())
end

-- Reads from the front of a part of a buffer; `fail` ends the packet.
local Reader = {}
Reader.__index = Reader

local function reader(buffer, from, to)
  return setmetatable({ buffer = buffer, at = from, to = to }, Reader)
end

local function fail() error({ malformed = true }) end

function Reader:take(len)
  if len > self.to - self.at then fail() end
  local start = self.at
  self.at = start + len
  -- A range of no bytes cannot be had; nothing is shown for it.
  return len > 0 and self.buffer(start, len) or nil
end

function Reader:u8() return self:take(1):uint() end

-- A number of variable length: its value, and where it lies. Exact up to 2^53.
function Reader:number()
  local start, value, scale = self.at, 0, 1
  while true do
    local byte = self:u8()
    value = value + byte % 128 * scale
    scale = scale * 128
    if byte < 128 then return value, self.buffer(start, self.at - start) end
    if self.at - start >= 10 then fail() end
  end
end

local function text_of(value) return string.format("%.0f", value) end

function Reader:show(tree, what)
  local value, range = self:number()
  tree:add(what, range, text_of(value))
  return value
end

function Reader:stream(tree)
  local value, range = self:number()
  if value > 0xffffffff then fail() end
  tree:add(field.stream, range, value):append_text(" (" .. STREAM_KINDS[value % 4] .. ")")
  return value
end

-- Bytes behind a length of two.
function Reader:sized()
  local len = self:take(2):le_uint()
  local start = self.at
  self:take(len)
  return start, len
end

function Reader:messages(tree)
  local start, len = self:sized()
  local inner = reader(self.buffer, start, start + len)
  local count = 0
  while inner.at < inner.to do
    local range = inner:take(inner:number())
    if range then tree:add(field.message, range) end
    count = count + 1
  end
  return count
end

local function acknowledgement(input, tree, kind)
  local largest, range = input:number()
  local delay, delay_range = input:number()
  local more = input:number()
  local low = largest - input:number()
  if low < 0 then fail() end
  tree:add(field.range, range, text_of(low) .. "-" .. text_of(largest))
  tree:add(field.delay, delay_range, text_of(delay))
  for _ = 1, more do
    local gap, gap_range = input:number()
    local high = low - gap - 2
    low = high - input:number()
    if low < 0 then fail() end
    tree:add(field.range, gap_range, text_of(low) .. "-" .. text_of(high))
  end
  if kind == 0x03 then
    local start, counts = input.at, {}
    for place = 1, 3 do counts[place] = text_of(input:number()) end
    tree:add(field.ecn, input.buffer(start, input.at - start), table.concat(counts, ", "))
  end
  return text_of(largest)
end

-- What follows the type of each frame; returns what the summary says of it.
local contents = {
  [0x01] = function() return "" end,
  [0x02] = acknowledgement,
  [0x03] = acknowledgement,
  [0x04] = function(input, tree) return text_of(input:show(tree, field.credit)) end,
  [0x05] = function(input, tree)
    local stream = input:stream(tree)
    return text_of(stream) .. " " .. text_of(input:show(tree, field.credit))
  end,
  [0x06] = function(input, tree)
    local stream = input:stream(tree)
    local first = input:show(tree, field.sequence)
    local range = input:take(2)
    tree:add_le(field.count, range)
    if input:messages(tree) ~= range:le_uint() then fail() end
    return text_of(stream) .. " " .. text_of(first) .. " " .. range:le_uint()
  end,
  [0x07] = function(input, tree)
    local stream = input:stream(tree)
    local sequence = input:show(tree, field.sequence)
    local total = input:show(tree, field.total)
    local offset = input:show(tree, field.offset)
    local start, len = input:sized()
    if len == 0 or offset + len > total then fail() end
    tree:add(field.bytes, input.buffer(start, len))
    return text_of(stream) .. " " .. text_of(sequence) .. " " .. text_of(offset) .. "/" .. text_of(total)
  end,
  [0x08] = function(input, tree)
    local stream = input:stream(tree)
    local sequence = input:show(tree, field.sequence)
    local start, len = input:sized()
    if len > 0 then tree:add(field.message, input.buffer(start, len)) end
    return text_of(stream) .. " " .. text_of(sequence)
  end,
  [0x09] = function(input, tree)
    local stream = input:stream(tree)
    return text_of(stream) .. " " .. input:messages(tree)
  end,
  [0x0a] = function(input, tree) tree:add_le(field.path, input:take(8)) return "" end,
  [0x0b] = function(input, tree) tree:add_le(field.path, input:take(8)) return "" end,
  [0x0c] = function(input, tree)
    local code = input:show(tree, field.code)
    local text = input:take(input:u8())
    if text then tree:add(field.text, text) end
    return text_of(code)
  end,
}

local function dissect_frames(input, tree, said)
  while input.at < input.to do
    local start = input.at
    local kind = input.buffer(start, 1):uint()
    if kind == 0 then
      tree:add(input.buffer(start, input.to - start), "Padding")
      return
    end
    local content = contents[kind]
    if not content then fail() end
    local branch = tree:add(input.buffer(start, 1), "Frame: " .. FRAMES[kind])
    branch:add(field.frame, input:take(1))
    local what = content(input, branch, kind)
    branch:set_len(input.at - start)
    said[#said + 1] = what == "" and FRAMES[kind] or FRAMES[kind] .. " " .. what
  end
end

local function dissect_data(buffer, pinfo, tree)
  tree:add(field.phase, buffer(0, 1))
  tree:add(field.source_shard, buffer(1, 1))
  tree:add(field.number, buffer(2, 6), buffer(2, 6):le_uint64())
  tree:add_le(field.target, buffer(8, 8))
  local title = "Data " .. tostring(buffer(2, 6):le_uint64())
  local to = buffer:len() - CHECK
  if to < DATA_HEADER or not check_is_right(buffer) then
    if buffer:len() > DATA_HEADER then tree:add(field.protected, buffer(DATA_HEADER)) end
    pinfo.cols.info = title .. ": protected"
    local frames = decrypted(buffer, pinfo)
    if not frames then return end
    local said = {}
    local done, problem = pcall(dissect_frames, reader(frames, 0, frames:len()), tree, said)
    -- With a wrong key it is nothing that can be read.
    if done then
      pinfo.cols.info = title .. ": " .. table.concat(said, ", ")
    elseif type(problem) ~= "table" then
      error(problem)
    end
    return
  end
  local said = {}
  local done, problem = pcall(dissect_frames, reader(buffer, DATA_HEADER, to), tree, said)
  tree:add_le(field.check, buffer(to, CHECK))
  pinfo.cols.info = title .. ": " .. table.concat(said, ", ")
  if not done then error(problem) end
end

-- In clear mode the handshake is the parameters themselves.
local function dissect_handshake(input, tree)
  local start, len = input:sized()
  if len == 0 then return end
  local branch = tree:add(field.handshake, input.buffer(start, len))
  local inner = reader(input.buffer, start, start + len)
  pcall(function()
    while inner.at < inner.to do
      local at = inner.at
      local id, value = inner:number(), inner:number()
      local name = PARAMETERS[id] or ("parameter " .. text_of(id))
      branch:add(field.parameter, input.buffer(at, inner.at - at), name .. " = " .. text_of(value))
    end
  end)
end

local function dissect_long(buffer, pinfo, tree)
  local kind = buffer(0, 1):uint()
  pinfo.cols.info = KINDS[kind]
  tree:add(field.source_shard, buffer(1, 1))
  tree:add_le(field.version, buffer(2, 2))
  tree:add_le(field.target, buffer(8, 8))
  tree:add_le(field.source, buffer(16, 8))
  local to = buffer:len() - CHECK
  local input = reader(buffer, LONG_HEADER, to)
  tree:add_le(field.check, buffer(to, CHECK))
  if kind == 0x61 or kind == 0x65 then tree:add_le(field.epoch, input:take(8)) end
  if kind == 0x61 or kind == 0x63 then
    local cookie = input:take(input:u8())
    if cookie then tree:add(field.cookie, cookie) end
  end
  if kind == 0x61 or kind == 0x65 then
    dissect_handshake(input, tree)
  elseif kind == 0x67 then
    for _ = 1, input:u8() do tree:add_le(field.spoken, input:take(2)) end
  elseif kind == 0x69 then
    tree:add(field.token, input:take(16))
  elseif kind == 0x6b then
    tree:add_le(field.refusal, input:take(2))
  end
end

function clustercore.dissector(buffer, pinfo, tree)
  local len = buffer:len()
  local kind = len > DATA_HEADER and buffer(0, 1):uint() or 0
  if not KINDS[kind] or (kind >= 0x60 and len < LONG_HEADER + CHECK) then return 0 end
  pinfo.cols.protocol = "clustercore"
  local branch = tree:add(clustercore, buffer())
  branch:add(field.kind, buffer(0, 1))
  local dissect = kind < 0x60 and dissect_data or dissect_long
  local done, problem = pcall(dissect, buffer, pinfo, branch)
  if not done then
    if type(problem) ~= "table" or not problem.malformed then error(problem) end
    branch:add_proto_expert_info(malformed)
  end
  return len
end

local function find(buffer, pinfo, tree)
  local len = buffer:len()
  if len < DATA_HEADER + CHECK or not KINDS[buffer(0, 1):uint()] then return false end
  if not check_is_right(buffer) then return false end
  -- Later packets of the two are ours, protected ones too.
  pinfo.conversation = clustercore
  return clustercore.dissector(buffer, pinfo, tree) > 0
end

clustercore:register_heuristic("udp", find)

local registered = 0
function clustercore.prefs_changed()
  local ports = DissectorTable.get("udp.port")
  if registered > 0 then ports:remove(registered, clustercore) end
  registered = clustercore.prefs.port
  if registered > 0 then ports:add(registered, clustercore) end
end
