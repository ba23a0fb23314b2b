//! Streams under the traits that lend their buffers.

#[path = "support/both_ways.rs"]
mod both_ways;
mod support;

use std::cell::Cell;
use std::future::poll_fn;
use std::io::IoSlice;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use both_ways::{pattern, there_and_back};
use proact::memory::{Allocation, BufferPool, Slab};
use proact_async::adapt::{Adapted, Buffered, Local, Options};
use proact_async::{handle, spawn, time, yield_now};
use support::{connected, on_every_backend, run};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn pool(buffers: u32) -> BufferPool {
    BufferPool::new(Slab::allocate(1024, buffers, &Allocation::new()).unwrap()).unwrap()
}

async fn adapted() -> (Adapted, Adapted) {
    let (near, far) = connected().await;
    (Adapted::new(near), Adapted::new(far))
}

/// Polls `future` once, and drops it.
async fn poll_once<T>(future: impl Future<Output = T>) -> Poll<T> {
    let mut future = std::pin::pin!(future);
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

#[test]
fn many_bytes_go_both_ways_at_once() {
    run(|| async {
        let (near, far) = adapted().await;
        there_and_back(near, far).await;
        let (near, far) = connected().await;
        let pooled = Options::pooled(&pool(8));
        there_and_back(Adapted::with(near, &Options::owned(1000)), Adapted::with(far, &pooled)).await;
    });
}

#[test]
fn the_same_goes_under_the_traits_of_futures_io() {
    use futures_util::io::{AsyncReadExt, AsyncWriteExt};
    run(|| async {
        let (near, far) = adapted().await;
        let bytes = pattern(1 << 20);
        let echo = spawn(async move {
            let (reader, mut writer) = far.split();
            futures_util::io::copy_buf(futures_util::io::BufReader::new(reader), &mut writer).await.unwrap();
            writer.close().await.unwrap();
        });
        let (mut reader, mut writer) = near.split();
        let sent = bytes.clone();
        let sender = spawn(async move {
            writer.write_all(&sent).await.unwrap();
            writer.close().await.unwrap();
        });
        let mut back = Vec::new();
        reader.read_to_end(&mut back).await.unwrap();
        assert!(back == bytes);
        sender.await.unwrap();
        echo.await.unwrap();
    });
}

#[test]
fn what_is_written_goes_without_a_flush() {
    run(|| async {
        let (mut near, mut far) = adapted().await;
        near.write_all(b"no").await.unwrap();
        near.write_all(b"flush").await.unwrap();
        // Nobody looks at the near end meanwhile.
        let mut bytes = [0; 7];
        far.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"noflush");
    });
}

#[test]
fn a_dropped_stream_sends_what_it_took() {
    run(|| async {
        let (mut near, mut far) = adapted().await;
        near.write_all(b"last words").await.unwrap();
        drop(near);
        let mut text = String::new();
        far.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "last words");

        let (stream, far) = connected().await;
        let mut near = Adapted::on(&handle(), stream.socket().clone(), &Options::owned(64));
        drop(stream);
        let bytes = pattern(100 << 10);
        near.write_all(&bytes).await.unwrap();
        drop(near);
        let mut back = Vec::new();
        Adapted::new(far).read_to_end(&mut back).await.unwrap();
        assert!(back == bytes);
    });
}

#[test]
fn a_dropped_stream_gives_up_when_its_time_is_over() {
    run(|| async {
        for remote in [false, true] {
            let (near, far) = connected().await;
            let options = Options::owned(64).linger(Duration::from_millis(10));
            let socket = near.socket().clone();
            drop(near);
            let accepted = if remote {
                fill(Adapted::on(&handle(), socket, &options)).await
            } else {
                fill(Adapted::of(socket, Local::default(), &options)).await
            };
            // The peer reads nothing until that time is over, on the same clock: then the connection has ended.
            time::sleep(Duration::from_millis(100)).await;
            let mut back = Vec::new();
            Adapted::new(far).read_to_end(&mut back).await.unwrap();
            assert!(back.len() < accepted, "{} of {accepted}", back.len());
        }
    });
}

/// Writes until there is no room, and answers how many bytes it took.
async fn fill(mut stream: impl tokio::io::AsyncWrite + Unpin) -> usize {
    let bytes = vec![1; 64 << 10];
    let mut accepted = 0;
    while let Ok(count) = time::timeout(Duration::from_millis(200), stream.write(&bytes)).await {
        accepted += count.unwrap();
        assert!(accepted < 256 << 20, "nothing bounds it");
    }
    accepted
}

#[test]
fn a_writer_waits_for_a_reader_that_is_slow() {
    run(|| async {
        let (mut near, mut far) = adapted().await;
        let accepted = fill(&mut near).await;
        let sink = spawn(async move {
            let mut read = 0;
            let mut buffer = vec![0; 1 << 20];
            loop {
                match far.read(&mut buffer).await.unwrap() {
                    0 => return read,
                    count => read += count,
                }
            }
        });
        near.write_all(b"more").await.unwrap();
        near.shutdown().await.unwrap();
        assert_eq!(sink.await.unwrap(), accepted + 4);
    });
}

#[test]
fn a_read_that_was_given_up_loses_nothing() {
    run(|| async {
        let (mut near, mut far) = adapted().await;
        for _ in 0..10 {
            assert!(poll_once(far.read_u8()).await.is_pending());
            near.write_all(b"x").await.unwrap();
            near.flush().await.unwrap();
            yield_now().await;
            assert_eq!(far.read_u8().await.unwrap(), b'x');
        }
    });
}

