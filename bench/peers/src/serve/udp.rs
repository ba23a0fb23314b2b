//! Datagrams that are sent back to where they came from: one loop, one buffer, one at a time; where it says `pooled`,
//! as they come, into buffers of a pool, each of which is sent back.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use compio::BufResult;
use compio::buf::IntoInner;
use io_uring::{opcode, types};
use proact::memory::{Allocation, BufferPool, Lease, Slab};
use proact::operation::{
    Complete, Context, Datagram, Finish, Op, OpPool, Outcome, ReceiveFrom, ReceiveFromPooledMany, SendTo,
};
use proact::proactor::Builder;
use proact::resource::{Address, Socket};
use proact::time::Timeout;

use super::BUFFER;
use crate::{Failure, bare};

type Serve = fn(UdpSocket) -> Result<(), Failure>;

/// Who answers datagrams, in the order of the tables.
pub const PEERS: &[(&str, Serve)] = &[
    ("blocking", blocking),
    ("ring", ring),
    ("proact", |socket| proact(socket, "io_uring")),
    ("proact-epoll", |socket| proact(socket, "epoll")),
    ("proact-pooled", proact_pooled),
    ("proact-async", |socket| proact_async(socket, "io_uring")),
    ("proact-async-epoll", |socket| proact_async(socket, "epoll")),
    ("proact-async-pooled", proact_async_pooled),
    ("tokio", tokio),
    ("compio", compio),
    ("monoio", monoio),
];

/// The floor: two system calls a datagram, and no loop that could wait for anything else.
fn blocking(socket: UdpSocket) -> Result<(), Failure> {
    let mut buffer = [0; BUFFER];
    loop {
        let (length, from) = socket.recv_from(&mut buffer)?;
        socket.send_to(&buffer[..length], from)?;
    }
}

/// A bare ring: a message is received, and sent back with the same header.
fn ring(socket: UdpSocket) -> Result<(), Failure> {
    let mut ring = bare::ring(64)?;
    let (mut buffer, fd) = (Box::new([0u8; BUFFER]), types::Fd(socket.as_raw_fd()));
    // SAFETY: both are plain data, for which zeros are valid.
    let (mut name, mut header): (Box<libc::sockaddr_storage>, Box<libc::msghdr>) =
        unsafe { (Box::new(std::mem::zeroed()), Box::new(std::mem::zeroed())) };
    let mut part = Box::new(libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: BUFFER });
    header.msg_name = (&raw mut *name).cast();
    header.msg_iov = &raw mut *part;
    header.msg_iovlen = 1;
    let mut step = |entry: io_uring::squeue::Entry| -> Result<usize, Failure> {
        // SAFETY: header, name, part and buffer live in boxes that outlive the ring.
        unsafe { ring.push(&entry) }?;
        ring.enter(1)?;
        let result = ring.ended().next().map_or(-libc::EIO, |completion| completion.result());
        usize::try_from(result).map_err(|_| std::io::Error::from_raw_os_error(-result).into())
    };
    loop {
        header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        part.iov_len = BUFFER;
        let length = step(opcode::RecvMsg::new(fd, &raw mut *header).build())?;
        part.iov_len = length;
        step(opcode::SendMsg::new(fd, &raw const *header).build())?;
    }
}

type ReceiveOp = Box<Op<ReceiveFrom<Lease>, Receiving>>;
type SendOp = Box<Op<SendTo<Lease>, Sending>>;

/// So many buffers of a pool: to be sent from as many bytes as have come, and received into again, their length is set.
/// As with the others here, nothing but the kernel writes into them.
fn leases<const N: usize>() -> Result<[Lease; N], Failure> {
    let pool = BufferPool::new(Slab::allocate(BUFFER, N as u32, &Allocation::new())?)?;
    let leases = (0..N).map(|_| pool.acquire()).collect::<Result<Vec<_>, _>>()?;
    Ok(leases.try_into().map_err(|_| "as many were asked for")?)
}

/// A receive keeps the send that follows it, and the other way round.
struct Receiving(Option<SendOp>);
struct Sending(Option<ReceiveOp>);

impl Complete<ReceiveFrom<Lease>> for Receiving {
    fn done(mut op: ReceiveOp, outcome: Outcome<ReceiveFrom<Lease>>, cx: &mut Context<'_>) {
        let Ok(Datagram { length, sender, .. }) = outcome.result else { return };
        let mut send = op.state.0.take().expect("there is a send");
        std::mem::swap(&mut send.kind.buffer, &mut op.kind.buffer);
        send.kind.buffer.set_len(length);
        send.kind.address = Some(sender);
        send.state.0 = Some(op);
        let _ = cx.submit(send);
    }
}

impl Complete<SendTo<Lease>> for Sending {
    fn done(mut op: SendOp, _: Outcome<SendTo<Lease>>, cx: &mut Context<'_>) {
        let mut receive = op.state.0.take().expect("there is a receive");
        receive.kind.buffer.set_len(BUFFER);
        receive.state.0 = Some(op);
        let _ = cx.submit(receive);
    }
}

