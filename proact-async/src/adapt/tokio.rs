//! The traits of tokio.

/// Implements them for a type that is [`Buffered`](crate::adapt::Buffered).
macro_rules! tokio_io {
    ($type:ty, $($generic:tt)*) => {
        impl<$($generic)*> tokio::io::AsyncRead for $type {
            fn poll_read(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                buffer: &mut tokio::io::ReadBuf<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                let room = buffer.remaining();
                crate::adapt::poll_take(self.get_mut(), cx, room, |bytes| buffer.put_slice(bytes)).map_ok(drop)
            }
        }

        impl<$($generic)*> tokio::io::AsyncBufRead for $type {
            crate::adapt::buffered!();
        }

        impl<$($generic)*> tokio::io::AsyncWrite for $type {
            crate::adapt::written!(poll_flush, poll_shutdown);

            fn is_write_vectored(&self) -> bool {
                true
            }
        }
    };
}

tokio_io!(super::Adapted<R>, R: super::Route);
#[cfg(feature = "rustls")]
tokio_io!(crate::tls::TlsStream<S>, S: super::Buffered);
