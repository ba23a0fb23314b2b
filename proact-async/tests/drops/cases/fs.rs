//! Files and directories.

use proact::resource::{Advice, FileTime};
use proact::status::Result;
use proact_async::fs::{self, File, OpenOptions};

use super::{Place, right};

pub async fn files(place: Place) -> Result {
    let file = File::create(place.folder.join("new")).await?;
    file.write_all_at(vec![1; 3000], 0).await.0?;
    file.write_at(vec![2; 100], 3000).await.0?;
    file.write_all_vectored_at(vec![vec![3; 10], vec![4; 20]], 3100).await.0?;
    file.write_vectored_at(vec![vec![5; 10]], 3130).await.0?;
    let (count, bytes) = file.read_exact_at(vec![0; 3000], 0).await;
    right(count? == 3000 && bytes == [1; 3000], "other bytes than were written")?;
    file.read_at(place.pool.acquire()?, 0).await.0?;
    file.read_vectored_at(vec![vec![0; 10], vec![0; 20]], 3100).await.0?;
    file.read_exact_vectored_at(vec![vec![0; 10], vec![0; 20]], 3100).await.0?;
    let mut cursor = file.cursor(0);
    cursor.write(b"ab".as_slice()).await.0?;
    cursor.write_all(b"cd".as_slice()).await.0?;
    cursor.seek(0);
    cursor.read(vec![0; 2]).await.0?;
    cursor.read_exact(vec![0; 2]).await.0?;
    file.sync().await?;
    file.sync_data().await?;
    file.truncate(10).await?;
    right(file.metadata().await?.size == 10, "another length")?;
    file.close().await?;
    let folder = File::open_directory(&place.folder).await?;
    OpenOptions::new().read(true).open_in(&folder, "new").await?;
    folder.sync().await?;
    OpenOptions::new().read(true).open(place.folder.join("new")).await?;
    File::open(place.folder.join("old")).await?.close().await
}

pub async fn attributes(place: Place) -> Result {
    let file = File::create(place.folder.join("new")).await?;
    file.allocate(0, 8192).await?;
    file.punch_hole(0, 4096).await?;
    file.advise(0, 4096, Advice::Random).await?;
    file.set_permissions(0o600).await?;
    file.set_modified(FileTime { seconds: 1, nanoseconds: 0 }).await?;
    fs::set_permissions(place.folder.join("old"), 0o644).await?;
    let old = File::open(place.folder.join("old")).await?;
    old.copy_to(0, &file, 0, 1000).await.map(drop)
}

pub async fn names(place: Place) -> Result {
    let folder = |name: &str| place.folder.join(name);
    fs::create_directory(folder("a")).await?;
    fs::create_directories(folder("a/b/c")).await?;
    fs::symbolic_link("old", folder("link")).await?;
    right(fs::read_link(folder("link")).await?.as_os_str() == "old", "another link")?;
    fs::link_metadata(folder("link")).await?;
    right(fs::metadata(folder("link")).await?.size == 5000, "another length")?;
    fs::hard_link(folder("old"), folder("second")).await?;
    fs::rename(folder("second"), folder("third")).await?;
    fs::replace(folder("third"), folder("link")).await?;
    right(!fs::exists(folder("third")).await?, "it was renamed")?;
    fs::remove_file(folder("link")).await?;
    fs::remove_directory(folder("a/b/c")).await
}

pub async fn listings(place: Place) -> Result {
    fs::create_directories(place.folder.join("a/b")).await?;
    let mut names = fs::list(&place.folder);
    let mut found = 0;
    while let Some(entry) = names.next().await {
        entry?;
        found += 1;
    }
    right(found == 2, "other names")?;
    let folder = File::open_directory(&place.folder).await?;
    while let Some(entry) = fs::List::of(&folder).next().await {
        entry?;
    }
    let mut below = fs::walk(&place.folder);
    while let Some(entry) = below.next().await {
        entry?;
    }
    fs::remove_directory_all(place.folder.join("a")).await
}

pub async fn whole(place: Place) -> Result {
    let path = place.folder.join("text");
    fs::write(&path, "a text".to_owned()).await.0?;
    right(fs::read_to_string(&path).await? == "a text", "another text")?;
    right(fs::read(place.folder.join("old")).await? == [7; 5000], "other bytes")
}

/// What it leaves of the file is looked at in `tests/fs.rs`.
pub async fn replaced(place: Place) -> Result {
    fs::write_atomically(place.folder.join("old"), vec![8; 6000]).await
}

pub async fn copied(place: Place) -> Result {
    let copied = fs::copy(place.folder.join("old"), place.folder.join("new")).await?;
    right(copied == 5000, "another length")
}

pub async fn registered(place: Place) -> Result {
    let known = fs::register(place.pool.slab().region().clone()).await?;
    let file = File::open(place.folder.join("old")).await?;
    let (count, lease) = file.read_at(place.pool.acquire()?, 0).await;
    right(count? == 4096 && lease[..] == [7; 4096], "other bytes")?;
    drop(lease);
    known.forget().await
}
