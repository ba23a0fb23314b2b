//! Invocations as work of a causal scheduler.

use std::fmt;

use proact::status::{Code, Operation, Status};
use proact_schedule::executor::Ticket;
use proact_schedule::model::{Place, Submission};
use proact_schedule::record::{Event, Recorder};
use proact_schedule::{Refused, Scheduler};

use super::ExecutorHandle;
use crate::context::Context;
use crate::error::Result;
use crate::invocation::{Invocation, Policy};
use crate::module::Function;
use crate::value::Inputs;

/// An invocation that begins when a [scheduler](proact_schedule::Scheduler) says so: what a submission carries. It is
/// there, with its handle, before anything that it waits for is promised.
///
/// Dropping it before it was started aborts the invocation: so it ends when the scheduler gives the submission up, for
/// the failure of what it waits for.
///
/// ```
/// use proact::causal::Axis;
/// use proact_schedule::executor::{Asynchronous, Runtime};
/// use proact_schedule::model::{Point, Submission};
/// use proact_schedule::{QueueOptions, Scheduler, SchedulerOptions};
/// use proact_vm::executor::{Executor, ScheduledInvocation};
/// use proact_vm::module::native::NativeModule;
/// use proact_vm::{Context, Instance, Policy, Value};
///
/// let math = NativeModule::builder("math").function("add", |_: &(), a: i32, b: i32| a.wrapping_add(b)).build()?;
/// let context = Context::builder(&Instance::new()).module(math).build()?;
/// let executor = Executor::new(1)?;
///
/// let mut runtime: Runtime<ScheduledInvocation> = Runtime::new(Scheduler::new(SchedulerOptions::new()));
/// let queue = runtime.scheduler().add_queue(QueueOptions::in_order(Axis::queue(1, 0, 0, 0)))?;
/// let done = runtime.scheduler().add_semaphore(0);
/// let calls = Asynchronous::new(&runtime, |call: ScheduledInvocation, ticket| call.start(ticket));
/// runtime.attach(queue, calls);
///
/// let inputs = [Value::I32(2), Value::I32(3)];
/// let call = executor.handle().create_scheduled(&context, &context.lookup("math.add")?, &Policy::new(), &inputs)?;
/// let invocation = call.invocation().clone();
/// let signals = [Point::new(done, 1)];
/// call.submit(runtime.scheduler(), &Submission::new(queue).signals(&signals)).map_err(|refused| refused.status)?;
/// runtime.run();
/// assert_eq!(runtime.scheduler().value(done), 1);
/// assert_eq!(invocation.outputs(), Some(&[Value::I32(5)][..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "dropping it aborts the invocation"]
pub struct ScheduledInvocation(Option<Invocation>);

impl ExecutorHandle {
    /// As [`ExecutorHandle::create`], of an invocation that does not begin before [`ScheduledInvocation::start`]. Its
    /// deadline is counted from now.
    pub fn create_scheduled<I: Inputs + ?Sized>(
        &self,
        context: &Context,
        function: &Function,
        policy: &Policy,
        inputs: &I,
    ) -> Result<ScheduledInvocation> {
        let task = self.admit(context, function, policy, inputs, true)?;
        Ok(ScheduledInvocation(Some(Invocation::new(task))))
    }
}

impl ScheduledInvocation {
    /// Its handle.
    pub fn invocation(&self) -> &Invocation {
        self.0.as_ref().expect("it is taken by `start` alone, which uses it up")
    }

    /// Submits it, and gives the submission its name in recordings: the function's, and the call's id.
    ///
    /// # Errors
    /// The scheduler's refusal, with the invocation, which is as it was.
    pub fn submit<R: Recorder>(
        self,
        scheduler: &mut Scheduler<ScheduledInvocation, R>,
        submission: &Submission<'_>,
    ) -> Result<Place, Refused<ScheduledInvocation>> {
        let name = R::ENABLED.then(|| format!("{} {}", self.invocation().function(), self.invocation().id()));
        let place = scheduler.submit(submission, self)?;
        if let Some(name) = name {
            let (queue, epoch) = (place.queue.index() as u32, Some(place.epoch));
            scheduler.recorder_mut().record(Event::Name { queue, epoch, name });
        }
        Ok(place)
    }

    /// Lets it begin, and has `ticket` end with it: well, or with its failure. For the function of an
    /// [`Asynchronous`](proact_schedule::executor::Asynchronous).
    pub fn start(mut self, ticket: Ticket) {
        match self.0.take() {
            Some(invocation) => {
                let task = invocation.task();
                task.hand_ticket(ticket);
                task.release();
            }
            None => ticket.end(Err(Status::new(Code::Internal, Operation::None).with_message("it was started before"))),
        }
    }
}

impl Drop for ScheduledInvocation {
    fn drop(&mut self) {
        if let Some(invocation) = &self.0 {
            invocation.task().give_up();
        }
    }
}

impl fmt::Debug for ScheduledInvocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scheduled{:?}", self.invocation())
    }
}
