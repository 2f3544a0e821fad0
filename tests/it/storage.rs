//! A full disk: writes are refused completely, reads continue, and writes work again once there is space.

use std::process::Command;

use image::{DynamicImage, ImageFormat, RgbImage};

use crate::server::{GRAY, Server, run, spikelens};

/// A picture of noise of a few hundred kilobytes; another one for each seed.
fn noise(seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(747_796_405) | 1;
    let picture = RgbImage::from_fn(400, 400, |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let bytes = state.to_be_bytes();
        image::Rgb([bytes[0], bytes[1], bytes[2]])
    });
    let mut file = std::io::Cursor::new(Vec::new());
    DynamicImage::from(picture)
        .write_to(&mut file, ImageFormat::Png)
        .unwrap();
    file.into_inner()
}

#[test]
fn a_full_disk_is_refused_whole_and_writing_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    // A limit on file sizes stands in for a full disk: it needs no privileges and can be lifted while the server runs.
    let mut limited = Command::new("bash");
    let executable = spikelens(&[]);
    limited.args(["-c", "trap '' XFSZ; ulimit -S -f 6000; exec \"$0\" \"$@\""]);
    limited.arg(executable.get_program());
    for (name, value) in executable.get_envs() {
        assert!(value.is_none(), "variables are only taken away");
        limited.env_remove(name);
    }
    let server = Server::start_by(limited, folder.path(), &GRAY).ready();
    let put = |number: u32| {
        let path = format!("/v1/products/p-{number}");
        server.ask("PUT", &path, &[("content-type", "image/png")], &noise(number))
    };
    let mut stored = 0;
    let refused = loop {
        let answer = put(stored);
        match answer.status {
            201 => stored += 1,
            _ => break answer,
        }
        assert!(stored < 100, "the limit was never met");
    };
    assert!(stored > 0);
    assert_eq!(refused.problem(), (507, "storage_full".to_owned()));
    // Nothing of the refused write is stored; everything before it is, and is found.
    assert_eq!(server.get(&format!("/v1/products/p-{stored}")).problem().0, 404);
    assert_eq!(server.get("/readyz").json()["pictures"], stored);
    for number in 0..stored {
        assert_eq!(server.get(&format!("/v1/products/p-{number}")).status, 200);
    }
    let found = server.post("/v1/search?k=100", "image/png", &noise(0)).json();
    assert_eq!(
        found["matches"].as_array().unwrap().len(),
        usize::try_from(stored).unwrap()
    );

    let id = server.id().to_string();
    let lifted = Command::new("prlimit")
        .args(["--fsize=unlimited", "--pid", &id])
        .status();
    assert!(lifted.unwrap().success());
    assert_eq!(put(stored).status, 201);
    assert_eq!(server.get("/readyz").json()["pictures"], stored + 1);
    assert_eq!(server.signal("-TERM").0, Some(0));
    let checked = run(&["check", "--data-dir", folder.path().to_str().unwrap()]);
    assert!(checked.status.success(), "{checked:?}");
}
