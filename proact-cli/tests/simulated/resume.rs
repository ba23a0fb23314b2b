//! `--resume` in simulated worlds: hosts crash, processes are killed, connections break; what was verified and durable
//! is not sent again.

use proact::simulated::Process;
use proact_cli::transfer::receiver::kept::CLAIM_WAIT;

use super::*;

const CHUNK: u32 = 4096;
const IN_FLIGHT: u16 = 2;
const SYNC_EVERY: u64 = 16 << 10;
const SOCKET: usize = 16 << 10;
/// What one break may cost at most. Not durable yet: the bytes up to a sync, and those that come while it runs. Not
/// verified yet: the chunks in flight on either side, and what lies in sockets and on the link.
const LOST_MAX: u64 = 2 * SYNC_EVERY + 2 * IN_FLIGHT as u64 * CHUNK as u64 + 3 * SOCKET as u64;

fn receiver(world: &World, host: &Host) -> Receiving {
    let mut proactor = host.builder().name("receive").build().unwrap();
    let options = ReceiveOptions { sync_every: SYNC_EVERY, overwrite: false, in_flight: IN_FLIGHT, ..options() };
    let socket = SocketOptions { receive_buffer: Some(SOCKET), ..SocketOptions::default() };
    let listener = proactor.handle().listen(&Address::from(host.address(PORT)), &socket).unwrap();
    let random = Random::seeded(&[world.random(256) as u8; 32]);
    let server = Server::new(listener, Device::new(world), options, random, false);
    kick(&mut proactor, &server, |_, _| {}).unwrap();
    Receiving { proactor, server }
}

/// A sender that is asked to resume, in a process of its own.
fn sender(world: &World, process: &Process, plan: &Arc<Plan>, far: &Host) -> (Proactor, Rc<RefCell<Sender>>) {
    let sending = process.builder().name("send").build().unwrap();
    let options = SendOptions {
        chunk_size: CHUNK,
        in_flight: IN_FLIGHT,
        overwrite: false,
        resume: true,
        follow: false,
        timeout: SILENCE,
        peer: String::from("far"),
        addresses: vec![Address::from(far.address(PORT))],
        tls: None,
    };
    let session = Random::seeded(&[world.random(256) as u8; 32]).session();
    let sender = Sender::new(sending.handle().clone(), Device::new(world), plan.clone(), options, session);
    (sending, sender)
}

/// One thing that breaks the transfer, somewhere in its course.
fn trouble(world: &World, near: &Host, far: &Host, sending: &Process) {
    let (near, far, sending) = (near.clone(), far.clone(), sending.clone());
    let which = world.random(4);
    world.after(Duration::from_micros(world.random(250_000)), move |world| match which {
        0 => far.crash(),
        1 => sending.kill(),
        2 => world.reset(&near, &far),
        _ => {
            world.partition(&near, &far);
            world.after(Duration::from_secs(100), move |world| world.heal(&near, &far));
        }
    });
}

#[derive(Default)]
struct Totals {
    breaks: u64,
    crashes: u64,
    sent: u64,
    resumed: u64,
    size: u64,
}

fn transfer_in_pieces(world: &World, most: usize) -> Totals {
    let (near, far) = (world.host("near"), world.host("far"));
    let size = 400_000 + world.random(200_000);
    let bytes: Vec<u8> = (0..size).map(|at| (at * 7 + (at >> 12) + world.seed()) as u8).collect();
    near.put_file("/data/large", &bytes).unwrap();
    near.put_file("/data/small", &bytes[..100]).unwrap();
    let files: Files =
        [("data/large".to_owned(), bytes.clone()), ("data/small".to_owned(), bytes[..100].to_vec())].into();
    far.put_directory("/into").unwrap();
    let plan = Plan::build(&HostTree(&near), &[PathBuf::from("/data")], &Options::default()).expect("a plan");
    let plan = Arc::new(plan);
    world.link(&near, &far, Link { bandwidth: Some(2_000_000), ..Link::default() });
    let mut receiving = receiver(world, &far);
    let mut totals = Totals { size, ..Totals::default() };
    for attempt in 0..=most {
        let process = near.process();
        let (mut sending, sender) = sender(world, &process, &plan, &far);
        if attempt < most {
            trouble(world, &near, &far, &process);
        }
        kick(&mut sending, &sender, Sender::start).unwrap();
        loop {
            let over = |_: &mut [&mut Proactor]| sender.borrow().is_ended() || !far.is_up() || !process.is_alive();
            let both = &mut [&mut sending, &mut receiving.proactor];
            assert_eq!(world.run_until(both, Duration::from_secs(3600), over).unwrap(), Stalled::Done, "it hangs");
            whole_or_not_there(&far, &files);
            if far.is_up() {
                break;
            }
            totals.crashes += 1;
            far.restart();
            receiving = receiver(world, &far);
        }
        let sender = sender.borrow();
        totals.sent += sender.moved - sender.sent.resumed;
        totals.resumed += sender.sent.resumed;
        // Claims may reach the disk before what they are about does, and then a crash comes.
        assert!(totals.crashes > 0 || sender.sent.notices.is_empty(), "{:?}", sender.sent.notices);
        if process.is_alive() && sender.sent.failures.is_empty() && sender.is_ended() {
            assert_eq!(whole_or_not_there(&far, &files), 2);
            far.crash();
            assert_eq!(whole_or_not_there(&far, &files), 2, "delivered, and lost in a crash");
            return totals;
        }
        assert!(attempt < most, "it fails in a world without faults: {:?}", sender.sent.failures);
        totals.breaks += 1;
        // The receiver notices, and nothing that was to happen is left over.
        world.run_until(&mut [&mut receiving.proactor], Duration::from_secs(200), |_| !far.is_up()).unwrap();
        if !far.is_up() {
            totals.crashes += 1;
            far.restart();
            receiving = receiver(world, &far);
        }
        receiving.server.borrow_mut().reap();
    }
    unreachable!("the last attempt returns or fails");
}

