//! The traits of `futures-io`, which `futures` and its like build on.

/// Implements them for a type that is [`Buffered`](crate::adapt::Buffered).
macro_rules! futures_io {
    ($type:ty, $($generic:tt)*) => {
        impl<$($generic)*> futures_io::AsyncRead for $type {
            fn poll_read(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                buffer: &mut [u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                use crate::adapt::Buffered;
                if buffer.is_empty() {
                    return std::task::Poll::Ready(Ok(0));
                }
                let here = std::task::ready!(self.poll_fill(cx))?;
                let count = here.len().min(buffer.len());
                buffer[..count].copy_from_slice(&here[..count]);
                Buffered::consume(&mut *self, count);
                std::task::Poll::Ready(Ok(count))
            }

            fn poll_read_vectored(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                buffers: &mut [std::io::IoSliceMut<'_>],
            ) -> std::task::Poll<std::io::Result<usize>> {
                use crate::adapt::Buffered;
                if buffers.iter().all(|buffer| buffer.is_empty()) {
                    return std::task::Poll::Ready(Ok(0));
                }
                let here = std::task::ready!(self.poll_fill(cx))?;
                let mut count = 0;
                for buffer in buffers {
                    let part = (here.len() - count).min(buffer.len());
                    buffer[..part].copy_from_slice(&here[count..count + part]);
                    count += part;
                }
                Buffered::consume(&mut *self, count);
                std::task::Poll::Ready(Ok(count))
            }
        }

        impl<$($generic)*> futures_io::AsyncBufRead for $type {
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

        impl<$($generic)*> futures_io::AsyncWrite for $type {
            crate::adapt::written!();

            fn poll_close(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                crate::adapt::Buffered::poll_shutdown(self.get_mut(), cx)
            }
        }
    };
}

futures_io!(super::Adapted<R>, R: super::Route);
#[cfg(feature = "rustls")]
futures_io!(crate::tls::TlsStream<S>, S: super::Buffered);
