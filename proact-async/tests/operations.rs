//! Operations as futures: on the runtime's own thread, from others, and dropped at any time.

mod support;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_core::Stream;
use proact::operation::{EventWait, Nop, Receive, SemaphoreWait, Timer};
use proact::proactor::ProactorThread;
use proact::resource::SocketType;
use proact::status::Code;
use proact::sync::Semaphore;
use proact_async::net::{TcpListener, TcpStream};
use proact_async::{Runtime, handle, operation, spawn, time, yield_now};
use support::on_every_backend;

#[test]
fn an_operation_yields_its_kind_and_its_outcome() {
    on_every_backend(|runtime| {
        runtime.block_on(async {
            let (here, there) = handle().socket_pair(SocketType::Stream).unwrap();
            let receive = spawn(operation(Receive::exact(there, vec![0; 5])));
            let (send, sent) = operation(proact::operation::Send::exact(here, b"hello".to_vec())).await;
            assert_eq!((sent.result.unwrap(), send.buffer.as_slice()), (5, b"hello".as_slice()));
            let (receive, received) = receive.await.unwrap();
            assert_eq!((received.result.unwrap(), receive.buffer.as_slice()), (5, b"hello".as_slice()));
        });
    });
}

#[test]
fn a_refused_operation_yields_its_kind_and_why() {
    let other = Runtime::new().unwrap();
    let (here, _there) = other.handle().socket_pair(SocketType::Stream).unwrap();
    let runtime = Runtime::new().unwrap();
    let (receive, outcome) = runtime.block_on(operation(Receive::some(here, vec![7; 3])));
    assert_eq!(outcome.result.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(receive.buffer, [7; 3]);
}

#[test]
fn a_failure_names_where_its_future_was_made() {
    on_every_backend(|runtime| {
        let other = Runtime::new().unwrap();
        let foreign = || EventWait::new(other.handle().event().unwrap());
        let never = || EventWait::new(runtime.handle().event().unwrap());
        runtime.block_on(async {
            let soon = time::now() + Duration::from_micros(50);
            let refused = operation(foreign()).await.1.result.unwrap_err();
            let failed = operation(never()).deadline(soon).await.1.result.unwrap_err();
            let refused_elsewhere = handle().future(foreign()).await.1.result.unwrap_err();
            let failed_elsewhere = handle().future(never()).deadline(soon).await.1.result.unwrap_err();
            for status in [refused, failed, refused_elsewhere, failed_elsewhere] {
                assert!(format!("{status:?}").contains(file!()), "{status:?}");
            }
        });
    });
}

#[test]
fn a_deadline_ends_an_operation() {
    on_every_backend(|runtime| {
        runtime.block_on(async {
            let event = handle().event().unwrap();
            let soon = time::now() + Duration::from_millis(1);
            let (_, outcome) = operation(EventWait::new(event)).deadline(soon).await;
            assert_eq!(outcome.result.unwrap_err().code(), Code::DeadlineExceeded);
        });
    });
}

#[test]
fn a_scope_ends_its_operations() {
    on_every_backend(|runtime| {
        runtime.block_on(async {
            let scope = handle().scope();
            let waits: Vec<_> =
                (0..3).map(|_| spawn(operation(EventWait::new(handle().event().unwrap())).within(&scope))).collect();
            yield_now().await;
            let (_, outcome) = operation(proact::operation::CancelAll::new(&scope)).await;
            outcome.result.unwrap();
            for wait in waits {
                assert!(wait.await.unwrap().1.result.unwrap_err().is_cancelled());
            }
        });
    });
}

#[test]
fn an_operation_dropped_in_flight_is_cancelled_and_gives_back_what_it_held() {
    on_every_backend(|runtime| {
        runtime.block_on(async {
            let (here, there) = handle().socket_pair(SocketType::Stream).unwrap();
            let mut receive = Box::pin(operation(Receive::some(there, vec![0; 64])));
            poll_fn(|cx| {
                assert!(receive.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            drop(receive);
            // The peer is closed when the last operation on it has ended: then the stream is at its end.
            let (_, outcome) = operation(Receive::some(here, vec![0; 1])).await;
            assert_eq!(outcome.result.unwrap(), 0);
        });
        assert_eq!(runtime.shutdown(Duration::from_secs(10)), 0);
    });
}

#[test]
fn an_operation_outlives_its_runtime_and_is_dropped_anywhere() {
    on_every_backend(|runtime| {
        let mut waiting = Box::pin(operation(EventWait::new(runtime.handle().event().unwrap())));
        let mut ended = Box::pin(operation(Nop));
        let mut kept = Box::pin(operation(EventWait::new(runtime.handle().event().unwrap())));
        runtime.block_on(poll_fn(|cx| {
            assert!(waiting.as_mut().poll(cx).is_pending());
            assert!(ended.as_mut().poll(cx).is_pending());
            assert!(kept.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        }));
        drop(waiting); // outside, the runtime is there
        assert_eq!(runtime.shutdown(Duration::from_secs(10)), 0);
        drop(ended);
        let Poll::Ready((_, outcome)) = kept.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("it has ended with its runtime")
        };
        assert!(outcome.result.unwrap_err().is_cancelled());
    });
}

#[test]
fn a_future_of_another_threads_proactor_is_awaited_here() {
    let thread = ProactorThread::spawn(proact::proactor::Builder::new()).unwrap();
    let handle = thread.handle().clone();
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        for _ in 0..1000 {
            assert!(handle.future(Nop).await.1.result.is_ok());
        }
        let semaphore = Semaphore::new(0);
        let wait = spawn(handle.future(SemaphoreWait::new(semaphore.clone(), 1)));
        yield_now().await;
        semaphore.signal(1, None).unwrap();
        wait.await.unwrap().1.result.unwrap();
    });
    thread.join().unwrap();
}

#[test]
fn futures_of_another_threads_proactor_are_dropped_at_any_moment() {
    let thread = ProactorThread::spawn(proact::proactor::Builder::new()).unwrap();
    let handle = thread.handle().clone();
    let mut cx = Context::from_waker(Waker::noop());
    for round in 0..3000u32 {
        drop(handle.future(Nop));
        let mut future = handle.future(Nop);
        let _ = Pin::new(&mut future).poll(&mut cx);
        for _ in 0..round % 64 {
            std::hint::spin_loop();
        }
        drop(future);
        let far = handle.clock().now() + Duration::from_secs(3600);
        let mut future = handle.future(Timer::new(far));
        assert!(Pin::new(&mut future).poll(&mut cx).is_pending());
    }
    thread.join().unwrap();
}

#[test]
fn a_waker_that_drops_a_future_inside_of_a_poll_is_no_trouble() {
    use std::cell::RefCell;
    use std::sync::Arc;
    use std::task::Wake;

    std::thread_local! {
        static VICTIM: RefCell<Option<Pin<Box<dyn Future<Output = ()>>>>> = const { RefCell::new(None) };
    }
    struct Drops(Waker);
    impl Wake for Drops {
        fn wake(self: Arc<Self>) {
            drop(VICTIM.take());
            self.0.wake_by_ref();
        }
    }
    on_every_backend(|runtime| {
        let event = runtime.handle().event().unwrap();
        runtime.block_on(async {
            let mut victim: Pin<Box<dyn Future<Output = ()>>> = Box::pin(async {
                operation(EventWait::new(event)).await;
            });
            poll_fn(|cx| {
                assert!(victim.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            VICTIM.set(Some(victim));
            let mut trigger = pin!(operation(Nop));
            poll_fn(|cx| {
                let waker = Waker::from(Arc::new(Drops(cx.waker().clone())));
                trigger.as_mut().poll(&mut Context::from_waker(&waker)).map(|_| ())
            })
            .await;
            assert!(VICTIM.take().is_none());
        });
        assert_eq!(runtime.shutdown(Duration::from_secs(10)), 0);
    });
}

#[test]
fn bytes_go_there_and_back() {
    on_every_backend(|runtime| {
        let outcome: proact::status::Result = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0".parse()?)?;
            let address = listener.local_address()?;
            let server = spawn(async move {
                let (stream, peer) = listener.accept().await?;
                assert_eq!(peer, stream.peer_address()?);
                let (count, mut buffer) = stream.read(vec![0; 64]).await;
                buffer.truncate(count?);
                stream.write_all(buffer).await.0
            });
            let stream = TcpStream::connect(address).await?;
            stream.write_all(b"hello".to_vec()).await.0?;
            let (count, buffer) = stream.read_exact(vec![0; 5]).await;
            assert_eq!((count?, buffer.as_slice()), (5, b"hello".as_slice()));
            assert_eq!(server.await.unwrap()?, 5);
            assert_eq!(stream.read(buffer).await.0?, 0);
            Ok(())
        });
        outcome.unwrap();
    });
}

#[test]
fn a_stream_of_connections_is_bounded_and_loses_none() {
    const CONNECTIONS: usize = 120;
    on_every_backend(|runtime| {
        let outcome: proact::status::Result = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0".parse()?)?;
            let address = listener.local_address()?;
            let mut incoming = listener.incoming();
            // Armed, and not looked at while all connect: as many as fit wait in the stream, the rest in the kernel.
            let first = poll_fn(|cx| Poll::Ready(Pin::new(&mut incoming).poll_next(cx))).await;
            assert!(first.is_pending());
            let clients = spawn(async move {
                let mut streams = Vec::new();
                for _ in 0..CONNECTIONS {
                    streams.push(TcpStream::connect(address.clone()).await.unwrap());
                }
                streams
            });
            let mut clients = clients.await.unwrap();
            let mut accepted = Vec::new();
            while accepted.len() < clients.len() {
                let next = poll_fn(|cx| Pin::new(&mut incoming).poll_next(cx)).await;
                accepted.push(next.expect("it does not end")?.0);
            }
            let mut peers: Vec<_> = accepted.iter().map(|stream| stream.peer_address().unwrap().to_string()).collect();
            let mut own: Vec<_> = clients.iter().map(|stream| stream.local_address().unwrap().to_string()).collect();
            peers.sort();
            own.sort();
            assert_eq!(peers, own);
            drop(incoming);
            clients.clear();
            Ok(())
        });
        outcome.unwrap();
        assert_eq!(runtime.shutdown(Duration::from_secs(10)), 0);
    });
}