#[test]
fn what_was_verified_and_durable_is_not_sent_again_whatever_breaks() {
    let (mut worlds, mut breaks, mut resumed) = (0, 0, 0);
    explore(seeds(60), |world| {
        let totals = transfer_in_pieces(world, 5);
        // A file that was delivered is compared and not sent.
        let bound = totals.size + 100 + totals.breaks * LOST_MAX;
        assert!(totals.sent <= bound, "{} bytes were sent, {bound} at most for {} breaks", totals.sent, totals.breaks);
        (worlds, breaks, resumed) = (worlds + 1, breaks + totals.breaks, resumed + totals.resumed);
    });
    println!("{worlds} worlds: {breaks} breaks, {resumed} bytes that were not sent again");
    if worlds >= 50 {
        assert!(breaks > worlds && resumed > worlds * 200_000, "worlds in which nothing is resumed show nothing");
    }
}

/// What came of a file that was sent again at once.
struct SentAgain {
    /// What the second sender says.
    notices: Vec<String>,
    resumed: u64,
    took: Duration,
    /// Something unfinished is left in the end.
    left: bool,
}

/// Kills a sender in the middle of its file while the receiver's disk takes `slow` for a request, and sends the file
/// again as soon as the disk is fast for new ones: those of the session before are still on their way.
fn sent_again_at_once(world: &World, slow: Duration) -> SentAgain {
    let (near, far) = (world.host("near"), world.host("far"));
    let bytes: Vec<u8> = (0..300_000u64).map(|at| (at * 7 + (at >> 12) + world.seed()) as u8).collect();
    near.put_file("/data/large", &bytes).unwrap();
    let files: Files = [("data/large".to_owned(), bytes)].into();
    far.put_directory("/into").unwrap();
    let plan = Plan::build(&HostTree(&near), &[PathBuf::from("/data")], &Options::default()).expect("a plan");
    let plan = Arc::new(plan);
    world.link(&near, &far, Link { bandwidth: Some(2_000_000), ..Link::default() });
    let mut receiving = receiver(world, &far);

    let process = near.process();
    let (mut sending, first) = sender(world, &process, &plan, &far);
    kick(&mut sending, &first, Sender::start).unwrap();
    let half = |_: &mut [&mut Proactor]| first.borrow().moved > 150_000;
    let both = &mut [&mut sending, &mut receiving.proactor];
    assert_eq!(world.run_until(both, Duration::from_secs(3600), half).unwrap(), Stalled::Done);
    far.storage(Storage { latency: slow, ..Storage::default() });
    process.kill();
    world.run_until(&mut [&mut receiving.proactor], Duration::from_millis(500), |_| false).unwrap();
    assert!(receiving.server.borrow_mut().reap().is_empty(), "the session is at its end, and not over");
    far.storage(Storage::default());

    let (began, process) = (world.now(), near.process());
    let (mut sending, second) = sender(world, &process, &plan, &far);
    kick(&mut sending, &second, Sender::start).unwrap();
    let over = |_: &mut [&mut Proactor]| second.borrow().is_ended();
    let both = &mut [&mut sending, &mut receiving.proactor];
    assert_eq!(world.run_until(both, Duration::from_secs(3600), over).unwrap(), Stalled::Done, "it hangs");
    let took = world.now() - began;
    let sent = &second.borrow().sent;
    assert!(sent.failures.is_empty(), "{:?}", sent.failures);
    assert_eq!(whole_or_not_there(&far, &files), 1);
    world.run_until(&mut [&mut receiving.proactor], Duration::from_secs(3600), |_| false).unwrap();
    SentAgain { notices: sent.notices.clone(), resumed: sent.resumed, took, left: far.exists("/into/.proact-resume") }
}

#[test]
fn a_session_waits_for_the_file_that_one_without_its_sender_still_makes_durable() {
    explore(seeds(20), |world| {
        let SentAgain { notices, resumed, took, left } = sent_again_at_once(world, Duration::from_secs(2));
        assert!(notices.is_empty() && resumed >= 150_000 - LOST_MAX, "{resumed}: {notices:?}");
        assert!(took >= Duration::from_secs(1), "it did not come while the file was claimed: {took:?}");
        assert!(!left);
    });
}

#[test]
fn no_session_waits_for_ever_for_a_file_that_another_one_has() {
    explore(seeds(20), |world| {
        let SentAgain { notices, resumed, took, left } = sent_again_at_once(world, CLAIM_WAIT * 4);
        assert_eq!((notices.len(), resumed), (1, 0), "{notices:?}");
        assert!(notices[0].ends_with("another transfer to the receiver is sending it now"), "{notices:?}");
        assert!(took > CLAIM_WAIT && took < CLAIM_WAIT * 2, "{took:?}");
        assert!(left, "the other session has kept what it had");
    });
}
