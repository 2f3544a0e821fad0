//! Which catalogue a command works on, and that the password of a database is shown nowhere.

use std::process::Command;

use crate::server::{run, spikelens};

/// Nothing listens there.
const STORE: &str = "postgres://shop:s3cret@127.0.0.1:1/lens?sslmode=disable";

/// What a command says that fails, which is never the password.
fn failed(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(!said.contains("s3cret"), "{said}");
    (output.status.code(), said)
}

#[test]
fn a_store_that_is_not_reached_is_named_without_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("address");
    std::fs::write(&file, STORE).unwrap();
    let manifest = folder.path().join("products.ndjson");
    std::fs::write(&manifest, "").unwrap();
    let manifest = manifest.to_str().unwrap();
    let of_file = ["check", "--store-file", file.to_str().unwrap()];
    let commands: [&[&str]; 4] = [
        &["import", manifest, "--store", STORE],
        &["search", "shoe.png", "--store", STORE],
        &["check", "--store", STORE],
        &of_file,
    ];
    for arguments in commands {
        let (code, said) = failed(&mut spikelens(arguments));
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("postgres://shop@127.0.0.1:1/lens"), "{said}");
    }
    for (store, part) in [
        ("shop:s3cret@db", "--store does not begin with postgres://"),
        (
            "postgres://shop:s3cret@db",
            "--store names no database; expected postgres://USER",
        ),
        (
            "postgres://shop:s3/cret@db/s3cret",
            "in a password, /, ?, # and @ are written",
        ),
    ] {
        let (code, said) = failed(&mut spikelens(&["check", "--store", store]));
        assert!(code == Some(1) && said.contains(part), "{said}");
    }
}

#[test]
fn an_argument_wins_over_a_variable_and_a_store_over_the_directory_of_an_image() {
    let folder = tempfile::tempdir().unwrap();
    let (empty, shop) = (
        folder.path().to_str().unwrap(),
        "postgres://shop@127.0.0.1:1/lens",
    );
    let check = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = spikelens(&["check"]);
        command.args(arguments).envs(variables.iter().copied());
        failed(&mut command).1
    };
    let (data_dir, store) = (("SPIKELENS_DATA_DIR", empty), ("SPIKELENS_STORE", STORE));
    let no_catalogue = format!("{empty} contains no catalogue");
    for (arguments, variables, part) in [
        (&[][..], &[data_dir][..], no_catalogue.as_str()),
        (&[], &[data_dir, store], shop),
        (&["--store", STORE], &[data_dir], shop),
        (&["--data-dir", empty], &[store], &no_catalogue),
        (
            &["--data-dir", empty, "--store", STORE],
            &[],
            "--data-dir and --store name two catalogues; pass one of them",
        ),
        (
            &[],
            &[store, ("SPIKELENS_STORE_FILE", "address")],
            "--store and --store-file name two catalogues",
        ),
        (&[], &[], "--data-dir <DIR>"),
    ] {
        let said = check(arguments, variables);
        assert!(said.contains(part), "{arguments:?} {variables:?}: {said}");
    }
}

#[test]
fn a_backup_is_not_restored_into_a_store() {
    let mut serve = spikelens(&["serve", "--store", STORE, "--restore", "shop.backup"]);
    let (code, said) = failed(&mut serve);
    assert_eq!(code, Some(1));
    assert!(said.contains("--restore fills a data directory"), "{said}");
    assert!(said.contains("copy that with `spikelens copy`"), "{said}");
}

#[test]
fn help_does_not_show_the_address_of_the_environment() {
    let help = spikelens(&["serve", "--help"])
        .env("SPIKELENS_STORE", STORE)
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(
        help.contains("[env: SPIKELENS_STORE]") && !help.contains("s3cret"),
        "{help}"
    );
    // The options of one store stand apart.
    let (_, own) = help.split_once("PostgreSQL:\n").unwrap();
    assert!(own.contains("--lock-timeout-ms"), "{own}");
    let manual = run(&["manual"]);
    assert!(manual.status.success());
}