#[test]
fn one_half_ends_and_the_other_goes_on() {
    run(|| async {
        let (mut near, mut far) = adapted().await;
        near.write_all(b"question").await.unwrap();
        near.shutdown().await.unwrap();
        assert!(near.write_all(b"more").await.is_err());
        let mut text = String::new();
        far.read_to_string(&mut text).await.unwrap();
        assert_eq!(far.read(&mut [0; 8]).await.unwrap(), 0, "the end stays the end");
        far.write_all(text.as_bytes()).await.unwrap();
        far.shutdown().await.unwrap();
        let mut back = String::new();
        near.read_to_string(&mut back).await.unwrap();
        assert_eq!(back, "question");
    });
}

#[test]
fn the_failure_of_what_was_accepted_comes_later() {
    run(|| async {
        let (mut near, far) = adapted().await;
        // Something unread makes the peer's close a reset.
        near.write_all(b"unread").await.unwrap();
        near.flush().await.unwrap();
        drop(far);
        let failure = loop {
            if let Err(failure) = near.write_all(b"more").await {
                break failure;
            }
            if let Err(failure) = near.flush().await {
                break failure;
            }
        };
        let status = failure.get_ref().unwrap().downcast_ref::<proact::status::Status>();
        assert!(status.is_some(), "{failure:?} carries its cause");
        assert!(near.write_all(b"more").await.is_err() || near.flush().await.is_err(), "and it stays");
    });
}

#[test]
fn idle_connections_hold_no_buffer() {
    const CONNECTIONS: usize = 40;
    run(|| async {
        let pool = pool(4);
        let mut streams = Vec::new();
        for _ in 0..CONNECTIONS {
            let (near, far) = connected().await;
            streams.push((near, Adapted::with(far, &Options::pooled(&pool))));
        }
        // All of them wait to read.
        for (_, stream) in &mut streams {
            assert!(poll_once(stream.read_u8()).await.is_pending());
        }
        for (peer, stream) in &mut streams {
            peer.write_all(b"x".as_slice()).await.0.unwrap();
            assert_eq!(stream.read_u8().await.unwrap(), b'x');
        }
    });
}

#[test]
fn connections_that_do_not_read_give_their_buffers_back() {
    const CONNECTIONS: u8 = 20;
    run(|| async {
        let pool = pool(4);
        let mut streams = Vec::new();
        for number in 0..CONNECTIONS {
            let (near, far) = connected().await;
            near.write_all(vec![number; 100]).await.0.unwrap();
            streams.push((near, Adapted::with(far, &Options::pooled(&pool))));
        }
        // Each has asked for bytes once, and then only flushes, whenever it is woken.
        let mut tasks = Vec::new();
        for (number, (peer, mut stream)) in streams.into_iter().enumerate() {
            let (go, mut gone) = tokio::sync::oneshot::channel::<()>();
            let task = spawn(async move {
                let _ = poll_once(stream.read_u8()).await;
                poll_fn(|cx| {
                    let _ = Buffered::poll_flush(&mut stream, cx);
                    Pin::new(&mut gone).poll(cx).map(|_| ())
                })
                .await;
                let mut bytes = [0; 100];
                stream.read_exact(&mut bytes).await.unwrap();
                assert_eq!(bytes, [number as u8; 100], "nothing was lost");
                drop(peer);
            });
            tasks.push((go, task));
        }
        // One more, which reads.
        let (near, far) = connected().await;
        let mut far = Adapted::with(far, &Options::pooled(&pool));
        near.write_all(b"x".as_slice()).await.0.unwrap();
        assert_eq!(far.read_u8().await.unwrap(), b'x');
        for (go, task) in tasks {
            go.send(()).unwrap();
            task.await.unwrap();
        }
    });
}

#[test]
fn slices_are_gathered_into_one_send() {
    on_every_backend(|runtime| {
        let (mut near, mut far) = runtime.block_on(adapted());
        let before = runtime.statistics();
        runtime.block_on(async {
            let slices = [IoSlice::new(b"one"), IoSlice::new(b""), IoSlice::new(b"two"), IoSlice::new(b"three")];
            assert_eq!(near.write_vectored(&slices).await.unwrap(), 11);
            near.flush().await.unwrap();
            let mut bytes = [0; 11];
            far.read_exact(&mut bytes).await.unwrap();
            assert_eq!(&bytes, b"onetwothree");
        });
        assert_eq!(runtime.statistics().submitted - before.submitted, 2, "one send and one receive");
    });
}

#[test]
fn the_end_of_a_short_write_wakes_nobody_and_that_of_a_long_one_its_writer() {
    run(|| async {
        for (length, wakes) in [(100, 0), (10_000, 1)] {
            let (mut near, mut far) = adapted().await;
            let polls = Rc::new(Cell::new(0));
            let counted = polls.clone();
            let writer = spawn(async move {
                near.write_all(&vec![1; length]).await.unwrap();
                poll_fn(|_| {
                    counted.set(counted.get() + 1);
                    Poll::<()>::Pending
                })
                .await;
                drop(near);
            });
            far.read_exact(&mut vec![0; length]).await.unwrap();
            // Whatever is on its way to the writer has come when this has.
            time::sleep(Duration::from_millis(10)).await;
            assert_eq!(polls.get(), 1 + wakes, "{length} bytes");
            writer.abort();
            assert!(writer.await.unwrap_err().is_cancelled());
        }
    });
}
