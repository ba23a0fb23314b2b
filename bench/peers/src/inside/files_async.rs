//! Files on the runtimes: so many tasks, each with one read under way; and one task that writes.

use std::os::fd::{FromRawFd, IntoRawFd};
use std::os::unix::fs::FileExt;
use std::rc::Rc;

use compio::io::{AsyncReadAt, AsyncWriteAtExt};
use proact::memory::{Allocation, BufferPool, Slab};
use proact::proactor::Builder;

use super::Figures;
use super::files::{BLOCK, BUFFERED_READS, DIRECT_READS, MIB, Places, WRITES, aligned, open, path, place, shared};
use super::together::together;
use crate::Failure;

fn reads(direct: bool) -> u32 {
    if direct { DIRECT_READS } else { BUFFERED_READS }
}

/// The buffer in its whole length again: a read has cut it to where its own block ends. To write zeros there, as
/// `resize` does, would be work of up to a block that nobody else does.
fn whole(mut buffer: Vec<u8>) -> Vec<u8> {
    assert!(buffer.capacity() >= 2 * BLOCK, "it is the buffer that was handed over");
    // SAFETY: it was made with so many bytes, all of them written, and reads have only written others over them.
    unsafe { buffer.set_len(2 * BLOCK) };
    buffer
}

/// Buffers are of a pool, whose blocks direct reads may go to; each task keeps its own.
pub fn proact_async(depth: usize, direct: bool, backend: &str) -> Result<Figures, Failure> {
    let runtime = proact_async::Runtime::builder().proactor(Builder::new().backend(backend.parse()?)).build()?;
    let file = runtime.handle().import_file(open(direct)?.into()).map_err(|returned| returned.status)?;
    let file = proact_async::fs::File::from_resource(file);
    // Both rounds' tasks, since an ended one may give its buffer back later.
    let pool = BufferPool::new(Slab::allocate(BLOCK, 2 * depth as u32, &Allocation::new())?)?;
    runtime.block_on(together(depth, reads(direct), |count| {
        let (file, buffer) = (file.clone(), pool.acquire());
        proact_async::spawn(async move {
            let (mut buffer, mut places) = (buffer.expect("a task has a buffer"), Places::new());
            for _ in 0..count {
                let (read, back) = file.read_exact_at(buffer, places.next()).await;
                read.expect("the file is whole");
                buffer = back;
            }
        })
    }))
}

/// Reads at a place are calls of the standard library on tokio's own threads: its files have one position.
pub fn tokio(depth: usize, direct: bool) -> Result<Figures, Failure> {
    let file = shared(direct)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(together(depth, reads(direct), |count| {
        let file = file.clone();
        tokio::spawn(async move {
            let (mut buffer, mut places) = (vec![0; 2 * BLOCK], Places::new());
            for _ in 0..count {
                let (file, offset) = (file.clone(), places.next());
                let read = tokio::task::spawn_blocking(move || {
                    let block = aligned(&buffer);
                    file.read_exact_at(&mut buffer[block], offset).map(|()| buffer)
                });
                buffer = read.await.expect("no panic").expect("the file is whole");
            }
        })
    }))
}

pub fn compio(depth: usize, direct: bool) -> Result<Figures, Failure> {
    use compio::buf::{IntoInner, IoBuf};
    let path = path()?;
    compio::runtime::Runtime::new()?.block_on(async {
        drop(open(false)?);
        let flags = if direct { libc::O_DIRECT } else { 0 };
        let file = compio::fs::OpenOptions::new().read(true).custom_flags(flags).open(&path).await?;
        together(depth, reads(direct), |count| {
            let file = file.clone();
            compio::runtime::spawn(async move {
                let (mut buffer, mut places) = (vec![0; 2 * BLOCK], Places::new());
                for _ in 0..count {
                    let block = aligned(&buffer);
                    let compio::BufResult(read, slice) = file.read_at(buffer.slice(block), places.next()).await;
                    assert_eq!(read.expect("the file is there"), BLOCK);
                    buffer = whole(slice.into_inner());
                }
            })
        })
        .await
    })
}

pub fn monoio(depth: usize, direct: bool) -> Result<Figures, Failure> {
    use monoio::buf::IoBufMut;
    let file = open(direct)?;
    let mut runtime = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new().with_entries(1024).build()?;
    runtime.block_on(async {
        let file = Rc::new(monoio::fs::File::from_std(file)?);
        together(depth, reads(direct), |count| {
            let file = file.clone();
            monoio::spawn(async move {
                let (mut buffer, mut places) = (vec![0; 2 * BLOCK], Places::new());
                for _ in 0..count {
                    let block = aligned(&buffer);
                    let (read, slice) = file.read_at(buffer.slice_mut(block), places.next()).await;
                    assert_eq!(read.expect("the file is there"), BLOCK);
                    buffer = whole(slice.into_inner());
                }
            })
        })
        .await
    })
}

