//! Notifications.

use proact::operation::NotificationWait;
use proact::status::Result;
use proact::sync::Notification;

use crate::runtime::operation;

/// Looks, and waits for a signal of `notification`, until what is looked for is there. No signal is lost: one that
/// comes after a look, however soon, makes it look again.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU32, Ordering};
///
/// use proact::sync::Notification;
/// use proact_async::sync;
///
/// let runtime = proact_async::Runtime::new()?;
/// let (count, notification) = (Arc::new(AtomicU32::new(0)), Notification::new());
/// let (counted, signaller) = (count.clone(), notification.clone());
/// std::thread::spawn(move || {
///     for _ in 0..100 {
///         counted.fetch_add(1, Ordering::Release);
///         signaller.signal_if_observed(1);
///     }
/// });
/// let enough = || Some(count.load(Ordering::Acquire)).filter(|count| *count == 100);
/// assert_eq!(runtime.block_on(sync::until(&notification, enough))?, 100);
/// # Ok::<(), proact::status::Status>(())
/// ```
///
/// # Errors
/// As for [`NotificationWait`].
///
/// # Panics
/// Outside of a runtime.
pub async fn until<T>(notification: &Notification, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    loop {
        // Kept until the wait is over: whoever signals only if there is someone to tell sees it.
        let observation = notification.observe();
        if let Some(found) = look() {
            return Ok(found);
        }
        let wait = NotificationWait::since(notification.clone(), observation.epoch());
        operation(wait).await.1.result?;
    }
}
