//! What a program holds is bounded by what it is allowed, however it goes about it: memory is counted for the whole
//! process, so one test runs at a time.

use std::alloc::System;
use std::sync::{Arc, Mutex, PoisonError};

use proact::causal::{Axis, Entry, Frontier};
use proact::proactor::{Builder, ProactorThread};
use proact::status::Code;
use proact::sync::Semaphore;
use proact_vm::standard::{self, DirectoryAccess, Grants, Host, Limits};
use proact_vm::{Access, Buffer, Context, ElementType, Error, Instance, List, Ref, Value};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What the programs of these tests may hold.
const ALLOWED: usize = 1 << 20;
/// What is there besides: lists of references that the test keeps, and what the process keeps for itself.
const SLACK: usize = 1 << 20;

static ALONE: Mutex<()> = Mutex::new(());

fn held() -> isize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated as isize - stats.bytes_deallocated as isize
}

fn context(host: Host) -> Context {
    let limits = Limits { bytes_max: ALLOWED, ..Limits::default() };
    let modules = standard::modules(&host.limits(limits)).unwrap_or_else(|error| panic!("{error}"));
    let builder = Context::builder(&Instance::new());
    modules.into_iter().fold(builder, |builder, module| builder.module(module)).build().unwrap()
}

fn call<const N: usize>(context: &Context, function: &str, inputs: [Value; N]) -> Result<Value, Error> {
    let mut outputs = Vec::new();
    context.invoke(&context.lookup(function)?, &inputs, &mut outputs)?;
    Ok(outputs.pop().unwrap_or(Value::None))
}

/// Makes things as a program does that keeps each, until it is told to stop; what they take is within the bound.
#[track_caller]
fn keeps(times: usize, mut make: impl FnMut() -> Result<Value, Error>) {
    let before = held();
    let mut kept = Vec::with_capacity(times);
    let mut stopped = None;
    for _ in 0..times {
        match make() {
            Ok(value) => kept.push(value),
            Err(error) => {
                stopped = Some(error.code());
                break;
            }
        }
    }
    let grown = held() - before - (times * size_of::<Value>()) as isize;
    assert_eq!(stopped, Some(Code::ResourceExhausted), "{} things of {grown} bytes in all", kept.len());
    assert!(grown <= (ALLOWED + SLACK) as isize, "{} things take {grown} bytes", kept.len());
    // With them goes what they took.
    kept.clear();
    kept.push(make().unwrap_or_else(|error| panic!("room again: {error}")));
}

#[test]
fn lists_that_were_long_once_do_not_keep_what_is_not_counted() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let context = context(Host::new());
    // Made long, and short again: a list keeps its room, unless it gives that back.
    let before = held();
    let mut kept = Vec::new();
    for _ in 0..64 {
        let Ok(list) = call(&context, "list.create", [Value::I32(1)]) else { break };
        if call(&context, "list.resize", [list.clone(), Value::I32(ALLOWED as i32 / 2)]).is_err() {
            break;
        }
        call(&context, "list.resize", [list.clone(), Value::I32(1)]).unwrap();
        kept.push(list);
    }
    let grown = held() - before;
    assert!(grown <= (ALLOWED + SLACK) as isize, "{} short lists take {grown} bytes", kept.len());
    assert!(kept.len() == 64, "what they gave back could be had again: {}", kept.len());
    // The same by taking out what was put in: the room stays, and counts.
    kept.clear();
    let before = held();
    let refs = Value::from(Arc::new(List::new(ElementType::Ref)));
    for _ in 0..64 {
        let Ok(list) = call(&context, "list.create", [Value::I32(0)]) else { break };
        let pushed = (0..ALLOWED / 64).try_for_each(|number| {
            call(&context, "list.push_i32", [list.clone(), Value::I32(number as i32)]).map(drop)
        });
        for _ in 0..call(&context, "list.length", [list.clone()]).map_or(0, |length| length.i32().unwrap()) {
            call(&context, "list.pop_i32", [list.clone()]).unwrap();
        }
        kept.push(list);
        if pushed.is_err() {
            break;
        }
    }
    drop(refs);
    let grown = held() - before;
    assert!(grown <= (ALLOWED + SLACK) as isize, "{} empty lists take {grown} bytes", kept.len());
}

#[test]
fn semaphores_that_failed_keep_words_that_count() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let context = context(Host::new());
    let words: Value = Ref::new(Buffer::new(vec![b'w'; 1 << 16], Access::ReadOnly)).into();
    keeps(1_000, || {
        let semaphore = call(&context, "semaphore.create", [Value::I64(0)])?;
        call(&context, "semaphore.fail", [semaphore.clone(), Value::I32(13), words.clone()])?;
        Ok(semaphore)
    });
}

#[test]
fn frontiers_that_are_asked_for_count() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let context = context(Host::new());
    let entries: Vec<Entry> = (0..200u8).map(|index| Entry::new(Axis::queue(1, 1, 1, index), 7)).collect();
    let causes = Frontier::from_entries(&entries).unwrap();
    let semaphore = Arc::new(Semaphore::new(0));
    semaphore.signal(1, Some(&causes)).unwrap();
    keeps(10_000, || call(&context, "semaphore.causes", [semaphore.clone().into(), Value::I64(1)]));
}

#[test]
fn files_that_were_closed_count_as_long_as_they_are_held() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let thread = ProactorThread::spawn(Builder::new()).unwrap();
    let directory = std::env::temp_dir().join(format!("proact-vm-bounds-{}", std::process::id()));
    let name = "n".repeat(200);
    let deep = std::iter::repeat_n(name.as_str(), 15).collect::<Vec<_>>().join("/");
    std::fs::create_dir_all(directory.join(&deep)).unwrap();
    std::fs::write(directory.join(&deep).join("file"), b"").unwrap();
    let grants = Grants::new().directory("data", &directory, DirectoryAccess::ReadOnly);
    let context = context(Host::new().grant(thread.handle(), grants));
    let path: Value = Ref::new(Buffer::new(format!("data/{deep}/file").into_bytes(), Access::ReadOnly)).into();
    keeps(2_000, || {
        let file = call(&context, "file.open", [path.clone(), Value::I32(1)])?;
        call(&context, "file.close", [file.clone()])?;
        Ok(file)
    });
    drop(context);
    thread.join().unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
}
