;; Sends a file to an address, piece by piece, each when a semaphore says that it may go: relay.rs by hand.
(module
  (import "file" "open" (func $open (param $path i32) (param $flags i32) (result i32)))
  (import "file" "read_at" (func $read_at
    (param $file i32) (param $offset i64) (param $to i32) (param $length i32) (result i64)))
  (import "semaphore" "wait" (func $wait
    (param $semaphore i32) (param $value i64) (param $deadline i64) (result i32)))
  (import "socket" "connect" (func $connect (param $address i32) (result i32)))
  (import "socket" "send" (func $send (param $socket i32) (param $from i32) (param $length i32)))
  (import "socket" "shutdown" (func $shutdown (param $socket i32) (param $direction i32)))
  (import "proact" "release" (func $release (param $handle i32)))
  (memory (export "memory") 1)

  (func (export "relay") (param $path i32) (param $address i32) (param $semaphore i32) (result i64)
    (local $file i32) (local $socket i32) (local $sent i64) (local $number i64) (local $answer i64)
    (block $end
      ;; A negative answer is the code of a failure, no handle.
      (local.set $answer (i64.extend_i32_s (local.tee $file (call $open (local.get $path) (i32.const 1)))))
      (if (i64.lt_s (local.get $answer) (i64.const 0)) (then (local.set $file (i32.const 0)) (br $end)))
      (local.set $answer (i64.extend_i32_s (local.tee $socket (call $connect (local.get $address)))))
      (if (i64.lt_s (local.get $answer) (i64.const 0)) (then (local.set $socket (i32.const 0)) (br $end)))
      (block $all
        (loop $piece
          (local.set $answer
            (call $read_at (local.get $file) (local.get $sent) (i32.const 0) (i32.const 4096)))
          (br_if $all (i64.eqz (local.get $answer)))
          (local.set $number (i64.add (local.get $number) (i64.const 1)))
          (if (local.get $semaphore)
            (then (drop (call $wait (local.get $semaphore) (local.get $number) (i64.const -1)))))
          (call $send (local.get $socket) (i32.const 0) (i32.wrap_i64 (local.get $answer)))
          (local.set $sent (i64.add (local.get $sent) (local.get $answer)))
          (br $piece)))
      (call $shutdown (local.get $socket) (i32.const 1))
      (local.set $answer (local.get $sent)))
    ;; Of 0 nothing is released.
    (call $release (local.get $socket))
    (call $release (local.get $file))
    (call $release (local.get $semaphore))
    (call $release (local.get $address))
    (call $release (local.get $path))
    (local.get $answer))

  (@custom "proact.conventions" "version 1\nimport file.open(ref, i32) -> ref?\n"
    "import file.read_at(ref, i64, out) -> i64\nimport semaphore.wait(ref, i64, i64) -> i32\n"
    "import socket.connect(ref) -> ref?\nimport socket.send(ref, in)\nimport socket.shutdown(ref, i32)\n"
    "export relay(ref, ref, ref) -> i64\n"))
