//! The protocol of Redis: requests as they come, replies as they go.

/// Bytes of one request at most, with all that belongs to it.
pub const REQUEST_MAX: usize = 16 << 20;
/// Arguments of one request at most.
const ARGUMENTS_MAX: usize = 1 << 16;
/// Bytes of a line at most: of a number, or of a request as people type it.
const LINE_MAX: usize = 1 << 16;

/// A command and its arguments.
pub type Request<'a> = Vec<&'a [u8]>;

/// What breaks the protocol. After it nothing of the connection can be understood.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed(pub &'static str);

/// The first request of `input`, and how many bytes it takes. `None`: more has to come.
///
/// A request is an array of strings (`*1\r\n$4\r\nPING\r\n`), or a line as people type it (`PING\r\n`). An empty one
/// has no arguments, and is to be passed over.
pub fn parse(input: &[u8]) -> Result<Option<(Request<'_>, usize)>, Malformed> {
    let Some((line, mut at)) = line(input, 0)? else { return Ok(None) };
    let Some(count) = line.strip_prefix(b"*") else {
        let words = line.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty());
        return Ok(Some((words.collect(), at)));
    };
    let count = number(count, ARGUMENTS_MAX).ok_or(Malformed("invalid multibulk length"))?;
    let mut request = Vec::with_capacity(count.min(16));
    for _ in 0..count {
        let Some((length, start)) = self::line(input, at)? else { return Ok(None) };
        let length = length.strip_prefix(b"$").ok_or(Malformed("expected '$'"))?;
        let length = number(length, REQUEST_MAX).ok_or(Malformed("invalid bulk length"))?;
        let end = start + length;
        if end > REQUEST_MAX {
            return Err(Malformed("the request is too long"));
        }
        let Some(after) = input.get(end..end + 2) else { return Ok(None) };
        if after != b"\r\n" {
            return Err(Malformed("a string without its end"));
        }
        request.push(&input[start..end]);
        at = end + 2;
    }
    Ok(Some((request, at)))
}

/// The line at `at`, without its end, and where the next begins.
fn line(input: &[u8], at: usize) -> Result<Option<(&[u8], usize)>, Malformed> {
    let rest = &input[at..];
    match rest.iter().take(LINE_MAX).position(|&byte| byte == b'\n') {
        Some(end) => Ok(Some((rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]), at + end + 1))),
        None if rest.len() < LINE_MAX => Ok(None),
        None => Err(Malformed("too big inline request")),
    }
}

/// A count, in decimal digits and nothing else, of at most `max`.
fn number(digits: &[u8], max: usize) -> Option<usize> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok().filter(|&number| number <= max)
}

/// A string that is a state or a fault: one line.
pub fn simple(output: &mut Vec<u8>, mark: char, text: &str) {
    // A line's end within would be understood as the next reply.
    let line = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    output.extend(std::iter::once(mark).chain(line).collect::<String>().bytes().chain(*b"\r\n"));
}

/// A whole number.
pub fn integer(output: &mut Vec<u8>, value: i64) {
    output.extend_from_slice(format!(":{value}\r\n").as_bytes());
}

/// A string of bytes, or that there is none.
pub fn bulk(output: &mut Vec<u8>, value: Option<&[u8]>) {
    let Some(value) = value else { return output.extend_from_slice(b"$-1\r\n") };
    output.extend_from_slice(format!("${}\r\n", value.len()).as_bytes());
    output.extend_from_slice(value);
    output.extend_from_slice(b"\r\n");
}

/// The head of an array: so many replies follow.
pub fn array(output: &mut Vec<u8>, length: usize) {
    output.extend_from_slice(format!("*{length}\r\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_understood_when_the_last_of_its_bytes_is_there() {
        let whole = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\na\r\nb\r\nPING\r\n";
        let first = whole.len() - 6;
        for length in 0..first {
            assert_eq!(parse(&whole[..length]), Ok(None), "after {length} bytes");
        }
        assert_eq!(parse(whole), Ok(Some((vec![b"SET".as_slice(), b"k", b"a\r\nb"], first))));
        assert_eq!(parse(&whole[first..]), Ok(Some((vec![b"PING".as_slice()], 6))));
        assert_eq!(parse(b" get  k\n"), Ok(Some((vec![b"get".as_slice(), b"k"], 8))));
        assert_eq!(parse(b"*0\r\n"), Ok(Some((vec![], 4))));
    }

    #[test]
    fn what_breaks_the_protocol_is_refused_before_it_is_held() {
        let long = [b"*1\r\n$".as_slice(), b"99999999\r\n"].concat();
        let line = vec![b'x'; LINE_MAX];
        for input in [b"*x\r\n".as_slice(), b"*-1\r\n", b"*99999999\r\n", b"*1\r\n+3\r\n", &long, &line] {
            assert!(parse(input).is_err(), "{:?}", String::from_utf8_lossy(&input[..input.len().min(30)]));
        }
        assert!(parse(b"*1\r\n$1\r\nabc\r\n").is_err());
        let two = [b"*2\r\n$16777216\r\n".as_slice(), &vec![0; REQUEST_MAX]].concat();
        assert!(parse(&two).is_err(), "together longer than a request may be");
    }

    #[test]
    fn a_fault_is_one_line_whatever_it_says() {
        let mut output = Vec::new();
        simple(&mut output, '-', "ERR a\r\n+OK");
        assert_eq!(output, b"-ERR a  +OK\r\n");
    }
}
