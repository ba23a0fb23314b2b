//! Functions as state machines written by hand, which read and pack their values themselves.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use proact_vm::convention::{Packed, Reader};
use proact_vm::module::native::NativeBuilder;
use proact_vm::module::{Activation, CallFrame, Flow, Resumption};
use proact_vm::wait::WaitFrame;
use proact_vm::{Access, Buffer, Error, Function, Ref, Result};

use crate::graph::{Act, BACK_DEPTH_MAX, Body, Shape};
use crate::native::{Kept, Returned, begun, call_failed, fails, number_in, value};
use crate::shape::{self, DEPTHS, Given};
use crate::support::Counted;
use crate::world::{Own, Token, World};

/// Functions that were looked up, with what they are in the graph.
pub type Imports = Arc<Vec<(usize, Function)>>;

pub fn add(builder: NativeBuilder<()>, world: &Arc<World>, imports: &Imports, index: usize) -> NativeBuilder<()> {
    let (world, imports) = (world.clone(), imports.clone());
    let function = &world.graph.functions[index];
    let (shape, delegate) = match function.body {
        Body::Delegate(callee) => (function.shape, Some(callee)),
        Body::Acts(_) => (function.shape, None),
    };
    builder.raw_function(&format!("f{index}"), shape.convention(), move |(), call| {
        let (given, buffer) = read(shape, call.arguments())?;
        let (sum, kept) = begun(&world, index, &given);
        if let Some(callee) = delegate {
            // No frame of its own: what is called answers in its place. So does its buffer, whatever it is of.
            let (packed, passed) = (find(&imports, callee), (given.at + 1, sum, &kept));
            let function = packed.clone();
            return call.call(&function, |packed| {
                pack(shape, packed, passed, || match &buffer {
                    Some(buffer) => {
                        buffer.write(0, &sum.to_le_bytes()).unwrap();
                        buffer.clone()
                    }
                    None => unreachable!("only of its own shape"),
                })
            });
        }
        call.keep_and_start(Machine {
            held: Some(world.count.one()),
            world: world.clone(),
            imports: imports.clone(),
            index,
            at: given.at,
            place: 0,
            sum,
            kept,
            buffer,
            doing: Doing::Nothing,
        })
    })
}

fn find(imports: &Imports, callee: usize) -> &Function {
    &imports.iter().find(|(index, _)| *index == callee).unwrap().1
}

fn kept(reference: Ref) -> Result<Kept> {
    if reference.is_null() { Ok(None) } else { reference.into_cast().map(Some) }
}

/// What a function begins with, and the buffer that it writes.
type Begun = (Given<Arc<Token>>, Option<Arc<Buffer>>);

/// What a function of that shape begins with.
fn read(shape: Shape, mut arguments: Reader<'_>) -> Result<Begun> {
    let at = arguments.next_i32()?;
    let mut buffer = None;
    let (sum, token) = match shape {
        Shape::Mixed => {
            let (sum, token) = (arguments.next_i64()?, kept(arguments.next_ref()?)?);
            (shape::mixed_given(sum, value(&token)), Some(token))
        }
        Shape::Numbers => {
            let (a, b, c) = (arguments.next_i32()?, arguments.next_f32()?, arguments.next_f64()?);
            (shape::numbers_given(a, b, c), None)
        }
        Shape::References => {
            let (first, second) = (kept(arguments.next_ref()?)?, kept(arguments.next_ref()?)?);
            (shape::references_given(value(&first), value(&second)), Some(first))
        }
        Shape::Spans => {
            let count = arguments.next_span(8)?;
            let numbers = (0..count).map(|_| arguments.next_i64()).collect::<Result<Vec<_>>>()?;
            let count = arguments.next_span(8)?;
            let tuple = |_| Ok((arguments.next_i32()?, value(&kept(arguments.next_ref()?)?), arguments.next_f64()?));
            let tuples = (0..count).map(tuple).collect::<Result<Vec<_>>>()?;
            (shape::spans_given(&numbers, tuples), None)
        }
        Shape::Nothing => (shape::NOTHING_GIVEN, None),
        Shape::Bytes => {
            let own: Arc<Buffer> = arguments.next_ref()?.into_cast()?;
            let sum = number_in(&own);
            buffer = Some(own);
            (sum, None)
        }
    };
    Ok((Given { at, sum, kept: token }, buffer))
}

