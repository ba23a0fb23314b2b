#!/usr/bin/env bash
# Runs every example program against programs from elsewhere, and checks what these say:
#
#     ci/examples.sh                 all of them
#     ci/examples.sh redis files     some: redis proxy http https files websocket postgres hello
#
# - redis against redis-cli and redis-benchmark (inline commands, one at a time, pipelines of 16);
# - proxy between curl, openssl and servers; http and hello against curl (HTTP/1.1 and 2) and wrk;
# - https against curl and openssl s_client, which must verify the certificate; files against curl's ranges;
# - websocket against a headless Chromium; postgres against a server of its own, and psql.
#
# What is missing is installed from Debian's packages. Nothing is left running, and everything lies in target/examples.
# PROACT_EXAMPLES_PROFILE=dev runs programs that were built without optimization.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

here=$PWD/target/examples
rm -rf "$here"
mkdir -p "$here"
pids=()
# Where PostgreSQL's own user may go, which a checkout need not be.
database=

finish() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    if [[ -n $database ]]; then
        as_postgres "$pg/pg_ctl" -D "$database/data" -m immediate stop &>/dev/null || true
        rm -rf "$database"
    fi
}
trap finish EXIT

# start NAME ARGUMENT...: runs an example on a port of its own; sets address, port and pid.
start() {
    local name=$1
    shift
    if [[ $name == hello ]]; then set -- 127.0.0.1:0; else set -- --listen 127.0.0.1:0 "$@"; fi
    "$bin/$name" "$@" >"$here/$name.out" 2>"$here/$name.err" &
    pid=$!
    pids+=("$pid")
    until grep -q "^listening on " "$here/$name.out"; do
        kill -0 "$pid" 2>/dev/null || die "$name ended: $(cat "$here/$name.err")"
        sleep 0.05
    done
    address=$(sed -n 's/^listening on //p' "$here/$name.out")
    port=${address##*:}
}

# stop NAME PID: Ctrl-C, and a good end.
stop() {
    kill -INT "$2"
    wait "$2" || die "$1 did not end well: $(cat "$here/$1.err")"
    checks=$((checks + 1))
}

digest() { sha256sum | cut -d' ' -f1; }

# fetched URL CURL-OPTION...: the digest of what the server sends.
fetched() { curl -s --max-time 60 "${@:2}" "$1" | digest; }

# status URL CURL-OPTION...: what the server answers with.
status() { curl -s -o /dev/null -w '%{http_code} %{http_version}' --max-time 30 "${@:2}" "$1"; }

redis() {
    need redis-cli redis-tools
    start redis
    local server=$pid cli=(redis-cli -p "$port") out
    is PING "$("${cli[@]}" PING)" PONG
    is SET "$("${cli[@]}" SET greeting 'hello, world')" OK
    is GET "$("${cli[@]}" GET greeting)" 'hello, world'
    is INCR "$("${cli[@]}" INCRBY n 41)$("${cli[@]}" INCR n)" 4142
    is EXPIRE "$("${cli[@]}" EXPIRE greeting 100)$("${cli[@]}" TTL greeting)" 1100
    is DEL "$("${cli[@]}" DEL greeting n none)" 2
    is unknown "$("${cli[@]}" SUBSCRIBE channel)" "ERR unknown command 'SUBSCRIBE'"
    head -c 3000000 /dev/urandom >"$here/value"
    is 'a long SET' "$("${cli[@]}" -x SET long <"$here/value")" OK
    # The value, and the line's end that redis-cli adds.
    is 'a long GET' "$("${cli[@]}" --raw GET long | head -c 3000000 | digest)" "$(digest <"$here/value")"
    "${cli[@]}" FLUSHALL >/dev/null

    for options in "-t ping_inline,ping_mbulk,set,get,incr -n 20000" "-t ping_mbulk,set,get,incr -n 200000 -P 16"; do
        # shellcheck disable=SC2086 # words
        out=$(timeout 300 redis-benchmark -p "$port" -c 50 -r 1000 $options --csv 2>"$here/benchmark.err")
        # Warnings say what it could not ask of the server; an error is one.
        ! grep -i error "$here/benchmark.err" || die "redis-benchmark: $(cat "$here/benchmark.err")"
        for test in SET GET INCR PING_MBULK; do
            holds "redis-benchmark $options" "$out" "^\"$test\",\"[1-9][0-9.]*\""
        done
        say "redis-benchmark $options"$'\n'"$out"
    done
    out=$(timeout 300 redis-benchmark -p "$port" -t ping_inline -n 20000 --csv 2>/dev/null)
    holds 'inline commands' "$out" '^"PING_INLINE","[1-9]'
    # 20,000 and 200,000 increments, of a thousand keys.
    local sum
    sum=$(for i in $(seq -f '%012.0f' 0 999); do printf 'GET counter:%s\r\n' "$i"; done | "${cli[@]}" |
        awk '{ sum += $1 } END { print sum }')
    is 'the sum of all counters' "$sum" 220000
    holds INFO "$("${cli[@]}" INFO)" '^total_commands_processed:[1-9][0-9]{5}'
    stop redis "$server"
}

proxy() {
    need curl curl
    start http
    local server=$pid
    start proxy --to "$address"
    local between=$pid
    is 'through the proxy' "$(fetched "http://$address/bytes/20000000")" "$(alphabet 20000000 | digest)"
    head -c 5000000 /dev/urandom >"$here/up"
    is 'both ways' "$(fetched "http://$address/echo" --data-binary "@$here/up")" "$(digest <"$here/up")"
    is 'HTTP/2 through it' "$(status "http://$address/" --http2-prior-knowledge)" '200 2'
    stop http "$server"
    stop proxy "$between"
}

alphabet() { (yes abcdefghijklmnopqrstuvwxyz || true) 2>/dev/null | tr -d '\n' | head -c "$1"; }

hello() {
    need curl curl
    start hello
    is hello "$(curl -s --max-time 30 "http://$address/")" 'Hello, world!'
    kill "$pid"
}

http() {
    need curl curl
    need wrk wrk
    start http
    local server=$pid version
    for version in --http1.1 --http2-prior-knowledge; do
        local number=${version:6:1}
        [[ $number == 1 ]] && number=1.1
        is "a greeting, $version" "$(curl -s --max-time 30 "$version" "http://$address/")" 'Hello, world!'
        is "its status" "$(status "http://$address/" "$version")" "200 $number"
        is "nothing there" "$(status "http://$address/nothing" "$version")" "404 $number"
        is "a long body" "$(fetched "http://$address/bytes/10000000" "$version")" \
            "$(alphabet 10000000 | digest)"
        head -c 5000000 /dev/urandom >"$here/up"
        is "an echo" "$(fetched "http://$address/echo" "$version" --data-binary "@$here/up")" \
            "$(digest <"$here/up")"
    done
    is 'twenty at once' "$(curl -s --max-time 60 --parallel --parallel-max 20 \
        "http://$address/bytes/[1000001-1000020]" 2>/dev/null | wc -c)" 20000210
    local out
    out=$(wrk -t 1 -c 64 -d 3s "http://$address/")
    say "$out"
    holds wrk "$out" '^Requests/sec: +[1-9]'
    ! grep -Eq 'Socket errors|Non-2xx' <<<"$out" || die "wrk: $out"
    stop http "$server"
}

https() {
    need curl curl
    need openssl openssl
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=proact-examples-ca \
        -keyout "$here/ca.key" -out "$here/ca.pem" 2>/dev/null
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost \
        -keyout "$here/key.pem" -out "$here/request.pem" 2>/dev/null
    openssl x509 -req -in "$here/request.pem" -CA "$here/ca.pem" -CAkey "$here/ca.key" -CAcreateserial -days 1 \
        -extfile <(echo subjectAltName=DNS:localhost) -out "$here/certificate.pem" 2>/dev/null
    start https --certificate "$here/certificate.pem" --key "$here/key.pem"
    local server=$pid url=https://localhost:$port
    local ca=(--cacert "$here/ca.pem" --resolve "localhost:$port:127.0.0.1") out
    is 'HTTP/2 by ALPN' "$(status "$url/" "${ca[@]}")" '200 2'
    is 'HTTP/1.1' "$(status "$url/" "${ca[@]}" --http1.1)" '200 1.1'
    is 'a long body' "$(fetched "$url/bytes/10000000" "${ca[@]}")" "$(alphabet 10000000 | digest)"
    head -c 5000000 /dev/urandom >"$here/up"
    is 'an echo' "$(fetched "$url/echo" "${ca[@]}" --data-binary "@$here/up")" "$(digest <"$here/up")"
    # On one connection. Not in `http`: curl 7.88 with prior knowledge breaks those that it uses again (curl#10634).
    is 'twenty at once' "$(curl -s --max-time 60 "${ca[@]}" --parallel --parallel-max 20 \
        "$url/bytes/[1000001-1000020]" 2>/dev/null | wc -c)" 20000210
    is 'a stranger to the authority' "$(status "$url/" --resolve "localhost:$port:127.0.0.1" || true)" '000 0'
    for version in tls1_2 tls1_3; do
        out=$(openssl s_client -connect "127.0.0.1:$port" -servername localhost -verify_hostname localhost \
            -CAfile "$here/ca.pem" -verify_return_error -alpn http/1.1 "-$version" \
            < <(printf 'GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'; sleep 2) 2>&1)
        holds "s_client -$version" "$out" '^ *Verify return code: 0 \(ok\)'
        holds "s_client -$version" "$out" '^ALPN protocol: http/1.1'
        holds "s_client -$version" "$out" '^Hello, world!'
    done
    stop https "$server"
}

files() {
    need curl curl
    mkdir -p "$here/root/sub"
    head -c 5000000 /dev/urandom >"$here/root/data.bin"
    printf '0123456789' >"$here/root/sub/digits.txt"
    ln -s /etc/passwd "$here/root/link"
    start files "$here/root"
    local server=$pid data=$here/root/data.bin
    is 'a whole file' "$(fetched "http://$address/data.bin")" "$(digest <"$data")"
    is 'its first bytes' "$(fetched "http://$address/data.bin" -r 0-99)" "$(head -c 100 "$data" | digest)"
    is 'its middle' "$(fetched "http://$address/data.bin" -r 1000000-2999999)" \
        "$(tail -c +1000001 "$data" | head -c 2000000 | digest)"
    is 'its end' "$(fetched "http://$address/data.bin" -r -12345)" "$(tail -c 12345 "$data" | digest)"
    is 'the status of a range' "$(status "http://$address/data.bin" -r 5-9)" '206 1.1'
    is 'beyond its end' "$(status "http://$address/data.bin" -r 5000000-)" '416 1.1'
    holds 'what a range says' "$(curl -si -r 2-4 "http://$address/sub/digits.txt")" '^content-range: bytes 2-4/10'
    head -c 1700000 "$data" >"$here/resumed"
    curl -s -C - -o "$here/resumed" "http://$address/data.bin"
    is 'a download that is resumed' "$(digest <"$here/resumed")" "$(digest <"$data")"
    for path in link ../../etc/passwd %2e%2e/%2e%2e/etc/passwd nothing ''; do
        is "/$path" "$(status "http://$address/$path" --path-as-is)" '404 1.1'
    done
    is 'a method that writes' "$(status "http://$address/data.bin" -X PUT)" '405 1.1'
    is 'HTTP/2' "$(curl -s --http2-prior-knowledge -r 3-5 "http://$address/sub/digits.txt")" 345
    stop files "$server"
}

# browser PORT-OF-DRIVER PATH JSON: what the driver answers.
browser() { curl -s --max-time 120 -H 'Content-Type: application/json' -d "$3" "http://127.0.0.1:$1/$2"; }

websocket() {
    need curl curl
    need chromedriver chromium chromium-driver
    need jq jq
    # A page of this machine may speak to this machine; others would ask somebody first.
    mkdir -p "$here/pages"
    echo '<!doctype html><title>echo</title><body>nothing yet' >"$here/pages/echo.html"
    start files "$here/pages"
    local pages=$pid page=http://$address/echo.html driver session script out
    start websocket
    local server=$pid
    chromedriver --port=0 >"$here/chromedriver.out" 2>&1 &
    pids+=("$!")
    until grep -q 'started successfully on port' "$here/chromedriver.out"; do sleep 0.2; done
    driver=$(sed -n 's/.*started successfully on port \([0-9]*\).*/\1/p' "$here/chromedriver.out")
    out=$(browser "$driver" session '{"capabilities":{"alwaysMatch":{"goog:chromeOptions":{"args":
        ["--headless=new","--no-sandbox","--disable-gpu","--disable-dev-shm-usage"]}}}}')
    session=$(jq -r .value.sessionId <<<"$out")
    [[ $session != null ]] || die "no browser: $out"
    browser "$driver" "session/$session/url" "{\"url\":\"$page\"}" >/dev/null
    script='const [address, done] = arguments, got = [];
        const socket = new WebSocket("ws://" + address);
        socket.onopen = () => { socket.send("hello from a browser"); socket.send("x".repeat(100000)); };
        socket.onmessage = event => {
            got.push(event.data);
            if (got.length == 2) { document.body.textContent = got[0]; socket.close(1000); }
        };
        socket.onclose = event => done([document.body.textContent, got.map(text => text.length), event.code]);
        socket.onerror = () => done("error");'
    out=$(browser "$driver" "session/$session/execute/async" \
        "$(jq -n --arg script "$script" --arg address "$address" '{script: $script, args: [$address]}')")
    is 'what the browser shows' "$(jq -c .value <<<"$out")" '["hello from a browser",[20,100000],1000]'
    curl -s --max-time 30 -X DELETE "http://127.0.0.1:$driver/session/$session" >/dev/null
    stop websocket "$server"
    stop files "$pages"
}

