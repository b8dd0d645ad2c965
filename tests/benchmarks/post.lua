-- wrk: POST a new lead each time; with an Idempotency-Key where the second argument is "once", and
-- alternating with the list where it is "mixed".
local threads = 0

function setup(thread)
  threads = threads + 1
  thread:set("number", threads)
end

function init(args)
  run, mixed, once, sent = args[1], args[2] == "mixed", args[2] == "once", 0
  wrk.headers["Content-Type"] = "application/json"
end

function request()
  sent = sent + 1
  if mixed and sent % 2 == 0 then
    return wrk.format("GET", "/leads?limit=50", {}, "")
  end
  if once then
    wrk.headers["Idempotency-Key"] = string.format("%s.%d.%d", run, number, sent)
  end
  local body = string.format(
    '{"full_name":"John Doe","email":"john.%s.%d.%d@example.com","company":"Example Inc","message":"Interested in product","source":"landing-page"}',
    run, number, sent)
  return wrk.format("POST", "/leads", nil, body)
end
