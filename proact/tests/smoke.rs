//! First light.
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use proact::operation::*;
use proact::proactor::{Builder, Proactor};
use proact::resource::{Address, Domain, SocketOptions};
use proact::status::{Code, Result};
use proact::sync::Semaphore;
use proact::time::Timeout;

struct Tell<T>(Sender<(Result<T>, bool)>);
impl<K: Kind<Output = T>, T: 'static> Complete<K> for Tell<T> {
    fn done(op: Box<Op<K, Self>>, outcome: Outcome<K>, _: &mut Context<'_>) {
        op.state.0.send((outcome.result, outcome.lowered)).unwrap();
    }
}

fn each(mut f: impl FnMut(Proactor)) {
    for report in proact::proactor::survey() {
        let choice = report.choice;
        if let Err(why) = report.usable {
            println!("skipped: {why}");
            continue;
        }
        for allow in [proact::backend::Capabilities::all(), proact::backend::Capabilities::empty()] {
            println!("{} {allow:?}", choice.name());
            f(Builder::new().backend(choice).allow(allow).build().unwrap());
        }
    }
}

#[test]
fn sockets_and_lowered_waits() {
    each(|mut proactor| {
        let listener =
            proactor.handle().listen(&"127.0.0.1:0".parse::<Address>().unwrap(), &SocketOptions::default()).unwrap();
        let address = listener.local_address().unwrap();
        let (accept_tx, accept_rx) = channel();
        let (tx, rx) = channel();
        let client = proactor.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
        proactor
            .submit((
                Op::new(Accept::new(listener.clone()), Tell(accept_tx)),
                Op::new(Connect::new(client.clone(), address), Tell(tx)),
            ))
            .unwrap();
        proactor.run().unwrap();
        rx.recv().unwrap().0.unwrap();
        let server = accept_rx.recv().unwrap().0.unwrap().socket;
        let semaphore = Semaphore::new(0);
        let (wait_tx, wait_rx) = channel();
        let (send_tx, send_rx) = channel();
        let (recv_tx, recv_rx) = channel();
        proactor
            .submit((
                Chain::new((
                    Op::new(SemaphoreWait::new(semaphore.clone(), 1), Tell(wait_tx)),
                    Op::new(Send::exact(client.clone(), vec![7u8; 100_000]), Tell(send_tx)),
                )),
                Op::new(Receive::exact(server.clone(), vec![0u8; 100_000]), Tell(recv_tx)),
            ))
            .unwrap();
        proactor.poll(Timeout::Immediate).unwrap();
        assert!(wait_rx.try_recv().is_err());
        semaphore.signal(1, None).unwrap();
        proactor.run().unwrap();
        let (wait, lowered) = wait_rx.recv().unwrap();
        wait.unwrap();
        let (send, _) = send_rx.recv().unwrap();
        assert_eq!(send.unwrap(), 100_000);
        assert_eq!(recv_rx.recv().unwrap().0.unwrap(), 100_000);
        println!("lowered {lowered} {:?}", proactor.statistics());
    });
}

#[test]
fn timers_files_and_cancel() {
    each(|mut proactor| {
        let (tx, rx) = channel();
        let now = proactor.now();
        let id = proactor.submit(Op::new(Timer::new(now + Duration::from_secs(100)), Tell(tx.clone()))).unwrap();
        proactor.submit(Op::new(Timer::new(now + Duration::from_millis(2)), Tell(tx))).unwrap();
        proactor.cancel(id).unwrap();
        proactor.run().unwrap();
        assert_eq!(rx.recv().unwrap().0.unwrap_err().code(), Code::Cancelled);
        rx.recv().unwrap().0.unwrap();
        assert_eq!(proactor.cancel(id).unwrap_err().code(), Code::NotFound);
        let (tx, rx) = channel();
        proactor.submit(Op::new(StatPath::new("/nonexistent"), Tell(tx.clone()))).unwrap();
        proactor.run().unwrap();
        println!("{}", rx.recv().unwrap().0.unwrap_err());
    });
}
