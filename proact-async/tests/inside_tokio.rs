//! A proactor inside of a tokio program: its futures awaited, and dropped, by tokio's tasks.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proact::operation::{Nop, SemaphoreWait};
use proact::proactor::{Builder, Choice};
use proact::resource::OpenFlags;
use proact::status::Code;
use proact::sync::Semaphore;
use proact_async::Companion;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const LIMIT: Duration = Duration::from_secs(60);

fn companions() -> Vec<Companion> {
    let choices = [Choice::IoUring, Choice::Epoll];
    choices
        .into_iter()
        .filter_map(|choice| match Companion::with(Builder::new().backend(choice)) {
            Ok(companion) => Some(companion),
            Err(status) => {
                println!("skipped: {choice:?}: {status}");
                None
            }
        })
        .collect()
}

async fn files_are_read_and_written(companion: &Companion) {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("proact-inside-tokio-{}-{number}", std::process::id()));
    let flags = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE;
    let file = companion.open(&path, flags).await.unwrap();
    let mut writes = Vec::new();
    for number in 0..16u8 {
        let (remote, file) = (companion.remote().clone(), file.clone());
        writes.push(tokio::spawn(async move {
            remote.write_at(&file, u64::from(number) * 100, vec![number; 100]).await.0.unwrap()
        }));
    }
    for write in writes {
        assert_eq!(write.await.unwrap(), 100);
    }
    let (count, buffer) = companion.read_at(&file, 500, vec![0; 2000]).await;
    assert_eq!((count.unwrap(), buffer[0], buffer[1099]), (1100, 5, 15));
    std::fs::remove_file(path).unwrap();
    let missing = companion.open("/there/is/no/such/file", OpenFlags::READ).await;
    assert_eq!(missing.unwrap_err().code(), Code::NotFound);
}

async fn tasks_wait_for_each_other(companion: &Companion) {
    let semaphore = Semaphore::new(0);
    let (remote, waited) = (companion.remote().clone(), semaphore.clone());
    let waiting = tokio::spawn(async move {
        for value in 1..=100 {
            remote.wait(&waited, value).await.unwrap();
        }
    });
    for value in 1..=100 {
        semaphore.signal(value, None).unwrap();
        tokio::task::yield_now().await;
    }
    waiting.await.unwrap();
    let before = std::time::Instant::now();
    companion.sleep(Duration::from_millis(2)).await.unwrap();
    assert!(before.elapsed() >= Duration::from_millis(2));
}

async fn connections_go_under_tokios_traits(companion: &Companion) {
    let listener = companion.listen(&"127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_address().unwrap();
    let remote = companion.remote().clone();
    let server = tokio::spawn(async move {
        let (stream, _) = remote.accept(&listener).await.unwrap();
        let (mut reader, mut writer) = tokio::io::split(stream);
        tokio::io::copy(&mut reader, &mut writer).await.unwrap();
        writer.shutdown().await.unwrap();
    });
    let (mut reader, mut writer) = tokio::io::split(companion.connect(address).await.unwrap());
    let writing = tokio::spawn(async move {
        writer.write_all(&[9; 1 << 20]).await.unwrap();
        writer.shutdown().await.unwrap();
    });
    let mut back = Vec::new();
    reader.read_to_end(&mut back).await.unwrap();
    assert!(back.len() == 1 << 20 && back.iter().all(|byte| *byte == 9));
    writing.await.unwrap();
    server.await.unwrap();
}

async fn what_is_dropped_is_cancelled(companion: &Companion) {
    let semaphore = Semaphore::new(0);
    for _ in 0..100 {
        tokio::select! {
            biased;
            _ = companion.wait(&semaphore, 1) => unreachable!("nobody signals"),
            outcome = companion.operation(Nop) => assert!(outcome.1.result.is_ok()),
        }
        let waiting = tokio::spawn(companion.operation(SemaphoreWait::new(semaphore.clone(), 1)));
        tokio::task::yield_now().await;
        waiting.abort();
        assert!(waiting.await.unwrap_err().is_cancelled());
    }
    let pair = companion.handle().socket_pair(proact::resource::SocketType::Stream).unwrap();
    let (mut near, mut far) = (companion.adapt(pair.0), companion.adapt(pair.1));
    let reading = tokio::time::timeout(Duration::from_millis(1), near.read_u8()).await;
    assert!(reading.is_err(), "nothing came");
    drop(near);
    // The receive that was in flight has let go of the socket.
    assert_eq!(far.read(&mut [0; 8]).await.unwrap(), 0);
}

async fn all() {
    for companion in companions() {
        tokio::time::timeout(LIMIT, async {
            files_are_read_and_written(&companion).await;
            tasks_wait_for_each_other(&companion).await;
            connections_go_under_tokios_traits(&companion).await;
            what_is_dropped_is_cancelled(&companion).await;
        })
        .await
        .expect("the test hangs");
        let remote = companion.remote().clone();
        let left = tokio::spawn(remote.sleep(Duration::from_secs(3600)));
        let ended = companion.shutdown(LIMIT).unwrap();
        assert_eq!(ended.leaked, 0);
        assert!(ended.statistics.queue_depth <= 1, "all but that sleep have ended: {}", ended.statistics.queue_depth);
        assert!(matches!(left.await.unwrap().unwrap_err().code(), Code::Cancelled | Code::Aborted));
        assert_eq!(remote.operation(Nop).await.1.result.unwrap_err().code(), Code::Aborted);
    }
}

#[tokio::test]
async fn in_a_program_of_one_thread() {
    all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn in_a_program_of_many_threads() {
    all().await;
}

/// What crates over tokio ask of a connection.
#[test]
fn connections_are_what_clients_ask_for() {
    fn client<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static>() {}
    client::<proact_async::adapt::Adapted<proact::proactor::Handle>>();
    client::<proact_async::tls::TlsStream<proact_async::adapt::Adapted<proact::proactor::Handle>>>();
    fn local<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>() {}
    local::<proact_async::adapt::Adapted>();
}
