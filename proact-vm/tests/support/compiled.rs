//! The example programs as their compiler makes them.

use std::path::Path;
use std::process::Command;

use proact_vm::wasm::{Options, WasmModule};

/// Where they are.
pub const PROGRAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/programs");

/// A program of the folder; `None`, reported, where the compiler has no such target.
pub fn compiled(name: &str) -> Option<WasmModule> {
    let folder = std::env::temp_dir().join(format!("proact-vm-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let out = folder.join(name).with_extension("wasm");
    let source = Path::new(PROGRAMS).join(name).with_extension("rs");
    let built = Command::new("rustc")
        .args(["--edition", "2024", "--target", "wasm32-unknown-unknown", "--crate-type", "cdylib", "-O"])
        .args(["-C", "strip=symbols", "-o"])
        .args([&out, &source])
        .output();
    let built = match built {
        Ok(output) if output.status.success() => WasmModule::open(&out, Options::default()).map(Some),
        Ok(output) => {
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(told.contains("target may not be installed"), "{told}");
            Ok(None)
        }
        Err(_) => Ok(None),
    };
    std::fs::remove_dir_all(folder).expect("the folder goes");
    let built = built.unwrap_or_else(|error| panic!("{error}"));
    if built.is_none() {
        println!("SKIPPED the compiled program: there is no rustc for wasm32-unknown-unknown");
    }
    built
}
