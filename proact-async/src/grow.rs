//! Reading to an end that nobody has told.

use proact::memory::Part;
use proact::status::Result;

use crate::BufResult;

/// Reads to the end into `bytes`, which must not be empty and whose content is overwritten, and is doubled whenever it
/// is full. `read` reads some into the part that it is given, which begins at the byte whose number it is told; 0 is
/// the end.
pub(crate) async fn read_growing(
    mut bytes: Vec<u8>,
    read: impl AsyncFn(Part<Vec<u8>>, u64) -> BufResult<usize, Part<Vec<u8>>>,
) -> Result<Vec<u8>> {
    let mut filled = 0;
    loop {
        let all = bytes.len();
        let (count, part) = read(Part::new(bytes, filled..all), filled as u64).await;
        bytes = part.into_inner();
        match count? {
            0 => break,
            count => filled += count,
        }
        if filled == all {
            bytes.resize(all * 2, 0);
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}
