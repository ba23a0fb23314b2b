//! Words of others, as they are shown: what would steer a terminal is spelled out, and not done.

/// On one line: a name of a program's function may hold anything.
pub fn line(text: &str) -> String {
    spelled(text, |character| character == '\t')
}

/// On as many lines as there are.
pub fn lines(text: &str) -> String {
    spelled(text, |character| matches!(character, '\t' | '\n'))
}

fn spelled(text: &str, is_meant: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            character if is_meant(character) => shown.push(character),
            character if steers(character) => shown.extend(character.escape_default()),
            character => shown.push(character),
        }
    }
    shown
}

/// Control characters, and those that turn the direction of what stands behind them.
fn steers(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_spelled_out() {
        assert_eq!(line("a\tb\nc\x1b[31m\u{7f}\u{9b}"), "a\tb\\nc\\u{1b}[31m\\u{7f}\\u{9b}");
        assert_eq!(lines("a\nb\r\u{202e}c"), "a\nb\\r\\u{202e}c");
        assert_eq!(line("größer 漢字"), "größer 漢字");
    }
}
