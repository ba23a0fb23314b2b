//! Calls that hold their thread until they are over.

use std::cell::Cell;
use std::sync::Arc;

use super::{InvocationOptions, InvocationState};
use crate::context::{Context, Entry, Inside, Ticket, Turn};
use crate::convention::{pack, unpack};
use crate::error::Result;
use crate::machine::Machine;
use crate::module::{Function, Resumption};
use crate::value::{Inputs, Outputs};
use crate::wait::{WaitFrame, WaitSource};

thread_local! {
    /// What the last call on this thread lay in: the next one allocates nothing.
    static SPARE: Cell<Option<Box<InvocationState>>> = const { Cell::new(None) };
}

impl Context {
    /// Calls `function`, waits for its end, and appends its results to `outputs`.
    ///
    /// Waits within it park this thread. The function's failure carries a backtrace, and leaves `outputs` as they were;
    /// where `outputs` themselves take not all results, those before stay there.
    #[inline]
    pub fn invoke<I, O>(&self, function: &Function, inputs: &I, outputs: &mut O) -> Result
    where
        I: Inputs + ?Sized,
        O: Outputs + ?Sized,
    {
        self.invoke_within(None, function, inputs, outputs)
    }

    /// As [`Context::invoke`], within `options`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use proact::status::Code;
    /// use proact_vm::module::native::{Caller, NativeModule};
    /// use proact_vm::{Context, Instance, InvocationOptions};
    ///
    /// let bed = NativeModule::builder("bed")
    ///     .async_function("sleep", |caller: Caller<()>| async move { caller.sleep(Duration::from_secs(3600)).await })
    ///     .build()?;
    /// let context = Context::builder(&Instance::new()).module(bed).build()?;
    /// let options = InvocationOptions::new().deadline(Duration::from_millis(1));
    /// let late = context.invoke_with(&options, &context.lookup("bed.sleep")?, &(), &mut ()).unwrap_err();
    /// assert_eq!(late.code(), Code::DeadlineExceeded);
    /// # Ok::<(), proact_vm::Error>(())
    /// ```
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
        self.invoke_within(Some(options), function, inputs, outputs)
    }

    #[inline]
    fn invoke_within<I, O>(
        &self,
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
        let mut state = SPARE.take().unwrap_or_default();
        let machine = &mut state.machine;
        let convention = function.convention();
        if let Some(options) = options {
            options.apply(machine);
        }
        let result = match pack(convention.arguments(), inputs, &mut machine.arguments) {
            Ok(()) => {
                machine.id = self.call_id();
                machine.traced = self.is_traced() || options.is_some_and(|options| options.traced);
                self.run(machine, function).and_then(|()| unpack(convention.results(), &mut machine.results, outputs))
            }
            Err(error) => Err(error.about(function.name().to_string())),
        };
        machine.clear();
        if options.is_some() {
            InvocationOptions::default().apply(machine);
        }
        SPARE.set(Some(state));
        result
    }

    #[inline]
    fn run(&self, machine: &mut Machine, function: &Function) -> Result {
        /// Leaves, also when the function panics: then what is left of it ends first, still within the turn.
        struct Turned<'a> {
            context: &'a Context,
            machine: &'a mut Machine,
            _inside: Option<Inside>,
        }
        impl Drop for Turned<'_> {
            fn drop(&mut self) {
                self.machine.stack.clear();
                self.context.leave();
            }
        }
        match self.enter() {
            Entry::Now => {}
            Entry::Refused => return Err(self.is_busy()),
            Entry::Later(ticket) => self.wait_for_turn(machine, ticket)?,
        }
        let turned = Turned { context: self, machine, _inside: self.inside() };
        let stop = turned.machine.begin(function);
        turned.machine.block(stop)
    }

    /// Parks this thread until the ticket's turn has come, or the call's deadline.
    #[cold]
    fn wait_for_turn(&self, machine: &mut Machine, ticket: Arc<Ticket>) -> Result {
        self.check_outside().inspect_err(|_| self.give_up(&ticket))?;
        machine.wait = Some(WaitFrame::all([WaitSource::future(Turn(ticket.clone()))]));
        match machine.block_wait() {
            Resumption::Waited(Err(error)) => {
                self.give_up(&ticket);
                Err(machine.fail(error))
            }
            _ => Ok(()),
        }
    }
}
