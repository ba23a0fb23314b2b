//! `log`: words for the host.

use std::fmt;
use std::sync::Arc;

use super::argument::text;
use crate::convention::Argument;
use crate::error::{CallId, Error, Result};
use crate::module::native::NativeModule;
use crate::value::Buffer;

/// How much something that a program logs matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(i32)]
pub enum LogLevel {
    /// Each step.
    Trace = 0,
    /// For who looks for a fault.
    Debug = 1,
    /// What was done.
    Info = 2,
    /// What may be wrong.
    Warn = 3,
    /// What is wrong.
    Error = 4,
}

impl LogLevel {
    const ALL: [LogLevel; 5] = [LogLevel::Trace, LogLevel::Debug, LogLevel::Info, LogLevel::Warn, LogLevel::Error];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            LogLevel::Trace => "trace",
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warn => "warn",
            LogLevel::Error => "error",
        }
    }

    fn of(number: i32) -> Result<LogLevel> {
        let found = usize::try_from(number).ok().and_then(|number| LogLevel::ALL.get(number));
        found.copied().ok_or_else(|| Error::invalid(format!("level {number}: 0 (trace) to 4 (error) are known")))
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Something that a program has logged.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct LogRecord<'a> {
    /// The call that it was in.
    pub call: CallId,
    /// How much it matters.
    pub level: LogLevel,
    /// The program's words, as it said them: they may hold lines and control characters.
    pub text: &'a str,
}

/// Who hears it.
#[derive(Clone)]
pub(super) struct Sink {
    pub(super) least: LogLevel,
    pub(super) write: Arc<dyn Fn(&LogRecord<'_>) + Send + Sync>,
}

impl Sink {
    fn hears(this: &Option<Sink>, level: LogLevel) -> Option<&Sink> {
        this.as_ref().filter(|sink| level >= sink.least)
    }
}

pub(super) fn module(sink: Option<Sink>) -> Result<Arc<NativeModule<Option<Sink>>>> {
    NativeModule::with_state("log", move || Ok(sink.clone()))
        .fork(|sink| Ok(sink.clone()))
        .function("is_enabled", |sink: &Option<Sink>, level: i32| {
            LogLevel::of(level).map(|level| Sink::hears(sink, level).is_some())
        })
        .raw_function("write", "0ir", |sink, call| {
            let mut arguments = call.arguments();
            let level = LogLevel::of(i32::take(&mut arguments)?)?;
            let buffer = <Arc<Buffer> as Argument>::take(&mut arguments)?;
            // What is wrong with it does not depend on who hears it.
            let text = text(&buffer, "a text")?;
            if let Some(sink) = Sink::hears(sink, level) {
                (sink.write)(&LogRecord { call: call.id(), level, text: &text });
            }
            call.answer(())
        })
        .build()
}
