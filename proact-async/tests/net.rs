//! Sockets: streams, halves, buffers of pools, datagrams, on every backend.

mod support;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use futures_core::Stream;
use proact::memory::{BufferPool, Slab};
use proact::operation::{Receive, SemaphoreWait, Send, Sequence};
use proact::resource::{Address, Shutdown, SocketOptions, SocketState};
use proact::status::{Code, Result};
use proact::sync::Semaphore;
use proact_async::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream, splice_both};
use proact_async::{Runtime, operation, spawn, time, yield_now};
use support::on_every_backend;

fn pool(size: usize, count: u32) -> BufferPool {
    BufferPool::new(Slab::allocate(size, count, &Default::default()).unwrap()).unwrap()
}

/// The next item.
async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    poll_fn(|cx| Pin::new(&mut *stream).poll_next(cx)).await
}

/// Polls once, and expects nothing yet.
async fn begin<F: Future>(mut future: Pin<&mut F>) {
    let pending = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await;
    assert!(pending);
}

/// Lets others run until it is so.
async fn until(what: &str, mut so: impl FnMut() -> bool) {
    for _ in 0..10_000 {
        if so() {
            return;
        }
        time::sleep(Duration::from_micros(100)).await;
    }
    panic!("it does not come to this: {what}");
}

async fn pair() -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0".parse()?)?;
    let connect = spawn(TcpStream::connect(listener.local_address()?));
    let (accepted, _) = listener.accept().await?;
    Ok((connect.await.unwrap()?, accepted))
}

/// Runs `test` on every backend; what it leaves in flight ends with the runtime.
fn run(test: impl AsyncFn() -> Result) {
    on_every_backend(|runtime: Runtime| {
        let name = runtime.handle().backend().to_owned();
        let ended = runtime.block_on(async { time::timeout(Duration::from_secs(60), test()).await });
        ended.unwrap_or_else(|_| panic!("{name}: it hangs")).unwrap_or_else(|status| panic!("{name}: {status:?}"));
        assert_eq!(runtime.shutdown(Duration::from_secs(10)), 0, "{name}");
    });
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 + at / 251) as u8).collect()
}

#[test]
fn vectored_and_zero_copy_writes_arrive_in_their_order() {
    run(async || {
        let (one, other) = pair().await?;
        let (count, buffers) = one.write_all_vectored(vec![b"head".to_vec(), Vec::new(), b"body".to_vec()]).await;
        assert_eq!((count?, buffers.len()), (8, 3));
        let (count, parts) = other.read_exact_vectored(vec![vec![0; 5], vec![0; 3]]).await;
        assert_eq!((count?, parts.concat()), (8, b"headbody".to_vec()));

        let body = pattern(300_000);
        let reader = spawn({
            let (other, length) = (other.clone(), body.len());
            async move { other.read_exact(vec![0; length]).await.1 }
        });
        let (written, body) = one.write_zero_copy(body).await;
        let written = written?;
        // Over loopback the kernel copies, and says so.
        assert_eq!((written.count, written.zero_copy), (body.len(), false));
        assert!(reader.await.unwrap() == body);

        let (count, _) = one.write_vectored(vec![b"so".to_vec(), b"me".to_vec()]).await;
        assert_eq!(count?, 4);
        let (count, parts) = other.read_vectored(vec![vec![0; 3], vec![0; 16]]).await;
        assert_eq!((count?, &parts.concat()[..4]), (4, b"some".as_slice()));
        Ok(())
    });
}

#[test]
fn writes_side_by_side_go_out_whole_and_in_their_order() {
    run(async || {
        let (one, other) = pair().await?;
        const WRITES: usize = 8;
        const LENGTH: usize = 200_000;
        let writers: Vec<_> = (0..WRITES)
            .map(|index| {
                let one = one.clone();
                spawn(async move { one.write_all(vec![index as u8; LENGTH]).await.0 })
            })
            .collect();
        let (count, bytes) = other.read_exact(vec![0xff; WRITES * LENGTH]).await;
        assert_eq!(count?, WRITES * LENGTH);
        assert!(bytes.chunks(LENGTH).enumerate().all(|(index, chunk)| chunk.iter().all(|&byte| byte == index as u8)));
        for writer in writers {
            assert_eq!(writer.await.unwrap()?, LENGTH);
        }
        Ok(())
    });
}

