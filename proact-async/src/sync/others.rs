//! Other proactors, and what is not of this library.

use proact::operation::Message;
use proact::proactor::Handle;
use proact::status::Result;

use crate::runtime::operation;
#[cfg(unix)]
use crate::runtime::with_handle;

/// Sends 64 bits to the proactor that `to` reaches: as [`Handle::send_message`], when its turn comes among the
/// operations of this runtime. Once the future was polled the message is on its way, and dropping it takes back none
/// that has arrived.
///
/// # Errors
/// As for [`Message`].
///
/// # Panics
/// Outside of a runtime.
pub async fn send_message(to: &Handle, message: u64) -> Result {
    operation(Message::new(to, message)).await.1.result
}

/// Takes in a fence of a device's, or of another library's: waits until `fd` becomes readable, and raises `semaphore`
/// to `value` then. Dropping the future before that fails the semaphore, as it will not be raised any more: see
/// [`ImportFence`](proact::operation::ImportFence).
///
/// # Errors
/// As for [`ImportFence`](proact::operation::ImportFence).
///
/// # Panics
/// Outside of a runtime.
#[cfg(unix)]
pub async fn import_fence(fd: std::os::fd::OwnedFd, semaphore: &proact::sync::Semaphore, value: u64) -> Result {
    let fence = with_handle(|handle| handle.import_pollable(fd));
    let import = proact::operation::ImportFence::new(fence, semaphore.clone(), value);
    operation(import).await.1.result
}
