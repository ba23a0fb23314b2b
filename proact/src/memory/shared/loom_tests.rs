//! Peers of a shared pool, living and dead, under every interleaving and every reordering that the memory model allows:
//! `ci/loom.sh shared::loom_tests`. The threads of a model stand for processes.

use loom::cell::UnsafeCell;
use loom::thread;

use super::*;

/// A pool of one buffer that nobody has opened, and beside the buffer a cell that only its holder touches: loom finds
/// it if two hold it at once, or if one does not see what the one before did.
struct Memory {
    layout: Layout,
    cell: UnsafeCell<u32>,
}

// SAFETY: that a buffer's holder is alone with the cell is what the models check.
unsafe impl Sync for Memory {}
// SAFETY: as above.
unsafe impl Send for Memory {}

fn own() -> Identity {
    thread_local!(static OWN: Identity = Identity::own().expect("/proc is there"));
    OWN.with(|own| *own)
}

/// A process of this one's number that started at another time: it is no more.
fn dead() -> Identity {
    Identity::from_bits(own().to_bits() ^ 1 << 22)
}

fn memory() -> Arc<Memory> {
    let layout = Layout::model(Geometry { buffer_size: 1, buffer_count: 1 });
    Arc::new(Memory { layout, cell: UnsafeCell::new(0) })
}

/// The same, once a pool was made there; its maker has left.
fn made() -> Arc<Memory> {
    let memory = memory();
    drop(SharedPool::make(memory.layout.again(), Some(own())).unwrap());
    memory
}

impl Memory {
    fn join(&self, identity: Identity) -> SharedPool {
        SharedPool::join(self.layout.again(), Some(identity)).unwrap()
    }

    fn touch(&self, _: &SharedLease) {
        // SAFETY: that a buffer's holder is alone with the cell is what the models check.
        self.cell.with_mut(|uses| unsafe { *uses += 1 });
    }

    fn spawn<T: 'static>(self: &Arc<Self>, body: impl FnOnce(&Memory) -> T + 'static) -> thread::JoinHandle<T> {
        let memory = self.clone();
        thread::spawn(move || body(&memory))
    }
}

#[test]
fn loom_a_shared_buffer_is_its_holders_alone() {
    loom::model(|| {
        let memory = made();
        let rivals = [0, 1].map(|_| {
            memory.spawn(|memory| {
                let pool = memory.join(own());
                match pool.acquire() {
                    Ok(lease) => {
                        memory.touch(&lease);
                        lease.release().expect("nobody takes it away");
                    }
                    Err(status) => assert_eq!(status.code(), Code::ResourceExhausted),
                }
            })
        });
        rivals.into_iter().for_each(|rival| rival.join().unwrap());
        assert_eq!(memory.join(own()).available(), 1);
    });
}

#[test]
fn loom_a_shared_pool_is_opened_whole_or_not_at_all() {
    loom::model(|| {
        let memory = memory();
        let maker = memory.spawn(|memory| SharedPool::make(memory.layout.again(), Some(own())).unwrap());
        match SharedPool::join(memory.layout.again(), Some(own())) {
            Ok(pool) => drop(pool.acquire().expect("it is there as its maker left it")),
            Err(status) => assert_eq!(status.message(), Some("there is no pool, or it is not ready yet")),
        }
        drop(maker.join().unwrap());
    });
}

/// What a dead peer wrote last reaches the next holder by way of who reclaimed it, who knows of the death.
#[test]
fn loom_a_shared_buffer_of_a_dead_peer_is_handed_on_whole() {
    loom::model(|| {
        let memory = made();
        let peer = memory.join(own());
        let dying = memory.spawn(|memory| {
            let lease = memory.join(dead()).acquire().ok();
            lease.inspect(|lease| memory.touch(lease))
        });
        let mourner = memory.spawn({
            let peer = peer.clone();
            move |_| {
                let lease = dying.join().unwrap();
                assert_eq!(peer.reclaim().unwrap(), u32::from(lease.is_some()));
                lease
            }
        });
        if let Ok(lease) = peer.acquire() {
            memory.touch(&lease);
        }
        drop(mourner.join().unwrap());
        assert_eq!(peer.available(), 1);
    });
}

/// One of those who reclaim is held up while the other is done, and a newcomer has the dead peer's record and buffer.
#[test]
fn loom_a_shared_buffer_is_reclaimed_once_and_not_from_a_newcomer() {
    loom::model(|| {
        let memory = made();
        let lost = memory.join(dead()).acquire().unwrap();
        let peer = memory.join(own());
        let rival = memory.spawn({
            let peer = peer.clone();
            move |_| peer.reclaim().unwrap()
        });
        let back = peer.reclaim().unwrap();
        let newcomer = SharedPool::join(memory.layout.again(), Some(own()));
        let kept = newcomer.ok().and_then(|pool| pool.acquire().ok());
        let back = back + rival.join().unwrap();
        assert_eq!(back, 1);
        // Who was taken for dead, and is not, gives nothing away that has become another's.
        assert_eq!(lost.release().unwrap_err().code(), Code::DataLoss);
        if let Some(lease) = kept {
            lease.release().expect("nobody takes it away");
        }
        assert_eq!(peer.available(), 1);
    });
}

#[test]
fn loom_who_has_the_record_of_one_that_left_finds_its_buffers() {
    loom::model(|| {
        let memory = made();
        let lease = memory.join(own()).acquire().unwrap();
        // So the record of the one that leaves is the only one to be had.
        let _other = memory.join(own());
        let leaving = memory.spawn(move |_| lease.release().unwrap());
        finds_the_buffer(&memory);
        leaving.join().unwrap();
    });
}

#[test]
fn loom_who_has_the_record_of_one_that_died_finds_its_buffers() {
    loom::model(|| {
        let memory = made();
        let _lost = memory.join(dead()).acquire().unwrap();
        let peer = memory.join(own());
        let reclaiming = memory.spawn(move |_| {
            assert_eq!(peer.reclaim().unwrap(), 1);
            peer
        });
        finds_the_buffer(&memory);
        drop(reclaiming.join().unwrap());
    });
}

/// Takes the record that is to be had if it has been given back, and then the buffer.
fn finds_the_buffer(memory: &Memory) {
    match SharedPool::join(memory.layout.again(), Some(own())) {
        Ok(newcomer) => drop(newcomer.acquire().expect("it came with the record")),
        Err(status) => assert_eq!(status.code(), Code::ResourceExhausted),
    }
}

#[test]
fn loom_a_shared_pool_that_newcomers_have_all_of_is_not_damaged() {
    loom::model(|| {
        let memory = made();
        let peer = memory.join(own());
        let newcomer = memory.spawn(|memory| drop(memory.join(own()).acquire()));
        if let Err(status) = peer.acquire() {
            assert_eq!(status.code(), Code::ResourceExhausted);
        }
        newcomer.join().unwrap();
    });
}
