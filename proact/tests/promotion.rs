//! Chains that wait behind others on one stream go to the kernel when they come to its head.
#![cfg(target_os = "linux")]

use std::sync::mpsc::{Sender, channel};

use proact::operation::*;
use proact::proactor::{Builder, Choice};
use proact::resource::{Address, Domain, SocketOptions};
use proact::sync::Semaphore;
use proact::time::Timeout;

struct Tell(u64, Sender<(u64, bool)>);

impl<K: Kind> Complete<K> for Tell {
    fn done(op: Box<Op<K, Self>>, outcome: Outcome<K>, _: &mut Context<'_>) {
        assert!(outcome.result.is_ok(), "step {}: {:?}", op.state.0, outcome.result.err());
        let Tell(step, sender) = op.state;
        sender.send((step, outcome.lowered())).unwrap();
    }
}

#[test]
fn a_wait_that_comes_to_the_head_of_its_stream_is_lowered_then_and_bytes_keep_their_order() {
    let Ok(mut proactor) = Builder::new().backend(Choice::IoUring).build() else {
        println!("SKIPPED: io_uring cannot run here");
        return;
    };
    let any = "127.0.0.1:0".parse::<Address>().unwrap();
    let listener = proactor.handle().listen(&any, &SocketOptions::default()).unwrap();
    let client = proactor.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
    proactor.submit(Op::new(Connect::new(client.clone(), listener.local_address().unwrap()), ())).unwrap();
    proactor.run().unwrap();
    let (mut server, _) = listener
        .try_with_fd(|fd| std::net::TcpListener::from(fd.try_clone_to_owned().unwrap()).accept().unwrap())
        .unwrap();
    let semaphore = Semaphore::new(0);
    let (sender, steps) = channel();
    for value in 1..=4 {
        let wait = Op::new(SemaphoreWait::new(semaphore.clone(), value), Tell(value, sender.clone()));
        let send = Op::new(Send::exact(client.clone(), vec![value as u8; 1000]), Tell(value + 10, sender.clone()));
        proactor.submit(Chain::new((wait, send))).unwrap();
    }
    assert_eq!(proactor.statistics().waits_lowered, 1, "only the head of the stream");
    for value in 1..=4 {
        semaphore.signal(value, None).unwrap();
        let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while proactor.pending() > 8 - 2 * value as usize {
            assert!(std::time::Instant::now() < until, "pair {value} does not end");
            proactor.poll(Timeout::After(std::time::Duration::from_millis(100))).unwrap();
        }
        assert_eq!(steps.try_iter().collect::<Vec<_>>(), [(value, true), (value + 10, true)]);
        assert_eq!(proactor.statistics().waits_lowered, (value + 1).min(4), "the next one has come to the head");
    }
    let statistics = proactor.statistics();
    assert_eq!((statistics.chains_lowered, statistics.chains_portable), (4, 0));
    assert_eq!((statistics.steps_by_kernel, statistics.steps_by_poll), (4, 0));
    let mut bytes = [0; 4000];
    std::io::Read::read_exact(&mut server, &mut bytes).unwrap();
    assert!(bytes.chunks(1000).zip(1u8..).all(|(chunk, value)| chunk.iter().all(|&byte| byte == value)));
}
