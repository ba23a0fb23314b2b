//! A small world that runs anywhere, in a browser too: two hosts, a bad link, a disk that crashes, a device.
//!
//! `cargo run --example world` prints what each of the first seeds comes to. `ci/wasm.sh` runs the same in WebAssembly
//! and compares: what a seed decides depends on no system.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use proact::backend::OpenFlags;
use proact::operation::{
    Accept, Complete, Connect, Context, Op, Open, Outcome, Receive, SemaphoreWait, Send, Timer, Write,
};
use proact::resource::{Address, Domain, File, Socket, SocketOptions};
use proact::simulated::{Command, Device, Link, World};
use proact::status::Code;
use proact::time::Time;

/// What a seed comes to.
// SAFETY: nothing else has this name.
#[unsafe(no_mangle)]
pub extern "C" fn digest(seed: u64) -> u64 {
    let world = World::new(seed);
    let (near, far) = (world.host("near"), world.host("far"));
    let link = Link { jitter: Duration::from_millis(2), loss: 100_000, short: 300_000, ..Link::default() };
    world.link(&near, &far, link);
    let mut client = near.builder().build().expect("a proactor");
    let mut server = far.builder().build().expect("a proactor");
    let address = Address::from(far.address(80));
    let listener = server.handle().listen(&address, &SocketOptions::default()).expect("a listener");
    let socket = client.handle().socket(Domain::Ipv4, &SocketOptions::default()).expect("a socket");
    let accepted: Slot<Socket> = Slot::default();
    server.submit(Op::new(Accept::new(listener), accepted.clone())).expect("room");
    client.submit(Op::new(Connect::new(socket.clone(), address), ())).expect("room");
    world.run(&mut [&mut client, &mut server], Duration::from_secs(600)).expect("a poll");
    let peer = accepted.take();
    let flags = OpenFlags::WRITE | OpenFlags::CREATE;
    let opened: Slot<File> = Slot::default();
    server.submit(Op::new(Open::new("/f", flags), opened.clone())).expect("room");
    let queue = Device::new(&far).queue();
    for round in 0..4u64 {
        client.submit(Op::new(Send::exact(socket.clone(), vec![round as u8; 3000]), ())).expect("room");
        server.submit(Op::new(Receive::exact(peer.clone(), vec![0; 3000]), ())).expect("room");
        let ends = queue.submit(Command::new(Duration::from_micros(world.random(500)))).expect("a device");
        server.submit(Op::new(SemaphoreWait::new(queue.semaphore().clone(), ends), ())).expect("room");
    }
    client.submit(Op::new(Timer::new(world.now() + Duration::from_secs(86_400)), ())).expect("room");
    world.run(&mut [&mut client, &mut server], Duration::from_secs(100_000)).expect("a poll");
    // Nobody listens there: why it fails is said in the same words everywhere.
    let refused: Slot<Code> = Slot::default();
    let socket = client.handle().socket(Domain::Ipv4, &SocketOptions::default()).expect("a socket");
    let nowhere = Address::from(far.address(81));
    client.submit(Op::new(Connect::new(socket, nowhere), refused.clone())).expect("room");
    world.run(&mut [&mut client, &mut server], Duration::from_secs(600)).expect("a poll");
    assert_eq!(refused.take(), Code::Unavailable);
    server.submit(Op::new(Write::exact(opened.take(), 0, vec![1; 5000]), ())).expect("room");
    world.run(&mut [&mut client, &mut server], Duration::from_secs(1)).expect("a poll");
    far.crash();
    let left = far.read_file("/f").map_or(0, |bytes| bytes.len() as u64);
    assert!(world.now() >= Time::from_nanoseconds(86_400_000_000_000));
    world.digest() ^ left
}

fn main() {
    for seed in 0..8 {
        println!("{seed} {:016x}", digest(seed));
    }
}

/// Where an operation's output is put.
struct Slot<T>(Rc<RefCell<Option<T>>>);

impl<T> Default for Slot<T> {
    fn default() -> Slot<T> {
        Slot(Rc::default())
    }
}

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Slot<T> {
        Slot(self.0.clone())
    }
}

impl<T> Slot<T> {
    fn set(&self, value: T) {
        *self.0.borrow_mut() = Some(value);
    }

    fn take(&self) -> T {
        self.0.borrow_mut().take().expect("it has ended")
    }
}

impl Complete<Accept> for Slot<Socket> {
    fn done(op: Box<Op<Accept, Slot<Socket>>>, outcome: Outcome<Accept>, _: &mut Context<'_>) {
        op.state.set(outcome.result.expect("an accept").socket);
    }
}

impl Complete<Open> for Slot<File> {
    fn done(op: Box<Op<Open, Slot<File>>>, outcome: Outcome<Open>, _: &mut Context<'_>) {
        op.state.set(outcome.result.expect("an open"));
    }
}

impl Complete<Connect> for Slot<Code> {
    fn done(op: Box<Op<Connect, Slot<Code>>>, outcome: Outcome<Connect>, _: &mut Context<'_>) {
        op.state.set(outcome.result.expect_err("a connection to where nobody listens").code());
    }
}