/// What a function of that shape is called with.
fn pack(
    shape: Shape,
    packed: &mut Packed,
    (at, sum, kept): (i32, i64, &Kept),
    buffer: impl FnOnce() -> Arc<Buffer>,
) -> Result {
    packed.push_i32(at);
    match shape {
        Shape::Mixed => {
            packed.push_i64(sum);
            packed.push_ref(kept.clone().into());
        }
        Shape::Numbers => {
            packed.push_i32(sum as i32);
            packed.push_f32(shape::small(sum));
            packed.push_f64(shape::half(sum));
        }
        Shape::References => {
            packed.push_ref(kept.clone().into());
            packed.push_ref(kept.clone().filter(|_| shape::is_twice(sum)).into());
        }
        Shape::Spans => {
            let (numbers, tuples) = shape::spans(sum);
            packed.push_span(numbers.len(), 8)?;
            numbers.into_iter().for_each(|number| packed.push_i64(number));
            packed.push_span(tuples.len(), 8)?;
            for (a, c) in tuples {
                packed.push_i32(a);
                packed.push_ref(kept.clone().into());
                packed.push_f64(c);
            }
        }
        Shape::Nothing => {}
        Shape::Bytes => packed.push_ref(Ref::from(buffer())),
    }
    packed.finish();
    Ok(())
}

struct Machine {
    world: Arc<World>,
    imports: Imports,
    index: usize,
    at: i32,
    /// The next act.
    place: usize,
    sum: i64,
    kept: Kept,
    /// Its own, of [`Shape::Bytes`].
    buffer: Option<Arc<Buffer>>,
    doing: Doing,
    held: Option<Counted>,
}

/// What it is resumed for.
enum Doing {
    Nothing,
    Waiting { handled: bool },
    Calling { callee: usize, handled: bool, buffer: Option<Arc<Buffer>> },
    Awaiting { future: Own, times: u32 },
}

impl Activation for Machine {
    fn resume(self: Pin<&mut Self>, why: Resumption, call: &mut CallFrame<'_>) -> Result<Flow> {
        let this = self.get_mut();
        match (std::mem::replace(&mut this.doing, Doing::Nothing), why) {
            (Doing::Nothing, Resumption::Started | Resumption::Yielded) => {}
            (Doing::Waiting { .. }, Resumption::Waited(Ok(index))) => this.sum = shape::waited(this.sum, index as i64),
            (Doing::Waiting { handled: true }, Resumption::Waited(Err(error))) => {
                this.sum = shape::wait_failed(this.sum, error.code() as i32);
            }
            (Doing::Calling { callee, buffer, .. }, Resumption::Returned) => {
                this.sum = shape::called(this.sum, this.taken(callee, buffer, call.callee_results())?);
            }
            (Doing::Calling { handled: true, .. }, Resumption::Failed(error)) => {
                this.sum = call_failed(this.sum, &error);
            }
            (Doing::Awaiting { future, times }, Resumption::Woken) => {
                if let Some(flow) = this.poll(future, times, call) {
                    return Ok(flow);
                }
            }
            (_, Resumption::Waited(Err(error)) | Resumption::Failed(error)) => return Err(error),
            (_, why) => panic!("resumed with {why:?}"),
        }
        this.go_on(call)
    }
}

