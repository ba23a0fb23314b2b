//! Connections.

use std::future::poll_fn;
use std::pin::Pin;

use futures_core::Stream;
use proact::operation::{ReceivePooled, ReceivePooledMany, Send};
use proact::resource::{Address, SocketOptions, SocketType};
use proact::status::Result;
use proact_async::net::{TcpListener, TcpStream};
use proact_async::{handle, operation, stream};

use super::{Helper, Place};

/// Somebody who listens, and where.
pub fn listen() -> Result<(TcpListener, Address)> {
    let simulated = handle().backend() == "simulated";
    let listener = TcpListener::bind(if simulated { "0.0.0.0:7000" } else { "127.0.0.1:0" }.parse()?)?;
    let address = if simulated { "127.0.0.1:7000".parse()? } else { listener.local_address()? };
    Ok((listener, address))
}

/// Two ends of a connection.
pub async fn connected() -> Result<(TcpStream, TcpStream)> {
    let (listener, address) = listen()?;
    let connects = Helper::new(TcpStream::connect(address));
    let (far, _) = listener.accept().await?;
    Ok((connects.end().await?, far))
}

pub async fn connection(_: Place) -> Result {
    let (listener, address) = listen()?;
    let client = Helper::new({
        let address = address.clone();
        async move {
            let stream = TcpStream::connect(address.clone()).await?;
            stream.write_all(b"hello".as_slice()).await.0?;
            let (count, _) = stream.read_exact(vec![0; 5]).await;
            count?;
            TcpStream::connect(address).await
        }
    });
    let (stream, _) = listener.accept().await?;
    let (count, buffer) = stream.read_exact(vec![0; 4]).await;
    count?;
    stream.read(vec![0; 64]).await.0?;
    stream.write_all(buffer).await.0?;
    stream.write(b"o".as_slice()).await.0?;
    let mut incoming = listener.incoming();
    let second = poll_fn(|cx| Pin::new(&mut incoming).poll_next(cx)).await;
    if let Some(second) = second {
        second?;
    }
    client.end().await?;
    let third = Helper::new(async move {
        let next = poll_fn(|cx| Pin::new(&mut incoming).poll_next(cx)).await;
        next.map(|accepted| accepted.map(drop))
    });
    TcpStream::connect_with(address, &SocketOptions::default()).await?;
    third.end().await.unwrap_or(Ok(()))
}

/// Buffers that the kernel chooses come back, whoever has them.
pub async fn pooled(place: Place) -> Result {
    let (here, there) = handle().socket_pair(SocketType::Stream)?;
    operation(Send::exact(there.clone(), vec![1; 100])).await.1.result?;
    let one = operation(ReceivePooled::new(here.clone(), &place.pool)).await.1.result?;
    let mut many = stream(ReceivePooledMany::new(here, &place.pool));
    operation(Send::exact(there.clone(), vec![2; 100])).await.1.result?;
    let next = poll_fn(|cx| Pin::new(&mut many).poll_next(cx)).await;
    operation(Send::exact(there, vec![3; 6000])).await.1.result?;
    drop(one);
    let other = poll_fn(|cx| Pin::new(&mut many).poll_next(cx)).await;
    for outcome in [next, other].into_iter().flatten() {
        outcome.result?;
    }
    Ok(())
}