#[test]
fn halves_go_to_two_tasks_and_the_write_half_ends_its_direction() {
    run(async || {
        let (one, other) = pair().await?;
        let (read, write) = one.split();
        let reader = spawn(async move {
            let (count, bytes) = read.read_exact(vec![0; 9]).await;
            assert_eq!(count.unwrap(), 9);
            assert_eq!(read.read(vec![0; 1]).await.0.unwrap(), 0, "the end");
            bytes
        });
        let writer = spawn(async move { write.write_all(b"question".to_vec()).await.0 });
        assert_eq!(writer.await.unwrap()?, 8);
        // The write half is gone, the read half is not: the peer has read to the end, and can still write.
        assert_eq!(other.read_exact(vec![0; 8]).await.1, b"question");
        assert_eq!(other.read(vec![0; 8]).await.0?, 0);
        other.write_all(b"an answer".to_vec()).await.0?;
        other.shutdown(Shutdown::Send)?;
        assert_eq!(reader.await.unwrap(), b"an answer");
        Ok(())
    });
}

#[test]
fn an_idle_connection_holds_no_buffer_and_what_comes_is_leased() {
    run(async || {
        let pool = pool(64, 4);
        let (one, other) = pair().await?;
        let mut receive = Box::pin(other.read_pooled(&pool));
        begin(receive.as_mut()).await;
        one.write_all(b"hello".to_vec()).await.0?;
        let lease = receive.as_mut().await?.expect("no end");
        drop(receive);
        assert_eq!(&lease[..], b"hello");
        drop(lease);
        one.shutdown(Shutdown::Send)?;
        assert!(other.read_pooled(&pool).await?.is_none());
        drop((one, other));
        until("all buffers are back", || pool.available() == 4).await;
        Ok(())
    });
}

#[test]
fn a_stream_of_leases_holds_the_peer_up_and_loses_nothing() {
    run(async || {
        let pool = pool(256, 4);
        let (one, other) = pair().await?;
        let sent = pattern(400_000);
        let writer = spawn({
            let sent = sent.clone();
            async move {
                one.write_all(sent).await.0?;
                one.shutdown(Shutdown::Send)
            }
        });
        let mut leases = other.leases(&pool).capacity(2);
        let (mut bytes, mut held) = (Vec::new(), Vec::new());
        while let Some(lease) = next(&mut leases).await {
            let lease = lease?;
            bytes.extend_from_slice(&lease);
            held.push(lease);
            if held.len() == 4 || bytes.len() % 3 == 0 {
                // With all of them held the pool is empty: nothing fails, the stream waits.
                if held.len() == 4 {
                    begin(pin!(next(&mut leases))).await;
                }
                held.clear();
            }
        }
        writer.await.unwrap()?;
        assert!(bytes == sent, "{} of {} bytes", bytes.len(), sent.len());
        drop((leases, held));
        until("all buffers are back", || pool.available() == 4).await;
        Ok(())
    });
}

#[test]
fn what_is_dropped_in_flight_gives_its_buffers_back() {
    run(async || {
        let pool = pool(256, 4);
        let (one, other) = pair().await?;
        {
            let mut receive = Box::pin(other.read_pooled(&pool));
            begin(receive.as_mut()).await;
        }
        let mut leases = other.leases(&pool);
        begin(pin!(next(&mut leases))).await;
        one.write_all(vec![1; 600]).await.0?;
        // Let some wait in the stream, and drop it with them.
        assert!(next(&mut leases).await.unwrap()?.len() <= 256);
        time::sleep(Duration::from_millis(1)).await;
        drop(leases);
        {
            let mut receive = Box::pin(other.read_pooled(&pool));
            let _ = poll_fn(|cx| Poll::Ready(receive.as_mut().poll(cx).is_ready())).await;
            one.write_all(vec![1; 100]).await.0?;
            // Completed, and never looked at.
            time::sleep(Duration::from_millis(1)).await;
        }
        drop((one, other));
        until("all buffers are back", || pool.available() == 4).await;
        Ok(())
    });
}