impl Machine {
    fn go_on(&mut self, call: &mut CallFrame<'_>) -> Result<Flow> {
        let world = self.world.clone();
        while let Some(act) = world.graph.acts(self.index).get(self.place).copied() {
            self.place += 1;
            match act {
                Act::Note => world.note((self.at, self.index, self.sum)),
                Act::Yield => return Ok(Flow::Yield),
                Act::Wait { wait, handled } => {
                    self.doing = Doing::Waiting { handled };
                    let frame = world.frame(wait, call.clock());
                    return Ok(call.wait(frame));
                }
                Act::Call { callee, handled } => {
                    let function = find(&self.imports, callee).clone();
                    return self.call(&function, callee, handled, call);
                }
                Act::Back { callee, handled } if self.at % DEPTHS < BACK_DEPTH_MAX => {
                    let function = world.table.lock().unwrap()[callee].clone();
                    return self.call(&function, callee, handled, call);
                }
                Act::Back { .. } => {}
                Act::Fail => {
                    // What it has put there goes with it.
                    call.results().push_ref(self.kept.clone().into());
                    return Err(fails(self.index));
                }
                Act::Await(times) => {
                    if let Some(flow) = self.poll(Own::new(&world, times), times, call) {
                        return Ok(flow);
                    }
                }
                Act::Race(_) | Act::Both { .. } | Act::Standard(_) => unreachable!("{act:?} by hand"),
            }
        }
        self.held = None;
        let returned = Returned::new(&world, self.sum, self.kept.take());
        let sum = returned.sum;
        let results = call.results();
        match world.graph.functions[self.index].shape {
            Shape::Mixed => {
                results.push_i64(sum);
                results.push_ref(returned.kept.into());
            }
            Shape::Numbers => {
                results.push_f64(shape::half(sum));
                results.push_i64(sum);
                results.push_f32(shape::small(sum));
            }
            Shape::References => results.push_ref(returned.kept.into()),
            Shape::Spans => {
                results.push_i32(sum as i32);
                results.push_i64(sum);
            }
            Shape::Nothing => {}
            Shape::Bytes => {
                self.buffer.take().unwrap().write(0, &sum.to_le_bytes())?;
                results.push_i32(shape::bytes_result(sum));
            }
        }
        results.finish();
        Ok(Flow::Return)
    }

    fn call(&mut self, function: &Function, callee: usize, handled: bool, call: &mut CallFrame<'_>) -> Result<Flow> {
        let shape = self.world.graph.functions[callee].shape;
        let mut lent = None;
        let given = (self.at + 1, self.sum, &self.kept);
        let flow = call.call(function, |packed| {
            pack(shape, packed, given, || {
                let buffer = Arc::new(Buffer::new(given.1.to_le_bytes(), Access::Mutable));
                lent.insert(buffer).clone()
            })
        })?;
        self.doing = Doing::Calling { callee, handled, buffer: lent };
        Ok(flow)
    }

    fn taken(&self, callee: usize, buffer: Option<Arc<Buffer>>, mut results: Reader<'_>) -> Result<i64> {
        Ok(match self.world.graph.functions[callee].shape {
            Shape::Mixed => {
                let sum = results.next_i64()?;
                shape::mixed_taken(sum, value(&kept(results.next_ref()?)?))
            }
            Shape::Numbers => shape::numbers_taken(results.next_f64()?, results.next_i64()?, results.next_f32()?),
            Shape::References => value(&kept(results.next_ref()?)?),
            Shape::Spans => shape::spans_taken(results.next_i32()?, results.next_i64()?),
            Shape::Nothing => shape::NOTHING_TAKEN,
            Shape::Bytes => {
                let buffer = buffer.ok_or_else(|| Error::internal("it was lent"))?;
                shape::bytes_taken(results.next_i32()?, number_in(&buffer))
            }
        })
    }

    /// Polls a future by itself, with the call's waker; what it answers while that is pending.
    fn poll(&mut self, mut future: Own, times: u32, call: &mut CallFrame<'_>) -> Option<Flow> {
        let waker = call.waker().clone();
        match Pin::new(&mut future).poll(&mut TaskContext::from_waker(&waker)) {
            Poll::Ready(_) => {
                self.sum = shape::awaited(self.sum, times);
                None
            }
            Poll::Pending => {
                self.doing = Doing::Awaiting { future, times };
                Some(call.wait(WaitFrame::woken()))
            }
        }
    }
}
