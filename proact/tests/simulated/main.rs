//! Simulated worlds: what their network, disks, devices and processes do, and that a seed decides all of it.

mod devices;
mod limits;
mod network;
mod ownership;
mod pipeline;
mod rich;
mod seeds;
mod storage;
mod streams;
mod time;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use proact::operation::{Accept, Complete, Connect, Context, Kind, Op, Outcome};
use proact::proactor::Proactor;
use proact::resource::{Address, Domain, Socket, SocketOptions};
use proact::simulated::{Host, Stalled, World};
use proact::status::{Code, Status};

type Slot<K> = Arc<Mutex<Option<Result<<K as Kind>::Output, Status>>>>;

/// How one operation ended, once it has.
struct Told<K: Kind>(Slot<K>);

struct Tell<K: Kind>(Slot<K>);

impl<K: Kind> Complete<K> for Tell<K> {
    fn done(op: Box<Op<K, Self>>, outcome: Outcome<K>, _: &mut Context<'_>) {
        *op.state.0.lock().unwrap() = Some(outcome.result);
    }
}

impl<K: Kind> Told<K> {
    fn is_there(&self) -> bool {
        self.0.lock().unwrap().is_some()
    }

    #[track_caller]
    fn take(&self) -> Result<K::Output, Status> {
        self.0.lock().unwrap().take().expect("it has not ended")
    }

    #[track_caller]
    fn code(&self) -> Code {
        match self.take() {
            Ok(_) => Code::Ok,
            Err(status) => status.code(),
        }
    }
}

fn start<K: Kind>(proactor: &mut Proactor, kind: K) -> Told<K> {
    let told = Arc::new(Mutex::new(None));
    proactor.submit(Op::new(kind, Tell(told.clone()))).unwrap_or_else(|refused| panic!("refused: {refused}"));
    Told(told)
}

#[track_caller]
fn one<K: Kind>(proactor: &mut Proactor, kind: K) -> Result<K::Output, Status> {
    let told = start(proactor, kind);
    proactor.run().expect("poll");
    told.take()
}

fn proactor(host: &Host) -> Proactor {
    host.builder().build().expect("a proactor in a simulated world")
}

/// A connection from one host to another: both ends.
#[track_caller]
fn connected(world: &World, from: &mut Proactor, to: &mut Proactor, host: &Host, port: u16) -> (Socket, Socket) {
    let address = Address::from(host.address(port));
    let listener = to.handle().listen(&address, &SocketOptions::default()).unwrap();
    let socket = from.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
    let accepted = start(to, Accept::new(listener));
    let connected = start(from, Connect::new(socket.clone(), address));
    assert_eq!(world.run(&mut [from, to], Duration::from_secs(3600)).unwrap(), Stalled::Done);
    connected.take().unwrap();
    (socket, accepted.take().unwrap().socket)
}
