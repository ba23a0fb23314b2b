//! What stands behind a failed step has no effect, whatever kind of operation it was that failed, and whoever runs the
//! chain. A kernel's own links are not cut by every operation's failure.

use proact::backend::OpenFlags;
use proact::operation::{
    Allocate, AnyOp, Chain, Connect, Kind, ListDirectory, Lowering, MakeDirectory, Op, Open, Read, Receive, Remove,
    Rename, SemaphoreSignal, SemaphoreWait, Send, Sequence, StatPath, Sync, Truncate, Write,
};
use proact::resource::{Domain, Socket, SocketOptions};
use proact::status::{Code, Operation, Status};
use proact::sync::Semaphore;

use crate::bench::Cts;
use crate::cases;

cases![
    a_failed_step_of_any_kind_leaves_the_rest_undone.real("the kernel's own files and devices"),
    a_failed_step_of_a_sequence_leaves_the_rest_undone,
    a_failed_sync_keeps_the_rename_from_happening.real("the kernel's own files and devices"),
];

/// An operation that fails, and how it is told that it did.
type Fails = (&'static str, AnyOp, Box<dyn FnOnce() -> Option<Code>>);

fn fails<K: Kind>(cts: &Cts, name: &'static str, kind: K) -> Fails {
    let (op, watch) = cts.watch(kind);
    (name, op.into(), Box::new(move || watch.code()))
}

/// One of each kind that can be made to fail once it has started; and who has the address that is connected to, and
/// does not listen: were it nobody's, another process might.
fn failing(cts: &mut Cts) -> (Vec<Fails>, Socket) {
    let missing = cts.path("missing");
    let there = cts.path("there");
    cts.write(&there, b"content");
    let readable = cts.get(Open::new(&there, OpenFlags::READ));
    let device = cts.get(Open::new("/dev/zero", OpenFlags::READ | OpenFlags::WRITE));
    let socket = || cts.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
    let (deaf, refused, receiver, sender) = (socket(), socket(), socket(), socket());
    deaf.bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
    let address = deaf.local_address().unwrap();
    let failed = Semaphore::new(5);
    failed.fail(Status::new(Code::DataLoss, Operation::None));
    let all = vec![
        fails(cts, "open", Open::new(&missing, OpenFlags::READ)),
        fails(cts, "read", Read::exact(readable.clone(), 5, vec![0; 10])),
        fails(cts, "write", Write::exact(readable.clone(), 0, vec![1; 10])),
        fails(cts, "sync", Sync::all(device.clone())),
        fails(cts, "data sync", Sync::data(device)),
        fails(cts, "truncate", Truncate::new(readable.clone(), 3)),
        fails(cts, "allocate", Allocate::new(readable, 0, 4096)),
        fails(cts, "stat of a path", StatPath::new(&missing)),
        fails(cts, "rename", Rename::new(&missing, &there)),
        fails(cts, "remove", Remove::file(&missing)),
        fails(cts, "remove directory", Remove::directory(&there)),
        fails(cts, "make directory", MakeDirectory::new(&there)),
        fails(cts, "list", ListDirectory::new(&there)),
        fails(cts, "connect", Connect::new(refused, address)),
        fails(cts, "receive", Receive::exact(receiver, vec![0; 1])),
        fails(cts, "send", Send::exact(sender, vec![0; 1])),
        fails(cts, "wait", SemaphoreWait::new(failed.clone(), 6)),
        fails(cts, "signal", SemaphoreSignal::new(failed, 7)),
    ];
    (all, deaf)
}

fn a_failed_step_of_any_kind_leaves_the_rest_undone(cts: &mut Cts) {
    for lowering in [Lowering::Never, Lowering::Auto, Lowering::Always] {
        let (all, _deaf) = failing(cts);
        for (index, (name, op, code)) in all.into_iter().enumerate() {
            let effect = cts.path(&format!("effect-{index}"));
            let (made, behind) = cts.watch(MakeDirectory::new(&effect));
            let (removed, last) = cts.watch(Remove::directory(&effect));
            let chain: Vec<AnyOp> = vec![op, made.into(), removed.into()];
            cts.submit(Chain::new(chain).lowering(lowering)).unwrap();
            cts.drain();
            let code = code();
            assert!(code.is_some_and(|code| code != Code::Ok), "{name}: {code:?}");
            assert_eq!(behind.code(), Some(Code::Cancelled), "behind a failed {name}, {lowering:?}");
            assert_eq!(last.code(), Some(Code::Cancelled), "last behind a failed {name}, {lowering:?}");
            assert!(!cts.exists(&effect), "behind a failed {name}, {lowering:?}, and told that it was cancelled");
        }
    }
}

fn a_failed_step_of_a_sequence_leaves_the_rest_undone(cts: &mut Cts) {
    for lowering in [Lowering::Never, Lowering::Always] {
        let effect = cts.path("effect");
        let missing = cts.path("missing");
        let sequence = Sequence::new().step(Remove::file(missing)).step(MakeDirectory::new(&effect));
        assert_eq!(cts.fails(sequence.lowering(lowering)).code(), Code::NotFound);
        assert!(!cts.exists(&effect), "{lowering:?}");
    }
}

fn a_failed_sync_keeps_the_rename_from_happening(cts: &mut Cts) {
    for lowering in [Lowering::Never, Lowering::Auto, Lowering::Always] {
        let (draft, final_name) = (cts.path("draft"), cts.path("final"));
        cts.write(&draft, b"new");
        cts.write(&final_name, b"old");
        let device = cts.get(Open::new("/dev/zero", OpenFlags::READ | OpenFlags::WRITE));
        let write = Op::new(Write::exact(device.clone(), 0, vec![0; 10]), ());
        let (sync, synced) = cts.watch(Sync::all(device));
        let (rename, renamed) = cts.watch(Rename::new(&draft, &final_name).replacing());
        cts.submit(Chain::new((write, sync, rename)).lowering(lowering)).unwrap();
        cts.drain();
        assert_eq!(synced.only().status().code(), Code::InvalidArgument);
        assert_eq!(renamed.only().status().code(), Code::Cancelled);
        assert_eq!(cts.read(&final_name), b"old", "{lowering:?}");
    }
}
