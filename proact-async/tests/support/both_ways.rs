//! Many bytes both ways at once, under tokio's traits.

use proact_async::spawn;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Bytes that tell where they stand.
pub fn pattern(length: usize) -> Vec<u8> {
    (0..length as u32).flat_map(|index| (index.wrapping_mul(0x9e37_79b9) >> 13).to_le_bytes()).take(length).collect()
}

/// Sends 3 MiB from `near` to `far`, which sends them back meanwhile, and ends both directions.
pub async fn there_and_back<S: AsyncRead + AsyncWrite + 'static>(near: S, far: S) {
    let bytes = pattern(3 << 20);
    let echo = spawn(async move {
        let (mut reader, mut writer) = tokio::io::split(far);
        tokio::io::copy(&mut reader, &mut writer).await.unwrap();
        writer.shutdown().await.unwrap();
    });
    let (mut reader, mut writer) = tokio::io::split(near);
    let sent = bytes.clone();
    let sender = spawn(async move {
        writer.write_all(&sent).await.unwrap();
        writer.shutdown().await.unwrap();
    });
    let mut back = Vec::new();
    reader.read_to_end(&mut back).await.unwrap();
    assert!(back == bytes);
    sender.await.unwrap();
    echo.await.unwrap();
}
