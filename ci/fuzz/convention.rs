//! Any text at all, to the parser of calling conventions: an error, or something that is spelled the same for ever, and
//! whose size is told for any spans.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proact_vm::convention::{Convention, Item};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(convention) = text.parse::<Convention>() else { return };
    assert_eq!(convention.to_string().parse::<Convention>().expect("its own spelling"), convention);
    assert!(!convention.results().is_variadic());
    let arguments = convention.arguments();
    let spans = arguments.items().iter().filter(|item| matches!(item, Item::Span(_))).count();
    assert_eq!(arguments.count().is_ok(), spans == 0);
    let lengths = vec![bytes.len(); spans];
    assert!(arguments.size(&lengths).expect("a length for each span") <= text.len() * bytes.len().max(1) * 16 + 16);
    assert!(spans == 0 || arguments.size(&lengths[1..]).is_err());
});