#[test]
fn a_connection_accepted_for_nobody_is_closed() {
    run(async || {
        let listener = TcpListener::bind("127.0.0.1:0".parse()?)?;
        let address = listener.local_address()?;
        let client = {
            let mut accept = Box::pin(listener.accept());
            begin(accept.as_mut()).await;
            let client = TcpStream::connect(address.clone()).await?;
            // It has completed, or will in a moment; nobody looks.
            time::sleep(Duration::from_millis(1)).await;
            client
        };
        match client.read(vec![0; 1]).await.0 {
            Ok(0) => {}
            other => assert_eq!(other.unwrap_err().code(), Code::Unavailable),
        }
        // In the stream it waits for the next look, whoever was dropped before that.
        let mut incoming = listener.incoming();
        begin(pin!(next(&mut incoming))).await;
        let client = TcpStream::connect(address).await?;
        time::sleep(Duration::from_millis(1)).await;
        let (accepted, peer) = next(&mut incoming).await.unwrap()?;
        assert_eq!(peer, client.local_address()?);
        accepted.write_all(b"hello".to_vec()).await.0?;
        assert_eq!(client.read_exact(vec![0; 5]).await.1, b"hello");
        drop(incoming);
        listener.close().await?;
        Ok(())
    });
}

#[test]
fn close_ends_what_is_in_flight_and_waits_for_it() {
    run(async || {
        let (one, other) = pair().await?;
        let reading = spawn({
            let one = one.clone();
            async move { one.read(vec![0; 16]).await.0 }
        });
        yield_now().await;
        yield_now().await;
        let kept = one.clone();
        one.close().await?;
        assert!(reading.await.unwrap().unwrap_err().is_cancelled());
        assert_eq!(kept.socket().state(), SocketState::Closed);
        assert_eq!(kept.write_all(b"x".to_vec()).await.0.unwrap_err().code(), Code::FailedPrecondition);
        assert_eq!(other.read(vec![0; 1]).await.0?, 0);
        Ok(())
    });
}

#[test]
fn failures_name_what_they_were_about() {
    run(async || {
        let listener = TcpListener::bind("127.0.0.1:0".parse()?)?;
        let address = listener.local_address()?;
        let taken = TcpListener::bind(address.clone()).unwrap_err();
        assert_eq!(taken.code(), Code::AlreadyExists);
        listener.close().await?;
        let refused = TcpStream::connect(address.clone()).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable);
        assert!(refused.to_string().contains(&address.to_string()), "{refused}");
        let (one, other) = pair().await?;
        drop(one);
        let (short, buffer) = other.read_exact(vec![7; 4]).await;
        assert_eq!((short.unwrap_err().code(), buffer.len()), (Code::OutOfRange, 4));
        Ok(())
    });
}

#[test]
fn options_are_set_before_and_a_backlog_is_taken() {
    run(async || {
        let options = SocketOptions { no_delay: true, reuse_address: true, ..SocketOptions::default() };
        let listener = TcpListener::bind_backlog(&"[::1]:0".parse()?, &options, 4)?;
        let mut accept = pin!(listener.accept());
        begin(accept.as_mut()).await;
        let client = TcpStream::connect_from(&"[::1]:0".parse()?, listener.local_address()?, &options).await?;
        let (accepted, _) = accept.await?;
        assert!(client.socket().no_delay()? && accepted.socket().no_delay()?);
        client.set_no_delay(false)?;
        assert!(!client.socket().no_delay()?);
        Ok(())
    });
}

#[test]
fn a_server_that_begins_again_has_its_address_at_once() {
    run(async || {
        let listener = TcpListener::bind("127.0.0.1:0".parse()?)?;
        let address = listener.local_address()?;
        let client = TcpStream::connect(address.clone()).await?;
        let (accepted, _) = listener.accept().await?;
        listener.close().await?;
        // A connection of the server before has the address still; one that has ended keeps it for a minute.
        let without = TcpListener::bind_with(&address, &SocketOptions::default());
        assert_eq!(without.unwrap_err().code(), Code::AlreadyExists);
        TcpListener::bind(address)?.close().await?;
        accepted.close().await?;
        client.close().await
    });
}

