//! What `net` makes of operations: connections to names, servers, proxies; and the forms of sending and receiving that
//! `net` has beside the plain ones.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use futures_core::Stream;
use proact::resource::{Address, Shutdown, SocketOptions};
use proact::status::Result;
use proact_async::net::{
    Connector, Resolve, Server, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream, splice, splice_both,
};
use proact_async::{Stop, metrics, time, yield_now};

use super::net::listen;
use super::{Helper, Place, failed, right};

const SOON: Duration = Duration::from_micros(50);

/// Answers these after a while: without the threads of the system's resolver, which stay.
struct Told(Vec<SocketAddr>);

impl Resolve for Told {
    async fn resolve(&self, _: &str, _: u16) -> Result<Vec<SocketAddr>> {
        time::sleep(SOON).await;
        Ok(self.0.clone())
    }
}

pub async fn raced(_: Place) -> Result {
    let (listener, address) = listen()?;
    let port = address.port().expect("it has one");
    let good = SocketAddr::from(([127, 0, 0, 1], port));
    // Nobody listens on the first two; the one that answers comes in three times over, so that there are losers.
    let refuses = SocketAddr::from(([127, 0, 0, 1], 1));
    let nobody = SocketAddr::from(([127, 0, 0, 2], 2));
    let connector = Connector::with_resolver(Told(vec![refuses, nobody, good])).attempt_delay(Duration::from_nanos(1));
    let stream = connector.connect("name", port).await?;
    listener.accept().await?;
    drop(stream);
    let stream = connector.connect_any(&[refuses, good]).await?;
    right(stream.peer_address()? == address, "another peer")?;
    let late = connector.time_limit(Duration::from_nanos(1)).connect("name", port).await;
    right(late.is_err(), "no name was found in no time")
}

pub async fn served(_: Place) -> Result {
    let (listener, address) = listen()?;
    let stop = Stop::new();
    let server = Server::new(listener).connections_max(2).grace(Duration::from_millis(1));
    let serving = Helper::new(server.run(stop.clone(), |stream, _| async move {
        let (_, buffer) = stream.read(vec![0; 5]).await;
        let _ = stream.write_all(buffer).await;
        let _ = stream.read(vec![0; 5]).await;
    }));
    let clients = Helper::new(async move {
        let client = TcpStream::connect(address.clone()).await?;
        client.write_all(b"hello".as_slice()).await.0?;
        client.read_exact(vec![0; 5]).await.0?;
        // Is cancelled, after the grace.
        let other = TcpStream::connect(address).await?;
        other.write_all(b"hello".as_slice()).await.0?;
        other.read_exact(vec![0; 5]).await.0?;
        Ok(other)
    });
    let other = clients.end().await;
    stop.request();
    let report = serving.end().await;
    let ended = report.finished + report.cancelled + report.panicked;
    right(report.accepted == ended, "a connection was forgotten")?;
    other.map(drop)
}

/// A server that is the future itself, and not a task.
pub async fn serving(_: Place) -> Result {
    let (listener, address) = listen()?;
    let stop = Stop::new();
    let asks = Helper::new({
        let stop = stop.clone();
        async move {
            let client = TcpStream::connect(address).await;
            yield_now().await;
            stop.request();
            client.map(drop)
        }
    });
    let server = Server::new(listener).grace(Duration::from_secs(60));
    let report = server.run(stop, |stream, _| async move { drop(stream.read(vec![0; 5]).await) }).await;
    right(report.panicked == 0, "a connection has panicked")?;
    asks.end().await
}

pub async fn spliced(_: Place) -> Result {
    let ((client, near), (far, server)) = (UnixStream::pair()?, UnixStream::pair()?);
    let ends = Helper::new(async move {
        client.write_all(vec![1; 9000]).await.0?;
        client.shutdown(Shutdown::Send)?;
        server.read_exact(vec![0; 9000]).await.0?;
        server.write_all(b"done".as_slice()).await.0?;
        server.shutdown(Shutdown::Send)?;
        client.read_exact(vec![0; 4]).await.0
    });
    right(splice_both(near.socket(), far.socket()).await? == (9000, 4), "other counts")?;
    ends.end().await?;
    let ((client, near), (far, server)) = (UnixStream::pair()?, UnixStream::pair()?);
    let sends = Helper::new(async move { client.write_all(vec![2; 100]).await.0 });
    right(splice(near.socket(), far.socket()).await? == 100, "another count")?;
    sends.end().await?;
    server.read_exact(vec![0; 100]).await.0.map(drop)
}

