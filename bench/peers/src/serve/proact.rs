//! proact by callbacks: two operations a connection, which are made once and take turns.

use proact::memory::{Allocation, BufferPool, Lease, Slab};
use proact::operation::{AcceptMany, Complete, Context, Finish, Op, OpPool, Outcome, Receive, ReceivePooledMany, Send};
use proact::proactor::{Builder, Proactor};
use proact::resource::Socket;
use proact::time::Timeout;

use super::{Answer, BUFFER};
use crate::Failure;

type ReceiveOp = Box<Op<Receive<Vec<u8>>, Receiving>>;
type SendOp = Box<Op<Send<Vec<u8>>, Sending>>;

/// A receive keeps the send that follows it.
struct Receiving {
    next: Option<SendOp>,
    answer: Answer,
}

/// And the send keeps the receive.
struct Sending {
    next: Option<ReceiveOp>,
}

impl Complete<Receive<Vec<u8>>> for Receiving {
    fn done(mut op: ReceiveOp, outcome: Outcome<Receive<Vec<u8>>>, cx: &mut Context<'_>) {
        let Ok(received @ 1..) = outcome.result else { return };
        let length = op.state.answer.fill(&mut op.kind.buffer, received);
        if length == 0 {
            let _ = cx.submit(op);
            return;
        }
        let mut send = op.state.next.take().expect("a connection has a send");
        send.kind.buffer = std::mem::take(&mut op.kind.buffer);
        send.kind.buffer.truncate(length);
        send.state.next = Some(op);
        let _ = cx.submit(send);
    }
}

impl Complete<Send<Vec<u8>>> for Sending {
    fn done(mut op: SendOp, outcome: Outcome<Send<Vec<u8>>>, cx: &mut Context<'_>) {
        if outcome.result.is_err() {
            return;
        }
        let mut receive = op.state.next.take().expect("a connection has a receive");
        receive.kind.buffer = std::mem::take(&mut op.kind.buffer);
        receive.kind.buffer.resize(BUFFER, 0);
        receive.state.next = Some(op);
        let _ = cx.submit(receive);
    }
}

struct Accepting(Answer);

impl Complete<AcceptMany> for Accepting {
    fn more(&mut self, _: &AcceptMany, outcome: Outcome<AcceptMany>, cx: &mut Context<'_>) {
        let Ok(accepted) = outcome.result else { return };
        let socket = accepted.socket;
        let _ = socket.set_no_delay(true);
        let send = Op::new(Send::exact(socket.clone(), Vec::new()), Sending { next: None });
        let receiving = Receiving { next: Some(send), answer: self.0 };
        let _ = cx.submit(Op::new(Receive::some(socket, vec![0; self.0.buffer()]), receiving));
    }

    fn done(_: Box<Op<AcceptMany, Accepting>>, outcome: Outcome<AcceptMany>, _: &mut Context<'_>) {
        eprintln!("peers: accepting ended: {:?}", outcome.result.err());
    }
}

fn proactor(listener: std::net::TcpListener, backend: &str) -> Result<(Proactor, Socket), Failure> {
    let proactor = Builder::new().backend(backend.parse()?).operations(200_000).build()?;
    let listener = proactor.handle().import_socket(listener.into()).map_err(|returned| returned.status)?;
    Ok((proactor, listener))
}

pub fn serve(listener: std::net::TcpListener, answer: Answer, backend: &str) -> Result<(), Failure> {
    let (mut proactor, listener) = proactor(listener, backend)?;
    proactor.submit(Op::new(AcceptMany::new(listener), Accepting(answer))).map_err(|refused| refused.status)?;
    loop {
        proactor.poll(Timeout::Infinite)?;
    }
}

/// Receives that go on by themselves, into buffers of one pool: an idle connection has none.
struct Streaming {
    socket: Socket,
    sends: OpPool<Send<Lease>, Sent>,
    answer: Answer,
}

struct Sent;

impl Finish<Send<Lease>> for Sent {
    fn finish(&mut self, _: &mut Send<Lease>, _: Outcome<Send<Lease>>, _: &mut Context<'_>) {}
}

impl Complete<ReceivePooledMany> for Streaming {
    fn more(&mut self, _: &ReceivePooledMany, outcome: Outcome<ReceivePooledMany>, cx: &mut Context<'_>) {
        let Ok(Some(mut lease)) = outcome.result else { return };
        let received = lease.len();
        lease.set_len(self.answer.buffer());
        let length = self.answer.fill(&mut lease, received);
        if length > 0 {
            lease.set_len(length);
            let _ = cx.submit(self.sends.take(Send::exact(self.socket.clone(), lease), Sent));
        }
    }

    fn done(_: Box<Op<ReceivePooledMany, Streaming>>, _: Outcome<ReceivePooledMany>, _: &mut Context<'_>) {}
}

struct AcceptingPooled {
    pool: BufferPool,
    sends: OpPool<Send<Lease>, Sent>,
    answer: Answer,
}

impl Complete<AcceptMany> for AcceptingPooled {
    fn more(&mut self, _: &AcceptMany, outcome: Outcome<AcceptMany>, cx: &mut Context<'_>) {
        let Ok(accepted) = outcome.result else { return };
        let socket = accepted.socket;
        let _ = socket.set_no_delay(true);
        let streaming = Streaming { socket: socket.clone(), sends: self.sends.clone(), answer: self.answer };
        let _ = cx.submit(Op::new(ReceivePooledMany::new(socket, &self.pool), streaming));
    }

    fn done(_: Box<Op<AcceptMany, AcceptingPooled>>, outcome: Outcome<AcceptMany>, _: &mut Context<'_>) {
        eprintln!("peers: accepting ended: {:?}", outcome.result.err());
    }
}

pub fn serve_pooled(listener: std::net::TcpListener, answer: Answer) -> Result<(), Failure> {
    let (mut proactor, listener) = proactor(listener, "io_uring")?;
    let pool = BufferPool::new(Slab::allocate(
        answer.buffer(),
        if answer == Answer::Sink { 16 } else { 1024 },
        &Allocation::new(),
    )?)?;
    let accepting = AcceptingPooled { pool, sends: OpPool::new(), answer };
    proactor.submit(Op::new(AcceptMany::new(listener), accepting)).map_err(|refused| refused.status)?;
    loop {
        proactor.poll(Timeout::Infinite)?;
    }
}