#[test]
fn sockets_come_from_the_standard_library_and_go_back() {
    use std::io::{Read, Write};
    run(async || {
        let std_listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = std_listener.local_addr().unwrap();
        let listener = TcpListener::from_std(std_listener).unwrap();
        let thread = std::thread::spawn(move || {
            let mut client = std::net::TcpStream::connect(address).unwrap();
            client.write_all(b"hello").unwrap();
            let mut answer = [0; 5];
            client.read_exact(&mut answer).unwrap();
            answer
        });
        let (stream, _) = listener.accept().await?;
        assert_eq!(stream.read_exact(vec![0; 5]).await.1, b"hello");
        let clone = stream.clone();
        let stream = stream.into_std().unwrap_err();
        assert_eq!(stream.status.code(), Code::FailedPrecondition);
        drop(clone);
        let std = stream.resource.into_std().unwrap();
        let stream = TcpStream::from_std(std).unwrap();
        stream.write_all(b"again".to_vec()).await.0?;
        assert_eq!(&thread.join().unwrap(), b"again");
        let file = std::fs::File::open("/dev/null").unwrap();
        let returned = TcpStream::from_std(std::os::fd::OwnedFd::from(file).into()).unwrap_err();
        assert_eq!(returned.status.code(), Code::InvalidArgument);
        Ok(())
    });
}

#[test]
fn a_chain_is_submitted_whole_and_awaited() {
    run(async || {
        let (one, other) = pair().await?;
        let ready = Semaphore::new(0);
        let wait = SemaphoreWait::new(ready.clone(), 1);
        let send = Send::exact(one.socket().clone(), b"after".to_vec());
        let answer = Receive::exact(one.socket().clone(), vec![0; 6]);
        let chain = spawn(operation(Sequence::new().step(wait).step(send).step(answer)));
        let mut read = pin!(other.read_exact(vec![0; 5]));
        begin(read.as_mut()).await;
        yield_now().await;
        begin(read.as_mut()).await;
        ready.signal(1, None)?;
        assert_eq!(read.await.1, b"after");
        other.write_all(b"answer".to_vec()).await.0?;
        let (chain, outcome) = chain.await.unwrap();
        outcome.result?;
        assert_eq!(chain.kind::<Receive<Vec<u8>>>(2).unwrap().buffer, b"answer");
        // Dropped while it waits, nothing of it happens.
        let send = Send::exact(one.socket().clone(), b"never".to_vec());
        let mut chain = Box::pin(operation(Sequence::new().step(SemaphoreWait::new(ready.clone(), 2)).step(send)));
        begin(chain.as_mut()).await;
        drop(chain);
        yield_now().await;
        ready.signal(2, None)?;
        one.write_all(b"other".to_vec()).await.0?;
        assert_eq!(other.read_exact(vec![0; 5]).await.1, b"other");
        Ok(())
    });
}

#[test]
fn datagrams_have_senders_and_bounds() {
    run(async || {
        let (one, other) = (UdpSocket::bind("127.0.0.1:0".parse()?)?, UdpSocket::bind("127.0.0.1:0".parse()?)?);
        one.send_to(b"hello".to_vec(), other.local_address()?).await.0?;
        let (datagram, buffer) = other.receive(vec![0; 3]).await;
        let datagram = datagram?;
        assert_eq!((datagram.length, datagram.truncated, &buffer[..]), (3, true, b"hel".as_slice()));
        assert_eq!(datagram.sender, one.local_address()?);
        other.connect(datagram.sender).await?;
        assert_eq!(other.peer_address()?, one.local_address()?);
        other.send(vec![b"two".to_vec(), b"parts".to_vec()]).await.0?;
        let (datagram, buffer) = one.receive(vec![0; 64]).await;
        assert_eq!(&buffer[..datagram?.length], b"twoparts");

        let pool = pool(2048, 8);
        let mut datagrams = other.datagrams(&pool);
        for index in 0..20u8 {
            one.send_to(vec![index; 10], other.local_address()?).await.0?;
            let datagram = next(&mut datagrams).await.unwrap()?;
            assert_eq!((&datagram.bytes[..], &datagram.sender), ([index; 10].as_slice(), &one.local_address()?));
        }
        drop(datagrams);
        until("all buffers are back", || pool.available() == 8).await;
        Ok(())
    });
}