pub async fn vectored(place: Place) -> Result {
    let address = Address::unix(place.folder.join("socket"))?;
    let listener = UnixListener::bind(address.clone())?;
    let connects = Helper::new(UnixStream::connect(address));
    let (one, _) = listener.accept().await?;
    let other = connects.end().await?;
    one.write_vectored(vec![b"so".to_vec(), b"me".to_vec()]).await.0?;
    other.read_exact_vectored(vec![vec![0; 3], vec![0; 1]]).await.0?;
    let reads = Helper::new({
        let other = other.clone();
        async move { other.read_exact(vec![0; 9000]).await.0 }
    });
    one.write_all_vectored(vec![vec![1; 4000], Vec::new(), vec![2; 5000]]).await.0?;
    reads.end().await?;
    one.write_all(b"x".as_slice()).await.0?;
    other.read_vectored(vec![vec![0; 3], vec![0; 3]]).await.0?;
    let file = std::fs::File::open(place.folder.join("old")).map_err(failed)?;
    one.send_descriptors(b"f".to_vec(), vec![file.into()]).await.0?;
    let received = other.receive_descriptors(vec![0; 4], 2).await.0?;
    right(received.descriptors.len() == 1, "a descriptor was sent")?;
    other.write_all(vec![3; 6000]).await.0?;
    one.read_pooled(&place.pool).await?;
    let mut leases = one.leases(&place.pool);
    if let Some(lease) = poll_fn(|cx| Pin::new(&mut leases).poll_next(cx)).await {
        lease?;
    }
    drop(leases);
    one.close().await?;
    other.close().await?;
    listener.close().await
}

pub async fn internet(_: Place) -> Result {
    let (listener, address) = listen()?;
    let options = SocketOptions { no_delay: true, ..SocketOptions::default() };
    let here = "127.0.0.1:0".parse()?;
    let connects = Helper::new(async move { TcpStream::connect_from(&here, address, &options).await });
    let (one, _) = listener.accept().await?;
    let other = connects.end().await?;
    let reads = Helper::new(async move { other.read_exact(vec![0; 9000]).await.0 });
    right(one.write_zero_copy(vec![4; 9000]).await.0?.count == 9000, "not all was sent")?;
    reads.end().await.map(drop)
}

pub async fn datagrams(place: Place) -> Result {
    let (one, other) = (UdpSocket::bind("127.0.0.1:0".parse()?)?, UdpSocket::bind("127.0.0.1:0".parse()?)?);
    one.send_to(b"hello".as_slice(), other.local_address()?).await.0?;
    let sender = other.receive(vec![0; 3]).await.0?.sender;
    other.connect(sender).await?;
    other.send(vec![b"two".to_vec(), b"parts".to_vec()]).await.0?;
    one.receive(vec![0; 64]).await.0?;
    one.send_segments(vec![1; 250], 100, other.local_address()?).await.0?;
    let mut datagrams = other.datagrams(&place.pool);
    for _ in 0..3 {
        if let Some(datagram) = poll_fn(|cx| Pin::new(&mut datagrams).poll_next(cx)).await {
            datagram?;
        }
    }
    drop(datagrams);
    let (near, far) = UnixDatagram::pair()?;
    let file = std::fs::File::open(place.folder.join("old")).map_err(failed)?;
    near.send_descriptors(b"again".to_vec(), vec![file.into()]).await.0?;
    far.receive_descriptors(vec![0; 16], 1).await.0?;
    one.close().await
}

/// For as long as it is polled.
pub async fn published(_: Place) -> Result {
    right(time::timeout(SOON * 3, metrics::publish_every(SOON)).await.is_err(), "it ends")
}