as_postgres() {
    if [[ $(id -u) == 0 ]]; then runuser -u postgres -- "$@"; else "$@"; fi
}

postgres() {
    if ! compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; then need initdb postgresql; fi
    pg=$(compgen -G '/usr/lib/postgresql/*/bin' | sort -V | tail -1)
    local port=$((20000 + RANDOM % 10000)) user sql ours theirs
    database=$(as_postgres mktemp -d)
    as_postgres tee "$database/password" <<<secret >/dev/null
    as_postgres "$pg/initdb" -D "$database/data" -U tester --auth=scram-sha-256 --pwfile="$database/password" \
        --no-locale -E UTF8 >"$here/initdb.out"
    as_postgres "$pg/pg_ctl" -D "$database/data" -l "$database/log" -w \
        -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off" start >/dev/null
    export PGPASSWORD=secret
    run() { timeout 60 "$bin/postgres" --to "127.0.0.1:$port" --user tester "$1"; }
    psql() { command psql -h 127.0.0.1 -p "$port" -U tester -d postgres -At -F $'\t' -c "$1"; }
    run "CREATE TABLE t (n int PRIMARY KEY, square bigint, text text);
        INSERT INTO t SELECT n, n::bigint * n, repeat(md5(n::text), n % 7) FROM generate_series(1, 50000) n"
    sql='SELECT * FROM t ORDER BY n'
    run "$sql" >"$here/ours"
    psql "$sql" >"$here/theirs"
    is 'how many rows' "$(wc -l <"$here/ours")" 50000
    is 'the rows of psql' "$(digest <"$here/ours")" "$(digest <"$here/theirs")"
    is 'a sum' "$(run 'SELECT sum(square), NULL, current_user FROM t')" $'41667916675000\t\ttester'
    ours=$(run 'SELECT * FROM nothing' 2>&1) && die 'a table that is not there was read'
    holds 'a failure' "$ours" 'relation "nothing" does not exist'
    ours=$(PGPASSWORD=wrong run 'SELECT 1' 2>&1) && die 'a wrong password was taken'
    holds 'a wrong password' "$ours" 'password authentication failed'
    unset -f psql run
    as_postgres "$pg/pg_ctl" -D "$database/data" -m fast -w stop >/dev/null
}

profile=${PROACT_EXAMPLES_PROFILE:-release}
cargo build --profile "$profile" --locked -p proact-examples --bins
bin=${CARGO_TARGET_DIR:-$PWD/target}/${profile/#dev/debug}
which=("$@")
[[ $# -gt 0 ]] || which=(redis proxy hello http https files websocket postgres)
for name in "${which[@]}"; do
    case $name in
    redis | proxy | hello | http | https | files | websocket | postgres) ;;
    *) die "no example $name" ;;
    esac
    before=$checks
    "$name"
    say "$name: $((checks - before)) checks passed"
done
say "all passed: $checks checks"
