//! `semaphore`: timeline semaphores, as programs make, signal and wait for them.

use std::sync::Arc;

use proact::causal::Frontier;
use proact::status::{Code, Operation, Status};
use proact::sync::Semaphore;

use super::DEADLINE;
use super::argument::{deadline, signed, text, wide};
use super::quota::{Quota, frontier_bytes};
use crate::error::{Error, Result};
use crate::module::native::{Caller, NativeModule};
use crate::value::{Buffer, List};
use crate::wait::{WaitFrame, WaitKind, WaitSource};

type State = Arc<Quota>;

/// Semaphores in one wait at most.
const WAITS_MAX: usize = 1 << 12;

fn value_of(value: i64) -> Result<u64> {
    wide(value, "a value of")
}

/// What a program calls a failure: one of the codes.
fn code(number: i32) -> Result<Code> {
    const ALL: [Code; 15] = [
        Code::Cancelled,
        Code::Unknown,
        Code::InvalidArgument,
        Code::DeadlineExceeded,
        Code::NotFound,
        Code::AlreadyExists,
        Code::PermissionDenied,
        Code::ResourceExhausted,
        Code::FailedPrecondition,
        Code::Aborted,
        Code::OutOfRange,
        Code::Unimplemented,
        Code::Internal,
        Code::Unavailable,
        Code::DataLoss,
    ];
    let found = ALL.into_iter().find(|code| *code as i32 == number);
    found.ok_or_else(|| Error::invalid(format!("{number} is no failure's code: 1 to 15 are")))
}

/// Waits, and tells the program's own deadline apart from failures and from the deadline of its call.
async fn wait(caller: &Caller<State>, frame: WaitFrame, nanoseconds: i64) -> Result<i32> {
    let Some(own) = deadline(nanoseconds) else {
        return caller.wait(frame).await.map(|index| index as i32);
    };
    match caller.wait(frame.deadline(own)).await {
        Ok(index) => Ok(index as i32),
        // A semaphore may have failed with the same code: then there is a status.
        Err(error) if error.code() == Code::DeadlineExceeded && error.status().is_none() => {
            match caller.deadline().is_none_or(|call| own <= call) {
                true => Ok(DEADLINE),
                false => Err(error),
            }
        }
        Err(error) => Err(error),
    }
}

/// The semaphores of one list, each with the value at the same place of the other.
fn sources(semaphores: &List, values: &List) -> Result<Vec<WaitSource>> {
    let count = semaphores.len();
    if count != values.len() {
        return Err(Error::invalid(format!("{count} semaphores and {} values", values.len())));
    }
    if count > WAITS_MAX {
        let message = format!("a wait for {count} semaphores, of {WAITS_MAX} at most");
        return Err(Error::new(Code::ResourceExhausted, message));
    }
    let source = |index| {
        let semaphore = semaphores.get_ref(index)?.into_cast::<Semaphore>()?;
        Ok(WaitSource::semaphore(&semaphore, value_of(values.get_i64(index)?)?))
    };
    (0..count).map(|index| source(index).map_err(|error: Error| error.about(format!("element {index}")))).collect()
}

async fn wait_many(
    caller: Caller<State>,
    kind: WaitKind,
    semaphores: Arc<List>,
    values: Arc<List>,
    deadline: i64,
) -> Result<i32> {
    let sources = sources(&semaphores, &values)?;
    drop((semaphores, values));
    match kind {
        WaitKind::Any if sources.is_empty() => Err(Error::invalid("a wait for any of no semaphores")),
        WaitKind::Any => wait(&caller, WaitFrame::any(sources), deadline).await,
        _ => wait(&caller, WaitFrame::all(sources), deadline).await,
    }
}

pub(super) fn module(quota: &Arc<Quota>) -> Result<Arc<NativeModule<State>>> {
    let quota = quota.clone();
    NativeModule::with_state("semaphore", move || Ok(quota.clone()))
        .fork(|quota| Ok(quota.clone()))
        .function("create", |quota: &State, initial: i64| {
            let initial = value_of(initial)?;
            quota.make(super::quota::SEMAPHORE_BYTES, || Ok(Semaphore::new(initial)))
        })
        .function("value", |_: &State, semaphore: Arc<Semaphore>| signed(semaphore.value()))
        .function("status", |_: &State, semaphore: Arc<Semaphore>| {
            semaphore.status().map_or(0, |status| -(status.code() as i32))
        })
        .function("signal", |_: &State, semaphore: Arc<Semaphore>, value: i64, causes: Option<Arc<Frontier>>| {
            semaphore.signal(value_of(value)?, causes.as_deref()).map_err(Error::from)
        })
        .function("causes", |quota: &State, semaphore: Arc<Semaphore>, value: i64| {
            let causes = semaphore.causes(value_of(value)?);
            // What is only a part of the causes is none that may be waited for.
            let causes = causes.and_then(|causes| causes.requirement().cloned());
            let made = |causes: Frontier| quota.make(frontier_bytes(&causes), || Ok(causes));
            causes.map(made).transpose()
        })
        .function("fail", |quota: &State, semaphore: Arc<Semaphore>, number: i32, words: Arc<Buffer>| {
            let (code, words) = (code(number)?, text(&words, "a text")?);
            // The semaphore keeps them.
            quota.charge(words.len())?;
            Ok::<_, Error>(semaphore.fail(Status::new(code, Operation::SemaphoreSignal).with_message(words)))
        })
        .async_function(
            "wait",
            |caller: Caller<State>, semaphore: Arc<Semaphore>, value: i64, deadline: i64| async move {
                let source = WaitSource::semaphore(&semaphore, value_of(value)?);
                wait(&caller, WaitFrame::all([source]), deadline).await
            },
        )
        .async_function("wait_any", |caller: Caller<State>, semaphores: Arc<List>, values: Arc<List>, deadline: i64| {
            wait_many(caller, WaitKind::Any, semaphores, values, deadline)
        })
        .async_function("wait_all", |caller: Caller<State>, semaphores: Arc<List>, values: Arc<List>, deadline: i64| {
            wait_many(caller, WaitKind::All, semaphores, values, deadline)
        })
        .build()
}
