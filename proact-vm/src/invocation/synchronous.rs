//! Calls that hold their thread until they are over: parked, or polling a proactor.

use std::cell::Cell;
use std::sync::Arc;

use proact::proactor::Proactor;

use super::{InvocationOptions, InvocationState};
use crate::context::{Context, Entry, Inside, Ticket, Turn};
use crate::convention::{pack, unpack};
use crate::error::Result;
use crate::machine::{Holder, Machine, Parks, Polls, Stop};
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
        self.invoke_within(None, Parks::default, function, inputs, outputs)
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
        self.invoke_within(Some(options), Parks::default, function, inputs, outputs)
    }

    /// As [`Context::invoke_with`], and polls `proactor` on this thread while the call waits or yields, instead of
    /// parking it: so operations of the proactor may be what is waited for, and its other operations go on, with their
    /// callbacks, meanwhile. The proactor's clock is that of the call's deadline and waits, whichever
    /// [`InvocationOptions::clock`] says; a simulated one goes on by being polled.
    ///
    /// A call that stops nowhere does not poll.
    ///
    /// # Errors
    /// As [`Context::invoke`], and what [`Proactor::poll`] answers: the call ends with it. In a simulated world that is
    /// `FAILED_PRECONDITION` for a wait that nothing in it will end.
    ///
    /// # Panics
    /// Goes on with the panic of a callback that the proactor delivers; the call is given up.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use proact::operation::Timer;
    /// use proact::proactor::Builder;
    /// use proact_vm::module::native::{Caller, NativeModule};
    /// use proact_vm::{Context, Error, Instance, InvocationOptions, Value};
    ///
    /// let mut proactor = Builder::new().build()?;
    /// let handle = proactor.handle().clone();
    /// let module = NativeModule::builder("m")
    ///     .async_function("later", move |_: Caller<()>, number: i32| {
    ///         let timer = handle.future(Timer::new(handle.clock().now() + Duration::from_millis(1)));
    ///         async move { timer.await.1.result.map(|_| number) }
    ///     })
    ///     .build()?;
    /// let context = Context::builder(&Instance::new()).module(module).build()?;
    /// let (later, mut outputs) = (context.lookup("m.later")?, Vec::new());
    /// let options = InvocationOptions::new().deadline(Duration::from_secs(60));
    /// context.invoke_polling(&mut proactor, &options, &later, &[Value::I32(7)], &mut outputs)?;
    /// assert_eq!(outputs, [Value::I32(7)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn invoke_polling<I, O>(
        &self,
        proactor: &mut Proactor,
        options: &InvocationOptions,
        function: &Function,
        inputs: &I,
        outputs: &mut O,
    ) -> Result
    where
        I: Inputs + ?Sized,
        O: Outputs + ?Sized,
    {
        let options = options.clone().clock(proactor.clock().clone());
        self.invoke_within(Some(&options), || Polls::new(proactor), function, inputs, outputs)
    }

    /// `holder` is what the thread does where the call stops.
    #[inline]
    fn invoke_within<H, I, O>(
        &self,
        options: Option<&InvocationOptions>,
        holder: impl FnOnce() -> H,
        function: &Function,
        inputs: &I,
        outputs: &mut O,
    ) -> Result
    where
        H: Holder,
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
                if machine.traced {
                    machine.tracing = self.tracing(options.is_some_and(|options| options.inline));
                }
                self.run(machine, holder, function)
                    .and_then(|()| unpack(convention.results(), &mut machine.results, outputs))
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
    fn run<H: Holder>(&self, machine: &mut Machine, holder: impl FnOnce() -> H, function: &Function) -> Result {
        /// Leaves, also when the function panics: then what is left of it ends first, still within the turn.
        struct Turned<'a> {
            context: &'a Context,
            machine: &'a mut Machine,
            _inside: Option<Inside>,
        }
        impl Drop for Turned<'_> {
            fn drop(&mut self) {
                if std::thread::panicking() {
                    self.machine.tell_given_up(None);
                }
                self.machine.stack.clear();
                self.context.leave();
            }
        }
        match self.enter() {
            Entry::Now => {
                let turned = Turned { context: self, machine, _inside: self.inside() };
                match turned.machine.begin(function) {
                    Stop::Done(result) => result,
                    stop => turned.machine.block(stop, &mut holder()),
                }
            }
            Entry::Refused => Err(machine.fail(self.is_busy())),
            Entry::Later(ticket) => {
                let mut holder = holder();
                self.wait_for_turn(machine, ticket, &mut holder)?;
                let turned = Turned { context: self, machine, _inside: self.inside() };
                let stop = turned.machine.begin(function);
                turned.machine.block(stop, &mut holder)
            }
        }
    }

    /// Holds this thread until the ticket's turn has come, or the call's deadline.
    #[cold]
    fn wait_for_turn(&self, machine: &mut Machine, ticket: Arc<Ticket>, holder: &mut impl Holder) -> Result {
        /// Gives the place up, also when a callback panics meanwhile.
        struct Line<'a>(&'a Context, Option<Arc<Ticket>>);
        impl Drop for Line<'_> {
            fn drop(&mut self) {
                if let Some(ticket) = self.1.take() {
                    self.0.give_up(&ticket);
                }
            }
        }
        let mut line = Line(self, Some(ticket.clone()));
        self.check_outside().map_err(|error| machine.fail(error))?;
        machine.wait = Some(WaitFrame::all([WaitSource::future(Turn(ticket))]));
        match holder.wait(machine) {
            Ok(Resumption::Waited(Err(error))) | Err(error) => Err(machine.fail(error)),
            Ok(_) => {
                line.1 = None;
                Ok(())
            }
        }
    }
}
