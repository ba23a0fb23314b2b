//! A user's own program, tested as the guide says: copies of a log on two other machines, of which one may crash.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use proact::backend::OpenFlags;
use proact::operation::{Accept, Complete, Connect, Context, Kind, Op, Open, Outcome, Receive, Send, Sync, Write};
use proact::proactor::Proactor;
use proact::resource::{Address, Domain, File, Socket, SocketOptions};
use proact::simulated::{Host, Link, World, exhaust, explore};

const ENTRY: usize = 600;

type Acknowledged = Rc<RefCell<BTreeSet<usize>>>;

/// Takes one entry, makes it durable and says so.
struct Copy {
    socket: Socket,
    file: File,
    /// A program with a fault: it says so before it is true.
    hasty: bool,
}

macro_rules! step {
    ($kind:ty, |$op:ident, $cx:ident| $then:expr) => {
        impl Complete<$kind> for Copy {
            fn done($op: Box<Op<$kind, Copy>>, outcome: Outcome<$kind>, $cx: &mut Context<'_>) {
                if outcome.result.is_ok() {
                    $then;
                }
            }
        }
    };
}

impl Copy {
    fn then<K: Kind>(self, kind: K, cx: &mut Context<'_>)
    where
        Copy: Complete<K>,
    {
        drop(cx.submit(Op::new(kind, self)));
    }
}

step!(Receive<Vec<u8>>, |op, cx| {
    let Op { kind, state, .. } = *op;
    let write = Write::exact(state.file.clone(), 0, kind.buffer);
    state.then(write, cx);
});
step!(Write<Vec<u8>>, |op, cx| {
    let state = op.state;
    if state.hasty {
        acknowledge(&state.socket, cx);
    } else {
        let sync = Sync::all(state.file.clone());
        state.then(sync, cx);
    }
});
step!(Sync, |op, cx| acknowledge(&op.state.socket, cx));

fn acknowledge(socket: &Socket, cx: &mut Context<'_>) {
    drop(cx.submit(Op::new(Send::exact(socket.clone(), vec![1]), ())));
}

struct Keep<T>(Rc<RefCell<Option<T>>>);

impl<K: Kind> Complete<K> for Keep<K::Output> {
    fn done(op: Box<Op<K, Self>>, outcome: Outcome<K>, _: &mut Context<'_>) {
        *op.state.0.borrow_mut() = outcome.result.ok();
    }
}

fn ask<K: Kind>(proactor: &mut Proactor, kind: K) -> Rc<RefCell<Option<K::Output>>> {
    let kept = Rc::default();
    drop(proactor.submit(Op::new(kind, Keep(Rc::clone(&kept)))));
    kept
}

struct Acknowledge(usize, Acknowledged);

impl Complete<Receive<Vec<u8>>> for Acknowledge {
    fn done(op: Box<Op<Receive<Vec<u8>>, Self>>, outcome: Outcome<Receive<Vec<u8>>>, _: &mut Context<'_>) {
        if outcome.result.is_ok() {
            op.state.1.borrow_mut().insert(op.state.0);
        }
    }
}

/// Writes one entry to both copies while one of them crashes: what is acknowledged must be there.
fn log(world: &World, hasty: bool) {
    let copies = ["left", "right"].map(|name| world.host(name));
    let mut writer = world.host("writer").builder().build().unwrap();
    let mut running = copies.each_ref().map(|host: &Host| host.builder().build().unwrap());
    let acknowledged = Acknowledged::default();
    for (at, (host, proactor)) in copies.iter().zip(&mut running).enumerate() {
        host.put_file("/log", &[]).unwrap();
        world.link(&world.host("writer"), host, Link { loss: 1, ..Link::default() });
        let address = Address::from(host.address(7000));
        let listener = proactor.handle().listen(&address, &SocketOptions::default()).unwrap();
        let file = ask(proactor, Open::new("/log", OpenFlags::WRITE));
        proactor.run().unwrap();
        let accepted = ask(proactor, Accept::new(listener));
        let socket = writer.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
        drop(ask(&mut writer, Connect::new(socket.clone(), address)));
        world.run(&mut [&mut writer, proactor], Duration::from_secs(60)).unwrap();
        let (Some(accepted), Some(file)) = (accepted.take(), file.take()) else { return };
        let copy = Copy { socket: accepted.socket.clone(), file, hasty };
        proactor.submit(Op::new(Receive::exact(accepted.socket, vec![0; ENTRY]), copy)).unwrap();
        drop(ask(&mut writer, Send::exact(socket.clone(), vec![7; ENTRY])));
        let told = Acknowledge(at, acknowledged.clone());
        writer.submit(Op::new(Receive::exact(socket, vec![0; 1]), told)).unwrap();
    }
    let crashing = copies[0].clone();
    let when = [100, 170, 260, 360][world.choose(4)];
    world.after(Duration::from_micros(when), move |_| crashing.crash());
    let [left, right] = &mut running;
    world.run(&mut [&mut writer, left, right], Duration::from_secs(300)).unwrap();
    copies[1].crash();
    for at in acknowledged.take() {
        assert_eq!(copies[at].read_file("/log").unwrap(), [7; ENTRY], "acknowledged, and lost");
    }
}

#[test]
fn a_program_that_syncs_before_it_answers_survives_and_one_that_does_not_is_found() {
    explore(0..100, |world| log(world, false));
    let found = std::panic::catch_unwind(|| explore(0..100, |world| log(world, true))).unwrap_err();
    assert!(found.downcast_ref::<String>().is_some_and(|text| text.contains("acknowledged, and lost")));
    assert!(std::panic::catch_unwind(|| exhaust(1000, |world| log(world, true))).is_err());
}
