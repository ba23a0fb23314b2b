//! Ends references one after another, where one may hold the next.

use std::cell::RefCell;

use super::Value;

thread_local! {
    /// What is still to end on this thread; `None` while nothing does.
    static WAITING: RefCell<Option<Vec<Value>>> = const { RefCell::new(None) };
}

/// Drops the values. Those that are given up meanwhile, by what one of them was the last to hold, end behind them and
/// not within them: a program can make a row of objects that is longer than a thread's stack is deep.
pub(crate) fn drop_flat(values: Vec<Value>) {
    /// Also when the end of something panics: what is left goes with it.
    struct Last;
    impl Drop for Last {
        fn drop(&mut self) {
            let rest = WAITING.with_borrow_mut(Option::take);
            drop(rest);
        }
    }
    if !values.iter().any(|value| matches!(value, Value::Ref(_))) {
        return;
    }
    // A thread that ends has no place for them any more: then they end here.
    let mut values = Some(values);
    let is_first = WAITING.try_with(|waiting| match &mut *waiting.borrow_mut() {
        Some(waiting) => {
            waiting.extend(values.take().into_iter().flatten());
            false
        }
        none => {
            *none = values.take();
            true
        }
    });
    if is_first != Ok(true) {
        return;
    }
    let _last = Last;
    while let Some(value) = WAITING.with_borrow_mut(|waiting| waiting.as_mut().and_then(Vec::pop)) {
        drop(value);
    }
}
