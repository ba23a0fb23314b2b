//! Bytes that go from one connection to another without passing through this process.

use proact::operation::Splice;
use proact::resource::{Shutdown, Socket};
use proact::status::Result;

use super::together::both;
use crate::runtime::{operation, with_handle};

/// The most that one step moves: the pipe holds less, as a rule 64 KiB.
const STEP: usize = 1 << 20;

/// Sends on `to` whatever comes from `from`, until its end, and then ends `to`'s sending. Yields how many bytes.
///
/// The bytes go through a pipe in the kernel and are not copied here: see [`Splice`]. Never more of them are taken than
/// the pipe holds, so that a slow reader holds up the sender. Dropped, or failed, it loses what is in the pipe then.
///
/// ```
/// use proact_async::net::{UnixStream, splice};
/// use proact_async::spawn;
///
/// # fn main() -> proact::status::Result {
/// # if !cfg!(target_os = "linux") { return Ok(()); }
/// proact_async::Runtime::new()?.block_on(async {
///     let ((client, near), (far, server)) = (UnixStream::pair()?, UnixStream::pair()?);
///     let proxy = spawn(async move { splice(near.socket(), far.socket()).await });
///     client.write_all(b"hello".to_vec()).await.0?;
///     drop(client);
///     assert_eq!(server.read_exact(vec![0; 5]).await.1, b"hello");
///     assert_eq!(proxy.await.unwrap()?, 5);
///     assert_eq!(server.read(vec![0; 1]).await.0?, 0, "the end");
///     Ok(())
/// })
/// # }
/// ```
///
/// # Errors
/// As for [`Splice`]; `Unavailable` where no system has pipes of its own, as in simulated worlds.
///
/// # Panics
/// Outside of a runtime.
pub async fn splice(from: &Socket, to: &Socket) -> Result<u64> {
    let (reader, writer) = with_handle(|handle| handle.pipe())?;
    let mut total = 0;
    loop {
        let fill = Splice::socket_to_pipe(from.clone(), writer.clone(), STEP).some();
        let filled = operation(fill).await.1.result?;
        if filled == 0 {
            to.shutdown(Shutdown::Send)?;
            return Ok(total);
        }
        let empty = Splice::pipe_to_socket(reader.clone(), to.clone(), filled);
        operation(empty).await.1.result?;
        total += filled as u64;
    }
}

/// [`splice`] in both directions: what a proxy does between two connections. Either may end its sending before the
/// other. Yields how many bytes went from `one` to `other`, and back.
///
/// # Errors
/// The first failure of either direction; the other is given up then.
///
/// # Panics
/// Outside of a runtime.
pub async fn splice_both(one: &Socket, other: &Socket) -> Result<(u64, u64)> {
    both(splice(one, other), splice(other, one)).await
}