fn proact(socket: UdpSocket, backend: &str) -> Result<(), Failure> {
    let mut proactor = Builder::new().backend(backend.parse()?).build()?;
    let socket = proactor.handle().import_socket(socket.into()).map_err(|returned| returned.status)?;
    let [out, into] = leases()?;
    let send = Op::new(SendTo::new(socket.clone(), out, Address::Unnamed), Sending(None));
    let receive = Op::new(ReceiveFrom::new(socket, into), Receiving(Some(send)));
    proactor.submit(receive).map_err(|refused| refused.status)?;
    loop {
        proactor.poll(Timeout::Infinite)?;
    }
}

/// Receives that go on by themselves, each into a buffer of a pool, which is sent back.
struct Answering {
    socket: Socket,
    sends: OpPool<SendTo<Lease>, Sent>,
}

struct Sent;

impl Finish<SendTo<Lease>> for Sent {
    fn finish(&mut self, _: &mut SendTo<Lease>, _: Outcome<SendTo<Lease>>, _: &mut Context<'_>) {}
}

impl Complete<ReceiveFromPooledMany> for Answering {
    fn more(&mut self, _: &ReceiveFromPooledMany, outcome: Outcome<ReceiveFromPooledMany>, cx: &mut Context<'_>) {
        let Ok(datagram) = outcome.result else { return };
        let send = SendTo::new(self.socket.clone(), datagram.bytes, datagram.sender);
        let _ = cx.submit(self.sends.take(send, Sent));
    }

    fn done(_: Box<Op<ReceiveFromPooledMany, Self>>, outcome: Outcome<ReceiveFromPooledMany>, _: &mut Context<'_>) {
        eprintln!("peers: receiving ended: {:?}", outcome.result.err());
    }
}

fn pool() -> Result<BufferPool, Failure> {
    Ok(BufferPool::new(Slab::allocate(BUFFER + ReceiveFromPooledMany::OVERHEAD, 256, &Allocation::new())?)?)
}

fn proact_pooled(socket: UdpSocket) -> Result<(), Failure> {
    let mut proactor = Builder::new().backend("io_uring".parse()?).build()?;
    let socket = proactor.handle().import_socket(socket.into()).map_err(|returned| returned.status)?;
    let answering = Answering { socket: socket.clone(), sends: OpPool::new() };
    let receive = ReceiveFromPooledMany::new(socket, &pool()?);
    proactor.submit(Op::new(receive, answering)).map_err(|refused| refused.status)?;
    loop {
        proactor.poll(Timeout::Infinite)?;
    }
}

fn proact_async_pooled(socket: UdpSocket) -> Result<(), Failure> {
    use futures_lite::StreamExt;
    let runtime = proact_async::Runtime::builder().proactor(Builder::new().backend("io_uring".parse()?)).build()?;
    let socket = runtime.handle().import_socket(socket.into()).map_err(|returned| returned.status)?;
    let socket = proact_async::net::UdpSocket::from_socket(socket);
    let mut datagrams = socket.datagrams(&pool()?);
    runtime.block_on(async {
        while let Some(datagram) = datagrams.next().await {
            let datagram = datagram?;
            socket.send_to(datagram.bytes, datagram.sender).await.0?;
        }
        Err("the datagrams came to an end".into())
    })
}

fn proact_async(socket: UdpSocket, backend: &str) -> Result<(), Failure> {
    let runtime = proact_async::Runtime::builder().proactor(Builder::new().backend(backend.parse()?)).build()?;
    let socket = runtime.handle().import_socket(socket.into()).map_err(|returned| returned.status)?;
    let socket = proact_async::net::UdpSocket::from_socket(socket);
    runtime.block_on(async {
        let [mut buffer] = leases()?;
        loop {
            let (received, mut filled) = socket.receive(buffer).await;
            let Datagram { length, sender, .. } = received?;
            filled.set_len(length);
            let (sent, back) = socket.send_to(filled, sender).await;
            sent?;
            buffer = back;
            buffer.set_len(BUFFER);
        }
    })
}

fn tokio(socket: UdpSocket) -> Result<(), Failure> {
    socket.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (socket, mut buffer) = (tokio::net::UdpSocket::from_std(socket)?, [0; BUFFER]);
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await?;
            socket.send_to(&buffer[..length], from).await?;
        }
    })
}

fn compio(socket: UdpSocket) -> Result<(), Failure> {
    use compio::buf::IoBuf;
    compio::runtime::Runtime::new()?.block_on(async {
        let socket = compio::net::UdpSocket::from_std(socket)?;
        let mut buffer = Vec::with_capacity(BUFFER);
        loop {
            let BufResult(received, filled) = socket.recv_from(buffer).await;
            let (length, from): (usize, SocketAddr) = received?;
            let BufResult(sent, slice) = socket.send_to(filled.slice(..length), from).await;
            sent?;
            buffer = slice.into_inner();
            buffer.clear();
        }
    })
}

fn monoio(socket: UdpSocket) -> Result<(), Failure> {
    let mut runtime = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new().build()?;
    runtime.block_on(async {
        let socket = monoio::net::udp::UdpSocket::from_std(socket)?;
        let mut buffer: Vec<u8> = Vec::with_capacity(BUFFER);
        loop {
            let (received, filled) = socket.recv_from(buffer).await;
            let (_, from) = received?;
            let (sent, mut back) = socket.send_to(filled, from).await;
            sent?;
            back.clear();
            buffer = back;
        }
    })
}
