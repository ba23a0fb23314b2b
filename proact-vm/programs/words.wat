;; Counts the words of a text that it is lent piece by piece, and lets others run in between: words.rs by hand.
(module
  (import "text" "read" (func $read
    (param $text i32) (param $offset i64) (param $to i32) (param $length i32) (result i64)))
  (import "proact" "release" (func $release (param $handle i32)))
  (import "proact" "yield" (func $let_others_run))
  (memory (export "memory") 1)

  (func (export "count") (param $text i32) (result i64)
    (local $offset i64) (local $words i64) (local $within i32)
    (local $length i64) (local $at i32) (local $byte i32) (local $blank i32)
    (block $end
      (loop $piece
        (local.set $length (call $read (local.get $text) (local.get $offset) (i32.const 0) (i32.const 64)))
        (br_if $end (i64.le_s (local.get $length) (i64.const 0)))
        (local.set $at (i32.const 0))
        (loop $next
          (local.set $byte (i32.load8_u (local.get $at)))
          ;; A space, or tab, line feed, form feed or carriage return, but not the vertical tab between them.
          (local.set $blank (i32.or
            (i32.eq (local.get $byte) (i32.const 32))
            (i32.and
              (i32.le_u (i32.sub (local.get $byte) (i32.const 9)) (i32.const 4))
              (i32.ne (local.get $byte) (i32.const 11)))))
          (local.set $words (i64.add (local.get $words)
            (i64.extend_i32_u (i32.and (local.get $within) (local.get $blank)))))
          (local.set $within (i32.eqz (local.get $blank)))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br_if $next (i64.lt_u (i64.extend_i32_u (local.get $at)) (local.get $length))))
        (local.set $offset (i64.add (local.get $offset) (local.get $length)))
        (call $let_others_run)
        (br $piece)))
    (call $release (local.get $text))
    (if (result i64) (i64.lt_s (local.get $length) (i64.const 0))
      (then (local.get $length))
      (else (i64.add (local.get $words) (i64.extend_i32_u (local.get $within))))))

  (@custom "proact.conventions" "version 1\nimport text.read(ref, i64, out) -> i64?\nexport count(ref) -> i64\n"))