#[cfg(target_os = "linux")]
#[test]
fn one_call_sends_many_segments() {
    run(async || {
        let (one, other) = (UdpSocket::bind("127.0.0.1:0".parse()?)?, UdpSocket::bind("127.0.0.1:0".parse()?)?);
        one.send_segments(pattern(250), 100, other.local_address()?).await.0?;
        for length in [100, 100, 50] {
            assert_eq!(other.receive(vec![0; 1500]).await.0?.length, length);
        }
        Ok(())
    });
}

#[test]
fn unix_sockets_have_names_and_pass_descriptors() {
    use std::io::{Read, Seek, Write};
    let folder = std::env::temp_dir().join(format!("proact-async-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let count = std::cell::Cell::new(0);
    run(async || {
        let path = folder.join(format!("socket{}", count.replace(count.get() + 1)));
        let address = Address::unix(&path)?;
        let listener = UnixListener::bind(address.clone())?;
        let mut incoming = listener.incoming();
        begin(pin!(next(&mut incoming))).await;
        let client = UnixStream::connect(address).await?;
        let (server, peer) = next(&mut incoming).await.unwrap()?;
        assert_eq!(peer, Address::Unnamed);

        let mut file = std::fs::File::create_new(path.with_extension("file")).unwrap();
        file.write_all(b"what is in it").unwrap();
        client.send_descriptors(b"f".to_vec(), vec![file.into()]).await.0?;
        let (received, _) = server.receive_descriptors(vec![0; 4], 2).await;
        let mut received = received?;
        assert_eq!((received.length, received.descriptors.len(), received.descriptors_lost), (1, 1, false));
        drop(received.descriptors.pop());

        let (one, other) = UnixDatagram::pair()?;
        let file = std::fs::OpenOptions::new().read(true).open(path.with_extension("file")).unwrap();
        one.send_descriptors(b"again".to_vec(), vec![file.into()]).await.0?;
        let mut received = other.receive_descriptors(vec![0; 16], 1).await.0?;
        let mut file = std::fs::File::from(received.descriptors.pop().unwrap());
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "what is in it");

        let named = UnixDatagram::bind(&Address::unix(path.with_extension("datagram"))?)?;
        UnixDatagram::unbound()?.send_to(b"to a name".to_vec(), named.local_address()?).await.0?;
        assert_eq!(named.receive(vec![0; 64]).await.0?.length, 9);
        Ok(())
    });
    std::fs::remove_dir_all(&folder).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn a_proxy_splices_both_ways_and_either_side_may_end_first() {
    run(async || {
        let (client, near) = pair().await?;
        let (far, server) = pair().await?;
        let proxy = spawn(async move { splice_both(near.socket(), far.socket()).await });
        let request = pattern(700_000);
        let served = spawn({
            let length = request.len();
            async move {
                let (count, bytes) = server.read_exact(vec![0; length]).await;
                assert_eq!(count.unwrap(), length);
                assert_eq!(server.read(vec![0; 1]).await.0.unwrap(), 0, "the client's end");
                server.write_all(b"done".to_vec()).await.0.unwrap();
                bytes
            }
        });
        let (written, request) = client.write_all(request).await;
        written?;
        client.shutdown(Shutdown::Send)?;
        assert_eq!(client.read_exact(vec![0; 4]).await.1, b"done");
        assert_eq!(client.read(vec![0; 1]).await.0?, 0, "the server's end");
        assert!(served.await.unwrap() == request);
        assert_eq!(proxy.await.unwrap()?, (request.len() as u64, 4));
        Ok(())
    });
}