/// glommio has a type of its own for direct reads.
pub fn glommio(depth: usize, direct: bool) -> Result<Figures, Failure> {
    let path = path()?;
    let builder = glommio::LocalExecutorBuilder::new(glommio::Placement::Unbound);
    let executor = builder.make().map_err(|error| error.to_string())?;
    executor.run(async {
        if direct {
            let file = glommio::io::DmaFile::open(&path).await.map_err(|error| error.to_string())?;
            let file = Rc::new(file);
            return together(depth, reads(direct), |count| {
                let file = file.clone();
                glommio::spawn_local(async move {
                    let mut places = Places::new();
                    for _ in 0..count {
                        let read = file.read_at_aligned(places.next(), BLOCK).await;
                        assert_eq!(read.expect("the file is there").len(), BLOCK);
                    }
                })
            })
            .await;
        }
        drop(open(false)?);
        let file = glommio::io::BufferedFile::open(&path).await.map_err(|error| error.to_string())?;
        let file = Rc::new(file);
        together(depth, reads(direct), |count| {
            let file = file.clone();
            glommio::spawn_local(async move {
                let mut places = Places::new();
                for _ in 0..count {
                    let read = file.read_at(places.next(), BLOCK).await;
                    assert_eq!(read.expect("the file is there").len(), BLOCK);
                }
            })
        })
        .await
    })
}

pub fn write_proact_async(backend: &str) -> Result<Figures, Failure> {
    let runtime = proact_async::Runtime::builder().proactor(Builder::new().backend(backend.parse()?)).build()?;
    let file = runtime.handle().import_file(open(false)?.into()).map_err(|returned| returned.status)?;
    let file = proact_async::fs::File::from_resource(file);
    runtime.block_on(together(1, WRITES, |count| {
        let file = file.clone();
        proact_async::spawn(async move {
            let mut buffer = vec![1; MIB];
            for index in 0..count {
                let (written, back) = file.write_all_at(buffer, place(index)).await;
                written.expect("the file takes it");
                buffer = back;
            }
        })
    }))
}

pub fn write_tokio() -> Result<Figures, Failure> {
    let file = shared(false)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(together(1, WRITES, |count| {
        let file = file.clone();
        tokio::spawn(async move {
            let mut buffer = vec![1; MIB];
            for index in 0..count {
                let file = file.clone();
                let write =
                    tokio::task::spawn_blocking(move || file.write_all_at(&buffer, place(index)).map(|()| buffer));
                buffer = write.await.expect("no panic").expect("the file takes it");
            }
        })
    }))
}

pub fn write_compio() -> Result<Figures, Failure> {
    let path = path()?;
    compio::runtime::Runtime::new()?.block_on(async {
        let file = compio::fs::OpenOptions::new().write(true).open(&path).await?;
        together(1, WRITES, |count| {
            let mut file = file.clone();
            compio::runtime::spawn(async move {
                let mut buffer = vec![1; MIB];
                for index in 0..count {
                    let compio::BufResult(written, back) = file.write_all_at(buffer, place(index)).await;
                    written.expect("the file takes it");
                    buffer = back;
                }
            })
        })
        .await
    })
}

pub fn write_monoio() -> Result<Figures, Failure> {
    let file = open(false)?;
    let mut runtime = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new().build()?;
    runtime.block_on(async {
        let file = Rc::new(monoio::fs::File::from_std(file)?);
        together(1, WRITES, |count| {
            let file = file.clone();
            monoio::spawn(async move {
                let mut buffer = vec![1; MIB];
                for index in 0..count {
                    let (written, back) = file.write_all_at(buffer, place(index)).await;
                    written.expect("the file takes it");
                    buffer = back;
                }
            })
        })
        .await
    })
}

/// A buffer is given up with each write, so each has a new one.
pub fn write_glommio() -> Result<Figures, Failure> {
    let descriptor = open(false)?.into_raw_fd();
    let builder = glommio::LocalExecutorBuilder::new(glommio::Placement::Unbound);
    let executor = builder.make().map_err(|error| error.to_string())?;
    executor.run(async {
        // SAFETY: the descriptor is a file's, and given up by its owner above.
        let file = Rc::new(unsafe { glommio::io::BufferedFile::from_raw_fd(descriptor) });
        together(1, WRITES, |count| {
            let file = file.clone();
            glommio::spawn_local(async move {
                for index in 0..count {
                    let written = file.write_at(vec![1; MIB], place(index)).await;
                    assert_eq!(written.expect("the file takes it"), MIB);
                }
            })
        })
        .await
    })
}
