//! Shell completions, manual pages and the health check.

use crate::server::{Server, run};

#[test]
fn every_shell_has_its_completions() {
    for (shell, expected) in [
        ("bash", "_spikelens()"),
        ("zsh", "#compdef spikelens"),
        ("fish", "complete -c spikelens"),
    ] {
        let output = run(&["completions", shell]);
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && script.contains(expected), "{shell}");
        assert!(script.contains("data-dir"), "{shell}");
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(&["manual", "--out", folder.path().to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert!(read("spikelens.1").contains(".TH spikelens 1"));
    for (name, said) in [
        ("spikelens-serve.1", "SPIKELENS_API_KEYS"),
        ("spikelens-import.1", "SPIKELENS_RESUME"),
        ("spikelens-check.1", "spikelens check"),
    ] {
        assert!(read(name).contains(said), "{name}: {}", read(name));
    }
    let whole = run(&["manual"]);
    assert!(
        String::from_utf8(whole.stdout)
            .unwrap()
            .contains(".TH spikelens 1")
    );
}

#[test]
fn the_health_of_a_server_is_an_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]).ready();
    let address = server.address().to_string();
    for arguments in [
        vec!["health", "--listen", &address],
        vec!["health", "--ready", "--listen", &address],
    ] {
        let output = run(&arguments);
        assert!(output.status.success(), "{output:?}");
    }
    drop(server);
    let output = run(&["health", "--listen", &address]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("no server answers at"), "{said}");
}
