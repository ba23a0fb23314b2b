//! `files`, from hyper's own client.

mod client;
mod support;

use std::os::unix::fs::symlink;

use client::{Client, on_tokio, request};
use support::{Folder, Program, noise};
use tokio::net::TcpStream;

/// A server of a folder with a few things in it.
fn start() -> (Program, Folder) {
    let folder = Folder::new();
    let root = folder.path.join("root");
    std::fs::create_dir_all(root.join("sub folder")).unwrap();
    std::fs::write(root.join("digits.txt"), "0123456789").unwrap();
    std::fs::write(root.join("sub folder/ä.html"), "<p>ä").unwrap();
    std::fs::write(root.join("empty"), "").unwrap();
    std::fs::write(root.join("long"), noise(3_000_000)).unwrap();
    std::fs::write(root.join(".hidden"), "not for you").unwrap();
    std::fs::write(folder.path.join("secret"), "not for you").unwrap();
    symlink("../secret", root.join("link")).unwrap();
    symlink("..", root.join("out")).unwrap();
    let program = Program::start(env!("CARGO_BIN_EXE_files"), &[root.to_str().unwrap()]);
    (program, folder)
}

#[test]
fn files_are_served_whole_with_their_type_and_length() {
    let (program, _folder) = start();
    on_tokio(async {
        for two in [false, true] {
            let mut client = Client::new(TcpStream::connect(&program.address).await.unwrap(), two).await;
            let digits = client.get("/digits.txt", &[]).await;
            assert_eq!((digits.status().as_u16(), &digits.body()[..]), (200, b"0123456789".as_slice()));
            assert_eq!(digits.headers()["content-type"], "text/plain; charset=utf-8");
            assert_eq!(digits.headers()["content-length"], "10");
            let page = client.get("/sub%20folder/%c3%A4.html", &[]).await;
            assert_eq!(&page.body()[..], "<p>ä".as_bytes());
            assert!(client.get("/long", &[]).await.body()[..] == noise(3_000_000), "the same bytes");
            assert_eq!(client.get("/empty", &[]).await.body().len(), 0);
            let head = client.send(request("HEAD", "/long", &[], b"")).await;
            assert_eq!((head.headers()["content-length"].to_str().unwrap(), head.body().len()), ("3000000", 0));
            let post = client.send(request("POST", "/digits.txt", &[], b"")).await;
            assert_eq!((post.status().as_u16(), post.headers()["allow"].to_str().unwrap()), (405, "GET, HEAD"));
        }
    });
    program.stop();
}

#[test]
fn ranges_are_served_and_only_of_the_same_file() {
    let (program, folder) = start();
    on_tokio(async {
        let mut client = Client::new(TcpStream::connect(&program.address).await.unwrap(), false).await;
        for (range, status, of, body) in [
            ("bytes=2-4", 206, "bytes 2-4/10", "234"),
            ("bytes=7-", 206, "bytes 7-9/10", "789"),
            ("bytes=-2", 206, "bytes 8-9/10", "89"),
            ("bytes=0-99", 206, "bytes 0-9/10", "0123456789"),
            ("bytes=10-", 416, "bytes */10", ""),
            ("bytes=0-1,4-5", 200, "", "0123456789"),
        ] {
            let part = client.get("/digits.txt", &[("range", range)]).await;
            let told = part.headers().get("content-range").map_or("", |value| value.to_str().unwrap());
            let got = (part.status().as_u16(), told, std::str::from_utf8(part.body()).unwrap());
            assert_eq!(got, (status, of, body), "{range}");
        }
        let middle = client.get("/long", &[("range", "bytes=1000000-2000000")]).await;
        assert!(middle.body()[..] == noise(3_000_000)[1_000_000..=2_000_000], "the same bytes");

        let tag = client.get("/digits.txt", &[]).await.headers()["etag"].to_str().unwrap().to_string();
        assert_eq!(client.get("/digits.txt", &[("if-none-match", &tag)]).await.status(), 304);
        let part = [("range", "bytes=1-2"), ("if-range", tag.as_str())];
        assert_eq!(&client.get("/digits.txt", &part).await.body()[..], b"12");
        std::fs::write(folder.path.join("root/digits.txt"), "abcdefghijk").unwrap();
        let whole = client.get("/digits.txt", &part).await;
        assert_eq!((whole.status().as_u16(), &whole.body()[..]), (200, b"abcdefghijk".as_slice()));
    });
    program.stop();
}

#[test]
fn nothing_outside_of_the_folder_is_served() {
    let (program, _folder) = start();
    on_tokio(async {
        let mut client = Client::new(TcpStream::connect(&program.address).await.unwrap(), false).await;
        for path in [
            "/",
            "/../secret",
            "/%2e%2e/secret",
            "/sub%20folder/../../secret",
            "/..%2fsecret",
            "/.hidden",
            "/link",
            "/out/secret",
            "/sub%20folder",
            "/digits.txt/",
            "/digits.txt/x",
            "/digits.txt%00",
            "/%zz",
            "/%",
        ] {
            let answer = client.get(path, &[]).await;
            assert_eq!(answer.status(), 404, "{path}");
            assert_eq!(&answer.body()[..], b"there is no such file\n", "{path}");
        }
    });
    program.stop();
}
