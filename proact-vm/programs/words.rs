//! A program for the machine: counts the words of a text that it is lent piece by piece, and lets others run in
//! between. `words.wat` is the same in WebAssembly's own text form.
//!
//!     rustc --edition 2024 --target wasm32-unknown-unknown --crate-type cdylib -O -C strip=symbols words.rs
//!     proact inspect words.wasm
#![no_std]

/// What the functions take beyond numbers: see `proact_vm::wasm::conventions`.
const CONVENTIONS: &[u8] = b"version 1
import text.read(ref, i64, out) -> i64?
export count(ref) -> i64
";

#[used]
// SAFETY: the section holds nothing but bytes, and no one else reads it as anything else.
#[unsafe(link_section = "proact.conventions")]
static SECTION: [u8; CONVENTIONS.len()] = *CONVENTIONS.first_chunk().expect("as long as itself");

#[link(wasm_import_module = "text")]
// SAFETY: the types are those of the convention above, as WebAssembly has them.
unsafe extern "C" {
    /// Copies what stands at `offset` of the text to `to`: how many bytes; 0 at the end, less for a failure.
    fn read(text: i32, offset: i64, to: *mut u8, length: usize) -> i64;
}

#[link(wasm_import_module = "proact")]
// SAFETY: the types are those that the machine documents.
unsafe extern "C" {
    safe fn release(handle: i32);
    #[link_name = "yield"]
    safe fn let_others_run();
}

/// How many words the text has, or the negated code of a failure to read it.
// SAFETY: no other function of the program has this name.
#[unsafe(no_mangle)]
pub extern "C" fn count(text: i32) -> i64 {
    let mut piece = [0; 64];
    let (mut offset, mut words, mut within) = (0, 0, false);
    let end = loop {
        // SAFETY: the address and length are those of `piece`, which lives longer than the call.
        let length = unsafe { read(text, offset, piece.as_mut_ptr(), piece.len()) };
        if length <= 0 {
            break length;
        }
        for byte in piece.iter().take(length as usize) {
            let blank = byte.is_ascii_whitespace();
            words += i64::from(within && blank);
            within = !blank;
        }
        offset += length;
        let_others_run();
    };
    release(text);
    if end < 0 { end } else { words + i64::from(within) }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
