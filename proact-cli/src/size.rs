//! Sizes and durations as people type them.

use std::time::Duration;

/// Bytes in a KiB.
pub const KIB: u64 = 1 << 10;
/// Bytes in a MiB.
pub const MIB: u64 = 1 << 20;
/// Bytes in a GiB.
pub const GIB: u64 = 1 << 30;

/// Reads a size: a whole number with an optional unit. `KiB`, `MiB`, `GiB` and their short forms `K`, `M`, `G` count
/// by 1024; `kB`, `MB`, `GB` by 1000; none and `B` are bytes. Case does not matter.
///
/// # Errors
/// What is wrong with the text, in words.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text)?;
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => KIB,
        "m" | "mib" => MIB,
        "g" | "gib" => GIB,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return Err(format!("{unit:?} is no unit of size: use B, KiB, MiB or GiB")),
    };
    number.checked_mul(factor).ok_or_else(|| String::from("that size does not fit in 64 bits"))
}

/// Reads a duration: a whole number with a unit, `ms`, `s`, `m` or `h`; without one it is seconds.
///
/// # Errors
/// What is wrong with the text, in words.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text)?;
    let milliseconds = match unit.to_ascii_lowercase().as_str() {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => return Err(format!("{unit:?} is no unit of time: use ms, s, m or h")),
    };
    let milliseconds = number.checked_mul(milliseconds).ok_or_else(|| String::from("that duration is too long"))?;
    Ok(Duration::from_millis(milliseconds))
}

/// Splits `1 MiB` into its number and its unit.
fn split(text: &str) -> Result<(u64, &str), String> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    if number.is_empty() {
        return Err(String::from("a whole number is expected, with an optional unit"));
    }
    let number = number.parse().map_err(|_| String::from("that number does not fit in 64 bits"))?;
    Ok((number, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_binary_decimal_and_no_units() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("17B", 17),
            ("64KiB", 65536),
            ("64 kib", 65536),
            ("1MiB", MIB),
            ("1m", MIB),
            ("2G", 2 * GIB),
            ("1MB", 1_000_000),
            (" 3kB ", 3000),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text:?}");
        }
    }

    #[test]
    fn a_size_that_makes_no_sense_is_refused_with_the_reason() {
        for text in ["", "MiB", "-1", "1.5MiB", "1XiB", "1 MiB MiB", "18446744073709551616", "18446744073709551615KiB"]
        {
            assert!(parse_size(text).is_err(), "{text:?}");
        }
        assert!(parse_size("5 parsecs").unwrap_err().contains("\"parsecs\" is no unit of size"));
    }

    #[test]
    fn durations_are_read_with_their_units() {
        for (text, milliseconds) in
            [("30", 30_000), ("30s", 30_000), ("250ms", 250), ("2m", 120_000), ("1h", 3_600_000)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text:?}");
        }
        for text in ["", "s", "1d", "1.5s", "-1s", "18446744073709551615h"] {
            assert!(parse_duration(text).is_err(), "{text:?}");
        }
    }
}
