//! A program for the machine: sends a file to an address, piece by piece, each when a semaphore says that it may go.
//! `relay.wat` is the same in WebAssembly's own text form.
//!
//!     rustc --edition 2024 --target wasm32-unknown-unknown --crate-type cdylib -O -C strip=symbols relay.rs
//!     proact inspect relay.wasm
//!     proact run relay.wasm --function relay --dir data=. --connect 127.0.0.1:7000 \
//!         --input data/relay.rs 127.0.0.1:7000 null
#![no_std]

/// What the functions take beyond numbers: see `proact_vm::wasm::conventions`.
const CONVENTIONS: &[u8] = b"version 1
import file.open(ref, i32) -> ref?
import file.read_at(ref, i64, out) -> i64
import semaphore.wait(ref, i64, i64) -> i32
import socket.connect(ref) -> ref?
import socket.send(ref, in)
import socket.shutdown(ref, i32)
export relay(ref, ref, ref) -> i64
";

#[used]
// SAFETY: the section holds nothing but bytes, and no one else reads it as anything else.
#[unsafe(link_section = "proact.conventions")]
static SECTION: [u8; CONVENTIONS.len()] = *CONVENTIONS.first_chunk().expect("as long as itself");

#[link(wasm_import_module = "file")]
// SAFETY: the types are those of the convention above, as WebAssembly has them.
unsafe extern "C" {
    safe fn open(path: i32, flags: i32) -> i32;
    fn read_at(file: i32, offset: i64, to: *mut u8, length: usize) -> i64;
}

#[link(wasm_import_module = "semaphore")]
// SAFETY: as above.
unsafe extern "C" {
    safe fn wait(semaphore: i32, value: i64, deadline: i64) -> i32;
}

#[link(wasm_import_module = "socket")]
// SAFETY: as above.
unsafe extern "C" {
    safe fn connect(address: i32) -> i32;
    fn send(socket: i32, from: *const u8, length: usize);
    safe fn shutdown(socket: i32, direction: i32);
}

#[link(wasm_import_module = "proact")]
// SAFETY: the types are those that the machine documents.
unsafe extern "C" {
    safe fn release(handle: i32);
}

const READ: i32 = 1;
const SENDING: i32 = 1;
const NO_DEADLINE: i64 = -1;

/// A handle that is ours: given up when it is dropped.
struct Handle(i32);

impl Drop for Handle {
    fn drop(&mut self) {
        release(self.0);
    }
}

/// Sends the file at `path` to `address`: how many bytes went, or the negated code of a failure to open or connect;
/// other failures end the call. Piece n goes when `semaphore` has reached n, at once where it is null.
// SAFETY: no other function of the program has this name.
#[unsafe(no_mangle)]
pub extern "C" fn relay(path: i32, address: i32, semaphore: i32) -> i64 {
    match relay_all(&Handle(path), &Handle(address), &Handle(semaphore)) {
        Ok(sent) => sent,
        Err(code) => code,
    }
}

fn relay_all(path: &Handle, address: &Handle, semaphore: &Handle) -> Result<i64, i64> {
    let file = handle(open(path.0, READ))?;
    let socket = handle(connect(address.0))?;
    let mut piece = [0; 4096];
    let (mut sent, mut number) = (0, 0);
    loop {
        // SAFETY: the address and length are those of `piece`, which lives longer than the call.
        let length = unsafe { read_at(file.0, sent, piece.as_mut_ptr(), piece.len()) };
        if length == 0 {
            break;
        }
        number += 1;
        if semaphore.0 != 0 {
            wait(semaphore.0, number, NO_DEADLINE);
        }
        // SAFETY: no more is sent than was read into `piece`.
        unsafe { send(socket.0, piece.as_ptr(), length as usize) };
        sent += length;
    }
    shutdown(socket.0, SENDING);
    Ok(sent)
}

fn handle(answer: i32) -> Result<Handle, i64> {
    if answer < 0 { Err(answer.into()) } else { Ok(Handle(answer)) }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
