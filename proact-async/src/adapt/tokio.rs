//! The traits of tokio.

/// Implements them for a type that is [`Buffered`](crate::adapt::Buffered).
macro_rules! tokio_io {
    ($type:ty, $($generic:tt)*) => {
        impl<$($generic)*> tokio::io::AsyncRead for $type {
            fn poll_read(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                buffer: &mut tokio::io::ReadBuf<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                use crate::adapt::Buffered;
                if buffer.remaining() == 0 {
                    return std::task::Poll::Ready(Ok(()));
                }
                let here = std::task::ready!(self.poll_fill(cx))?;
                let count = here.len().min(buffer.remaining());
                buffer.put_slice(&here[..count]);
                Buffered::consume(&mut *self, count);
                std::task::Poll::Ready(Ok(()))
            }
        }

        impl<$($generic)*> tokio::io::AsyncBufRead for $type {
            fn poll_fill_buf(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<&[u8]>> {
                crate::adapt::Buffered::poll_fill(self.get_mut(), cx)
            }

            fn consume(self: std::pin::Pin<&mut Self>, count: usize) {
                crate::adapt::Buffered::consume(self.get_mut(), count);
            }
        }

        impl<$($generic)*> tokio::io::AsyncWrite for $type {
            crate::adapt::written!();

            fn poll_shutdown(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                crate::adapt::Buffered::poll_shutdown(self.get_mut(), cx)
            }

            fn is_write_vectored(&self) -> bool {
                true
            }
        }
    };
}

tokio_io!(super::Adapted<R>, R: super::Route);
#[cfg(feature = "rustls")]
tokio_io!(crate::tls::TlsStream<S>, S: super::Buffered);
