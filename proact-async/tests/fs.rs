//! Files and directories, on every backend.

mod support;

use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures_core::Stream;
use proact::memory::{Allocation, BufferPool, Slab};
use proact::resource::FileTime;
use proact::status::{Code, Result};
use proact_async::fs::{self, File, FileKind, OpenOptions};
use proact_async::{Runtime, time};
use support::on_every_backend;

/// A folder of a test's own, on a file system of the machine's.
struct Folder(PathBuf);

impl Folder {
    fn new(parent: &Path) -> Folder {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("proact-async-fs-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = parent.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs `test` with a folder of its own on every backend.
fn in_a_folder(test: impl AsyncFn(&Folder) -> Result) {
    on_every_backend(|runtime: Runtime| {
        let folder = Folder::new(&std::env::temp_dir());
        runtime.block_on(test(&folder)).unwrap();
        assert_eq!(runtime.shutdown(Duration::from_secs(10)), 0);
    });
}

#[test]
fn what_is_written_is_read_at_any_offset() {
    in_a_folder(async |folder| {
        let file = File::create(folder.path("file")).await?;
        let content: Vec<u8> = (0..100_000u32).map(|index| index as u8).collect();
        let (count, content) = file.write_all_at(content, 0).await;
        assert_eq!(count?, 100_000);
        assert_eq!(std::fs::read(folder.path("file")).unwrap(), content);
        let (count, bytes) = file.read_exact_at(vec![0; 1000], 70_000).await;
        assert_eq!((count?, &bytes[..]), (1000, &content[70_000..71_000]));
        assert_eq!(file.read_at(vec![0; 10], 100_000).await.0?, 0);
        let (short, bytes) = file.read_exact_at(vec![0; 10], 99_995).await;
        assert_eq!((short.unwrap_err().code(), bytes.len()), (Code::OutOfRange, 10));
        let (count, parts) = file.read_exact_vectored_at(vec![vec![0; 3], vec![0; 4]], 256).await;
        assert_eq!((count?, parts), (7, vec![vec![0, 1, 2], vec![3, 4, 5, 6]]));
        assert_eq!(file.write_all_vectored_at(vec![vec![9; 2], vec![8; 1]], 0).await.0?, 3);
        assert_eq!(file.read_exact_at(vec![0; 4], 0).await.1, [9, 9, 8, 3]);
        Ok(())
    });
}

#[test]
fn a_cursor_moves_with_what_it_moved_and_not_with_failures() {
    in_a_folder(async |folder| {
        let mut cursor = File::create(folder.path("file")).await?.cursor(0);
        cursor.write_all(b"one".as_slice()).await.0?;
        cursor.write_all(b"two".as_slice()).await.0?;
        assert_eq!(cursor.position(), 6);
        cursor.seek(3);
        assert_eq!(cursor.read_exact(vec![0; 9]).await.0.unwrap_err().code(), Code::OutOfRange);
        assert_eq!(cursor.position(), 3);
        let (count, bytes) = cursor.read(vec![0; 9]).await;
        assert_eq!((count?, &bytes[..3], cursor.position()), (3, b"two".as_slice(), 6));
        let end = OpenOptions::new().write(true).append(true).open(folder.path("file")).await?;
        end.write_all_at(b"!".as_slice(), 0).await.0?;
        assert_eq!(fs::read(folder.path("file")).await?, b"onetwo!");
        Ok(())
    });
}

#[test]
fn attributes_are_set_and_told() {
    in_a_folder(async |folder| {
        let path = folder.path("file");
        let file = OpenOptions::new().write(true).create_new(true).mode(0o640).open(&path).await?;
        let again = OpenOptions::new().write(true).create_new(true).open(&path).await;
        assert_eq!(again.unwrap_err().code(), Code::AlreadyExists);
        file.allocate(0, 8192).await?;
        assert_eq!(file.metadata().await?.size, 8192);
        file.truncate(100).await?;
        file.set_permissions(0o600).await?;
        file.set_modified(FileTime { seconds: 7, nanoseconds: 8 }).await?;
        let known = fs::metadata(&path).await?;
        assert_eq!((known.kind, known.size, known.mode), (FileKind::File, 100, 0o600));
        assert_eq!((known.modified_seconds, known.modified_nanoseconds), (7, 8));
        fs::set_permissions(&folder.0, 0o700).await?;
        assert_eq!(fs::metadata(&folder.0).await?.mode, 0o700);
        file.sync().await?;
        let other = file.clone();
        file.close().await?;
        assert_eq!(other.metadata().await.unwrap_err().code(), Code::FailedPrecondition);
        Ok(())
    });
}

#[test]
fn names_are_made_listed_and_removed() {
    in_a_folder(async |folder| {
        fs::create_directories(folder.path("a/b/c")).await?;
        fs::create_directories(folder.path("a/b/c")).await?;
        std::fs::write(folder.path("file"), b"x").unwrap();
        let in_the_way = fs::create_directories(folder.path("file")).await;
        assert_eq!(in_the_way.unwrap_err().code(), Code::AlreadyExists);
        for index in 0..700 {
            std::fs::write(folder.path(&format!("a/b/{index:03}-{}", "long".repeat(20))), b"").unwrap();
        }
        fs::symbolic_link("b", folder.path("a/link")).await?;
        let mut names = Vec::new();
        let mut list = fs::list(folder.path("a/b"));
        while let Some(entry) = poll_fn(|cx| Pin::new(&mut list).poll_next(cx)).await {
            names.push(entry?.name.into_string().unwrap());
        }
        names.sort();
        assert_eq!((names.len(), &names[0][..4], names[700].as_str()), (701, "000-", "c"));
        let mut below = fs::walk(folder.path("a"));
        let (mut found, mut links) = (0, 0);
        while let Some(entry) = below.next().await {
            let entry = entry?;
            found += 1;
            links += usize::from(entry.kind == FileKind::Link);
        }
        assert_eq!((found, links), (703, 1), "the link is told and not followed");
        let mut none = fs::list(folder.path("none"));
        assert_eq!(none.next().await.unwrap().unwrap_err().code(), Code::NotFound);
        assert!(none.next().await.is_none(), "it ends with its failure");
        assert_eq!(fs::rename(folder.path("file"), folder.path("a")).await.unwrap_err().code(), Code::AlreadyExists);
        fs::rename(folder.path("file"), folder.path("other")).await?;
        assert!(fs::exists(folder.path("other")).await? && !fs::exists(folder.path("file")).await?);
        fs::remove_directory_all(folder.path("a")).await?;
        assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 1);
        Ok(())
    });
}

#[test]
fn whole_files_are_read_written_and_copied() {
    in_a_folder(async |folder| {
        let (one, two) = (folder.path("one"), folder.path("two"));
        for length in [0usize, 1, 255, 256, 257, 300_000] {
            let content: Vec<u8> = (0..length).map(|index| (index * 7) as u8).collect();
            let (written, content) = fs::write(&one, content).await;
            written?;
            assert_eq!(fs::read(&one).await?, content, "{length} bytes");
            fs::set_permissions(&one, 0o604).await?;
            assert_eq!(fs::copy(&one, &two).await?, length as u64);
            assert_eq!(std::fs::read(&two).unwrap(), content);
            assert_eq!(fs::metadata(&two).await?.mode, 0o604);
        }
        std::fs::hard_link(&one, folder.path("same")).unwrap();
        assert_eq!(fs::copy(&one, folder.path("same")).await.unwrap_err().code(), Code::InvalidArgument);
        assert_eq!(fs::read(&one).await?.len(), 300_000, "it was not emptied");
        // The system does not tell how long this one is.
        assert!(fs::read_to_string("/proc/self/status").await?.contains("Pid:"));
        std::fs::write(&one, [0xff, 0xfe]).unwrap();
        assert_eq!(fs::read_to_string(&one).await.unwrap_err().code(), Code::DataLoss);
        Ok(())
    });
}

#[test]
fn a_file_is_replaced_whole_or_not_at_all_whenever_that_is_dropped() {
    in_a_folder(async |folder| {
        let path = folder.path("file");
        let mut replaced = [false; 2];
        for polls in (0..64).map(|power| (1u64 << power) - 1) {
            std::fs::write(&path, b"old").unwrap();
            let mut write = Some(Box::pin(fs::write_atomically(&path, vec![7; 5000])));
            let mut polled = 0u64;
            // Dropped after the first turn, and then later and later.
            let ended = poll_fn(|cx| {
                let Some(running) = write.as_mut() else { return Poll::Ready(None) };
                if let Poll::Ready(output) = running.as_mut().poll(cx) {
                    return Poll::Ready(Some(output));
                }
                polled += 1;
                if polled > polls {
                    write = None;
                    return Poll::Ready(None);
                }
                cx.waker().wake_by_ref();
                Poll::Pending
            });
            let ended = ended.await;
            loop {
                let names = std::fs::read_dir(&folder.0).unwrap().count();
                let content = std::fs::read(&path).unwrap();
                assert!(content == b"old" || content == [7; 5000], "{} bytes", content.len());
                if names == 1 {
                    replaced[usize::from(content != b"old")] = true;
                    break;
                }
                time::sleep(Duration::from_micros(100)).await;
            }
            if let Some(ended) = ended {
                ended?;
                assert_eq!(fs::read(&path).await?, [7; 5000]);
                break;
            }
        }
        assert_eq!(replaced, [true, true], "dropped before it was replaced, and not dropped");
        let nowhere = fs::write_atomically(folder.path("none/file"), vec![1]).await;
        assert_eq!(nowhere.unwrap_err().code(), Code::NotFound);
        Ok(())
    });
}

#[test]
fn leases_of_a_registered_pool_are_read_past_the_page_cache() {
    let build = Path::new(env!("CARGO_TARGET_TMPDIR"));
    on_every_backend(|runtime| {
        let folder = Folder::new(build);
        let outcome: Result = runtime.block_on(async {
            let pool = BufferPool::new(Slab::allocate(4096, 4, &Allocation::new())?)?;
            let known = fs::register(pool.slab().region().clone()).await?;
            let options = OpenOptions::new().read(true).write(true).create(true).direct(true);
            let file = match options.open(folder.path("file")).await {
                Ok(file) => file,
                Err(status) if status.code() == Code::InvalidArgument => {
                    println!("skipped: no direct I/O here: {status}");
                    return known.forget().await;
                }
                Err(status) => return Err(status),
            };
            let mut lease = pool.lease().await;
            lease.fill(3);
            let (count, lease) = file.write_all_at(lease, 0).await;
            assert_eq!(count?, 4096);
            let (count, other) = file.read_exact_at(pool.lease().await, 0).await;
            assert_eq!((count?, &other[..]), (4096, &lease[..]));
            drop((lease, other));
            assert_eq!(pool.available(), 4);
            known.forget().await
        });
        outcome.unwrap();
    });
}
