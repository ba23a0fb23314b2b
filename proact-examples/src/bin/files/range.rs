//! What part of a file a request asks for: RFC 9110, section 14.

use std::ops::Range;

/// What to answer to a `Range` header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Asked {
    /// All of it: no range that is understood. To that belong several ranges at once, which a server may leave out.
    Whole,
    /// This part, which is not empty.
    Part(Range<u64>),
    /// Nothing of it lies within the file.
    Outside,
}

/// What a header asks for of a file of `length` bytes.
pub fn asked(header: Option<&str>, length: u64) -> Asked {
    let Some(range) = header.and_then(|header| header.trim().strip_prefix("bytes=")) else { return Asked::Whole };
    let Some((first, last)) = range.trim().split_once('-') else { return Asked::Whole };
    match (number(first), number(last)) {
        // The last so many bytes.
        (None, Some(count)) if first.is_empty() => match count.min(length) {
            0 => Asked::Outside,
            count => Asked::Part(length - count..length),
        },
        (Some(first), None) if last.is_empty() && first < length => Asked::Part(first..length),
        (Some(first), None) if last.is_empty() && first >= length => Asked::Outside,
        (Some(first), Some(last)) if first <= last && first < length => {
            Asked::Part(first..length.min(last.saturating_add(1)))
        }
        (Some(first), Some(last)) if first <= last => Asked::Outside,
        _ => Asked::Whole,
    }
}

/// Digits and nothing else. More than fit are as good as the most that do.
fn number(digits: &str) -> Option<u64> {
    let valid = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    valid.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_understood_as_the_standard_has_it() {
        for (header, answer) in [
            ("bytes=0-0", Asked::Part(0..1)),
            ("bytes=2-5", Asked::Part(2..6)),
            ("bytes=2-", Asked::Part(2..10)),
            ("bytes=-3", Asked::Part(7..10)),
            ("bytes=-30", Asked::Part(0..10)),
            ("bytes=9-99999999999999999999999", Asked::Part(9..10)),
            ("bytes=10-", Asked::Outside),
            ("bytes=10-11", Asked::Outside),
            ("bytes=-0", Asked::Outside),
            ("bytes=5-2", Asked::Whole),
            ("bytes=-", Asked::Whole),
            ("bytes=+1-2", Asked::Whole),
            ("bytes=0-1,3-4", Asked::Whole),
            ("lines=0-1", Asked::Whole),
        ] {
            assert_eq!(asked(Some(header), 10), answer, "{header}");
        }
        assert_eq!(asked(None, 10), Asked::Whole);
        assert_eq!(asked(Some("bytes=0-"), 0), Asked::Outside);
    }
}
