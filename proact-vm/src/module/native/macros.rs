//! A module as a list of its functions.

/// Declares a native module by the names of Rust functions, whose conventions are those of their types. What it makes
/// is a [`NativeBuilder`](crate::module::native::NativeBuilder).
///
/// `fn` names a function that takes `&S` and runs to its end, `async fn` one that takes a
/// [`Caller<S>`](crate::module::native::Caller); `as` gives another name than the Rust one. `state` is what makes the
/// state `S` of each context; without it, that is `()`.
///
/// ```
/// use std::sync::atomic::{AtomicI32, Ordering};
/// use proact_vm::module::native::Caller;
/// use proact_vm::{Context, Error, Instance, Value, native_module};
///
/// fn next(counter: &AtomicI32) -> i32 {
///     counter.fetch_add(1, Ordering::Relaxed)
/// }
///
/// async fn next_but_one(counter: Caller<AtomicI32>) -> Result<i32, Error> {
///     next(counter.state());
///     counter.yield_now().await?;
///     Ok(next(counter.state()))
/// }
///
/// let module = native_module!("counter", state = || Ok(AtomicI32::new(1)), {
///     fn next;
///     async fn next_but_one as "skip";
/// });
/// let context = Context::builder(&Instance::new()).module(module.version(2).build()?).build()?;
/// let mut outputs = Vec::new();
/// context.invoke(&context.lookup("counter.skip")?, &(), &mut outputs)?;
/// context.invoke(&context.lookup("counter.next")?, &(), &mut outputs)?;
/// assert_eq!(outputs, [Value::I32(2), Value::I32(3)]);
/// # Ok::<(), Error>(())
/// ```
#[macro_export]
macro_rules! native_module {
    ($name:expr, { $($functions:tt)* }) => {
        $crate::native_module!(@add ($crate::module::native::NativeModule::builder($name)) $($functions)*)
    };
    ($name:expr, state = $state:expr, { $($functions:tt)* }) => {
        $crate::native_module!(@add ($crate::module::native::NativeModule::with_state($name, $state)) $($functions)*)
    };
    (@add ($builder:expr)) => {
        $builder
    };
    (@add ($builder:expr) fn $function:ident as $name:literal; $($rest:tt)*) => {
        $crate::native_module!(@add ($builder.function($name, $function)) $($rest)*)
    };
    (@add ($builder:expr) fn $function:ident; $($rest:tt)*) => {
        $crate::native_module!(@add ($builder.function(stringify!($function), $function)) $($rest)*)
    };
    (@add ($builder:expr) async fn $function:ident as $name:literal; $($rest:tt)*) => {
        $crate::native_module!(@add ($builder.async_function($name, $function)) $($rest)*)
    };
    (@add ($builder:expr) async fn $function:ident; $($rest:tt)*) => {
        $crate::native_module!(@add ($builder.async_function(stringify!($function), $function)) $($rest)*)
    };
}
