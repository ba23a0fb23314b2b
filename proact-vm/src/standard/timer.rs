//! `timer`: the call's clock, and waits until a time on it.

use std::sync::Arc;
use std::time::Duration;

use super::argument::{signed, wide};
use crate::error::{Error, Result};
use crate::module::native::{Caller, NativeModule};
use proact::time::Time;

pub(super) fn module() -> Result<Arc<NativeModule<()>>> {
    NativeModule::builder("timer")
        .raw_function("now", "0_I", |_, call| {
            let now = call.clock().now();
            call.answer(signed(now.as_nanoseconds()))
        })
        .async_function("sleep_until", |caller: Caller<()>, time: i64| async move {
            caller.sleep_until(Time::from_nanoseconds(wide(time, "a time of")?)).await
        })
        .async_function("sleep", |caller: Caller<()>, nanoseconds: i64| async move {
            let duration = Duration::from_nanos(wide(nanoseconds, "a sleep of")?);
            caller.sleep(duration).await?;
            Ok::<_, Error>(())
        })
        .build()
}
