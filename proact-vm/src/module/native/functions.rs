//! Rust functions as functions of a module, by their types.

use std::future::Future;
use std::sync::Arc;

use super::caller::Caller;
use super::future::FutureActivation;
use super::{CallFrame, Flow, NativeInstance};
use crate::convention::{Argument, Results};
use crate::error::{Error, Result};

/// What a Rust function of a module returns: results, or a `Result` of them.
pub trait Answer: Send + 'static {
    /// The results.
    type Results: Results;

    /// Results, or the failure.
    fn into_result(self) -> Result<Self::Results>;
}

impl<R: Results> Answer for R {
    type Results = R;

    #[inline]
    fn into_result(self) -> Result<R> {
        Ok(self)
    }
}

impl<R: Results, E: Into<Error> + Send + 'static> Answer for Result<R, E> {
    type Results = R;

    #[inline]
    fn into_result(self) -> Result<R> {
        self.map_err(Into::into)
    }
}

/// A function that runs to its end. Implemented for functions and closures that take `&S` and up to eight
/// [`Argument`]s, and return an [`Answer`].
pub trait PlainFunction<S, A>: Send + Sync + 'static {
    /// Its convention.
    fn convention() -> String;

    /// Runs it.
    fn begin(&self, state: &S, call: &mut CallFrame<'_>) -> Result<Flow>;
}

/// A function that may stop on its way. Implemented for functions and closures that take a [`Caller`] and up to eight
/// [`Argument`]s, and return a future of an [`Answer`] that may be sent.
pub trait AsyncFunction<S, A>: Send + Sync + 'static {
    /// Its convention.
    fn convention() -> String;

    /// Begins it, with its module in one context.
    #[doc(hidden)]
    #[allow(private_interfaces)]
    fn begin(&self, instance: &Arc<NativeInstance<S>>, call: &mut CallFrame<'_>) -> Result<Flow>;
}

fn convention_of<R: Results>(arguments: impl FnOnce(&mut dyn FnMut(&'static str))) -> String {
    let mut convention = String::from("0");
    arguments(&mut |letters| convention.push_str(letters));
    convention.push('_');
    R::letters(&mut |letters| convention.push_str(letters));
    convention
}

macro_rules! functions {
    ($($argument:ident)*) => {
        #[allow(non_snake_case, unused_variables, unused_mut)]
        impl<S, F, R, $($argument,)*> PlainFunction<S, ($($argument,)*)> for F
        where
            F: Fn(&S, $($argument,)*) -> R + Send + Sync + 'static,
            R: Answer,
            $($argument: Argument,)*
        {
            fn convention() -> String {
                convention_of::<R::Results>(|emit| {
                    $($argument::letters(emit);)*
                })
            }

            #[inline]
            fn begin(&self, state: &S, call: &mut CallFrame<'_>) -> Result<Flow> {
                let mut arguments = call.arguments();
                $(let $argument = $argument::take(&mut arguments)?;)*
                call.answer(self(state, $($argument,)*).into_result()?)
            }
        }

        #[allow(non_snake_case, unused_variables, unused_mut)]
        impl<S, F, T, R, $($argument,)*> AsyncFunction<S, ($($argument,)*)> for F
        where
            S: Send + Sync + 'static,
            F: Fn(Caller<S>, $($argument,)*) -> T + Send + Sync + 'static,
            T: Future<Output = R> + Send + 'static,
            R: Answer,
            $($argument: Argument,)*
        {
            fn convention() -> String {
                convention_of::<R::Results>(|emit| {
                    $($argument::letters(emit);)*
                })
            }

            #[allow(private_interfaces)]
            fn begin(&self, instance: &Arc<NativeInstance<S>>, call: &mut CallFrame<'_>) -> Result<Flow> {
                let caller = Caller::new(instance, call);
                let mut arguments = call.arguments();
                $(let $argument = $argument::take(&mut arguments)?;)*
                let frame = caller.frame();
                let future = self(caller, $($argument,)*);
                call.keep_and_start(FutureActivation::new(future, frame))
            }
        }
    };
}

functions!();
functions!(A);
functions!(A B);
functions!(A B C);
functions!(A B C D);
functions!(A B C D E);
functions!(A B C D E G);
functions!(A B C D E G H);
functions!(A B C D E G H I);
