//! The traits of `futures-io`, which `futures` and its like build on.

/// Implements them for a type that is [`Buffered`](crate::adapt::Buffered).
macro_rules! futures_io {
    ($type:ty, $($generic:tt)*) => {
        impl<$($generic)*> futures_io::AsyncRead for $type {
            fn poll_read(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                buffer: &mut [u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                let room = buffer.len();
                let put = |bytes: &[u8]| buffer[..bytes.len()].copy_from_slice(bytes);
                crate::adapt::poll_take(self.get_mut(), cx, room, put)
            }

            fn poll_read_vectored(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                buffers: &mut [std::io::IoSliceMut<'_>],
            ) -> std::task::Poll<std::io::Result<usize>> {
                let room = buffers.iter().map(|buffer| buffer.len()).fold(0, usize::saturating_add);
                crate::adapt::poll_take(self.get_mut(), cx, room, |mut bytes| {
                    for buffer in buffers {
                        let (part, rest) = bytes.split_at(bytes.len().min(buffer.len()));
                        buffer[..part.len()].copy_from_slice(part);
                        bytes = rest;
                    }
                })
            }
        }

        impl<$($generic)*> futures_io::AsyncBufRead for $type {
            crate::adapt::buffered!();
        }

        impl<$($generic)*> futures_io::AsyncWrite for $type {
            crate::adapt::written!(poll_flush, poll_close);
        }
    };
}

futures_io!(super::Adapted<R>, R: super::Route);
#[cfg(feature = "rustls")]
futures_io!(crate::tls::TlsStream<S>, S: super::Buffered);
