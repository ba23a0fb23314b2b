//! Calls that hold their thread until they are over.

use std::cell::Cell;

use super::{InvocationOptions, InvocationState};
use crate::context::Context;
use crate::convention::{pack, unpack};
use crate::error::Result;
use crate::module::Function;
use crate::value::{Inputs, Outputs};

thread_local! {
    /// What the last call on this thread lay in.
    static SPARE: Cell<Option<Box<InvocationState>>> = const { Cell::new(None) };
}

impl Context {
    /// Calls `function`, waits for its end, and appends its results to `outputs`.
    ///
    /// Waits within it park this thread. Its failure carries a backtrace, and leaves `outputs` as they were.
    #[inline]
    pub fn invoke<I, O>(&self, function: &Function, inputs: &I, outputs: &mut O) -> Result
    where
        I: Inputs + ?Sized,
        O: Outputs + ?Sized,
    {
        let mut state = SPARE.take().unwrap_or_default();
        let result = self.invoke_in(&mut state, None, function, inputs, outputs);
        SPARE.set(Some(state));
        result
    }

    /// As [`Context::invoke`], within `options`.
    pub fn invoke_with<I, O>(
        &self,
        options: &InvocationOptions,
        function: &Function,
        inputs: &I,
        outputs: &mut O,
    ) -> Result
    where
        I: Inputs + ?Sized,
        O: Outputs + ?Sized,
    {
        let mut state = InvocationState::new();
        self.invoke_in(&mut state, Some(options), function, inputs, outputs)
    }

    #[inline]
    fn invoke_in<I, O>(
        &self,
        state: &mut InvocationState,
        options: Option<&InvocationOptions>,
        function: &Function,
        inputs: &I,
        outputs: &mut O,
    ) -> Result
    where
        I: Inputs + ?Sized,
        O: Outputs + ?Sized,
    {
        self.check(function)?;
        let machine = &mut state.machine;
        let convention = function.convention();
        pack(convention.arguments(), inputs, &mut machine.arguments)?;
        if let Some(options) = options {
            options.apply(machine);
        }
        machine.id = self.call_id();
        let stop = machine.begin(function);
        let result = machine.block(stop).and_then(|()| unpack(convention.results(), &mut machine.results, outputs));
        machine.clear();
        result
    }
}
