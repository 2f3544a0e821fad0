//! What `docker/` starts several servers with: names that refer to one another, and options and paths that Spikelens has.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use spikelens::http::problem::Code;

use crate::server::{GRAY, Server, run, spikelens};
use crate::support::postgres::{self, Postgres};

fn docker() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docker")
}

fn text(name: &str) -> String {
    let path = docker().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn yaml(name: &str) -> Value {
    serde_saphyr::from_str(&text(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn names(value: &Value) -> BTreeSet<&str> {
    match value {
        Value::Object(members) => members.keys().map(String::as_str).collect(),
        other => list(other).iter().map(|name| name.as_str().unwrap()).collect(),
    }
}

/// The number that follows `before` in a text.
fn number_after(text: &str, before: &str) -> u64 {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before}"));
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

/// The port that the image listens on.
fn port() -> u64 {
    let dockerfile = text("Dockerfile");
    let port = number_after(&dockerfile, "SPIKELENS_LISTEN=0.0.0.0:");
    assert_eq!(port, number_after(&dockerfile, "EXPOSE "));
    port
}

/// Whether `serve` knows every option and variable of a container.
fn assert_known<'a>(words: impl IntoIterator<Item = &'a str>, variables: impl IntoIterator<Item = &'a str>) {
    let help = String::from_utf8(run(&["serve", "--help"]).stdout).unwrap();
    for option in words.into_iter().filter(|word| word.starts_with("--")) {
        assert!(help.contains(&format!("{option} ")), "serve has no {option}");
    }
    for variable in variables {
        assert!(
            help.contains(&format!("[env: {variable}")),
            "serve reads no {variable}"
        );
    }
}

fn is_path(path: &Value) -> bool {
    let description: Value = serde_saphyr::from_str(include_str!("../../openapi.yaml")).unwrap();
    description["paths"].get(path.as_str().unwrap()).is_some()
}

#[test]
fn the_stack_of_several_servers_fits_together() {
    let stack = yaml("compose.scale.yaml");
    let (services, secrets) = (names(&stack["services"]), &stack["secrets"]);
    let ignored = std::fs::read_to_string(docker().join("../.gitignore")).unwrap();
    for secret in secrets.as_object().unwrap().values() {
        let file = secret["file"].as_str().unwrap();
        assert!(
            file == "./keys" || (file.ends_with(".key") && ignored.contains("/docker/*.key")),
            "{file} would be committed"
        );
    }
    for (name, service) in stack["services"].as_object().unwrap() {
        assert!(names(&service["depends_on"]).is_subset(&services), "{name}");
        assert!(names(&service["secrets"]).is_subset(&names(secrets)), "{name}");
        for volume in list(&service["volumes"]) {
            let from = volume.as_str().unwrap().split(':').next().unwrap();
            let there = match from.strip_prefix("./") {
                Some(path) => docker().join(path).exists(),
                None => names(&stack["volumes"]).contains(from),
            };
            assert!(there, "{name} mounts {from}");
        }
    }
    let server = &stack["services"]["spikelens"];
    let variables = &server["environment"];
    assert_known(names(&server["command"]), names(variables));
    let store = variables["SPIKELENS_STORE_FILE"].as_str().unwrap();
    let in_secrets =
        |path: &str| names(&server["secrets"]).contains(path.strip_prefix("/run/secrets/").unwrap());
    assert!(in_secrets(store) && in_secrets(server["command"][2].as_str().unwrap()));
    assert_eq!(
        (&server["read_only"], &server["ports"]),
        (&json!(true), &Value::Null)
    );

    let proxy = text("haproxy.cfg");
    let most = number_after(&proxy, "server-template spikelens- ");
    assert_eq!(
        number_after(&proxy, &format!("spikelens- {most} spikelens:")),
        port()
    );
    assert!(proxy.contains("http-check send meth GET uri /readyz") && is_path(&json!("/readyz")));
    let published = stack["services"]["haproxy"]["ports"][0].as_str().unwrap();
    let published = published.rsplit(':').next().unwrap();
    assert!(proxy.contains(&format!("frontend shop\n    bind :{published}\n")));

    let scraped = yaml("prometheus.scale.yaml");
    let [servers, proxies] = list(&scraped["scrape_configs"]) else {
        panic!("{scraped}");
    };
    let found = &servers["dns_sd_configs"][0];
    assert_eq!(
        (&found["names"], &found["port"]),
        (&json!(["spikelens"]), &json!(port()))
    );
    let target = proxies["static_configs"][0]["targets"][0].as_str().unwrap();
    let (host, its_port) = target.split_once(':').unwrap();
    assert!(services.contains(host) && proxy.contains(&format!("bind :{its_port}\n")));

    let database = &stack["services"]["database"];
    let settings = database["command"].to_string();
    // Each server takes one more while it builds an index; three are PostgreSQL's own.
    let each = variables["SPIKELENS_STORE_CONNECTIONS"].as_u64().unwrap() + 1;
    assert!(most * each + 3 <= number_after(&settings, "max_connections="));
    assert!(server["deploy"]["replicas"].as_u64().unwrap() <= most);
    // An index is built in up to 1 GiB of shared memory.
    let shared = database["shm_size"].as_str().unwrap().strip_suffix('m').unwrap();
    assert!(shared.parse::<u64>().unwrap() > 1024);
}

#[test]
fn the_proxy_refuses_as_spikelens_does() {
    let proxy = text("haproxy.cfg");
    let refusals = proxy
        .lines()
        .filter_map(|line| line.trim().strip_prefix("http-error status "));
    let mut told = Vec::new();
    for refusal in refusals {
        let document = refusal.split('\'').nth(1).unwrap();
        let document: Value = serde_json::from_str(document).unwrap();
        let code = document["code"].as_str().unwrap();
        let known = Code::ALL
            .into_iter()
            .find(|known| known.as_str() == code)
            .unwrap();
        assert_eq!(document["type"], format!("urn:spikelens:problem:{code}"));
        let status = document["status"].as_u64().unwrap();
        assert!(refusal.starts_with(&format!("{status} ")), "{refusal}");
        assert!(refusal.contains("hdr x-request-id %[var(txn.id)]"), "{refusal}");
        told.push((status, code.to_owned(), known.status().as_u16()));
    }
    // A server that is gone is the proxy's own 502.
    let expected = [
        (503, "not_ready", 503),
        (502, "internal", 500),
        (504, "deadline_exceeded", 504),
    ];
    assert_eq!(
        told,
        expected.map(|(status, code, own)| (status, code.to_owned(), own))
    );
}

#[test]
fn the_manifests_for_kubernetes_fit_together() {
    let kustomization = yaml("kubernetes/kustomization.yaml");
    let listed = names(&kustomization["resources"]);
    let manifest = |name: &str| yaml(&format!("kubernetes/{name}.yaml"));
    let (deployment, service, secret) = (manifest("deployment"), manifest("service"), manifest("secret"));
    let (budget, autoscaler) = (manifest("disruption"), manifest("autoscaler"));
    let others = [
        "kustomization.yaml",
        "secret.yaml",
        "prometheus.yaml",
        "prometheus-adapter.yaml",
    ];
    for file in std::fs::read_dir(docker().join("kubernetes")).unwrap() {
        let file = file.unwrap().file_name().into_string().unwrap();
        assert!(
            listed.contains(file.as_str()) != others.contains(&file.as_str()),
            "{file}"
        );
    }

    let (of, pod) = (&deployment["spec"], &deployment["spec"]["template"]["spec"]);
    let labels = &of["template"]["metadata"]["labels"];
    assert!(labels.is_object());
    for selector in [
        &of["selector"]["matchLabels"],
        &service["spec"]["selector"],
        &budget["spec"]["selector"]["matchLabels"],
    ] {
        assert_eq!(selector, labels);
    }
    for spread in list(&pod["topologySpreadConstraints"]) {
        assert_eq!(spread["labelSelector"]["matchLabels"], *labels);
    }
    let [container] = list(&pod["containers"]) else {
        panic!("one container");
    };
    let named: BTreeSet<&str> = list(&kustomization["images"])
        .iter()
        .map(|image| image["name"].as_str().unwrap())
        .collect();
    assert!(named.contains(container["image"].as_str().unwrap()));

    // What Kubernetes calls restricted, and no more to write to than the image's own folder.
    let user = number_after(&text("Dockerfile"), "USER ");
    assert_eq!(pod["securityContext"]["runAsUser"], user);
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(pod["automountServiceAccountToken"], false);
    let expected = json!({
        "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
    });
    assert_eq!(container["securityContext"], expected);

    let ports = list(&container["ports"]);
    assert_eq!((ports.len(), &ports[0]["containerPort"]), (1, &json!(port())));
    assert_eq!(service["spec"]["ports"][0]["targetPort"], ports[0]["name"]);
    for (probe, path) in [
        ("startupProbe", "/healthz"),
        ("livenessProbe", "/healthz"),
        ("readinessProbe", "/readyz"),
    ] {
        let asked = &container[probe]["httpGet"];
        assert_eq!(
            (&asked["path"], &asked["port"]),
            (&json!(path), &ports[0]["name"])
        );
        assert!(is_path(&asked["path"]));
    }
    // Time to leave the service's addresses, and to answer what is open.
    let leaves = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        .as_u64()
        .unwrap();
    assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() > leaves + 9);

    let variables = list(&container["env"]);
    assert_known(
        names(&container["args"]),
        variables
            .iter()
            .map(|variable| variable["name"].as_str().unwrap()),
    );
    let mounts = list(&container["volumeMounts"]);
    let volumes = list(&pod["volumes"]);
    assert_eq!(mounts.len(), volumes.len());
    for (mount, volume) in mounts.iter().zip(volumes) {
        assert_eq!(mount["name"], volume["name"]);
    }
    assert_eq!(volumes[0]["secret"]["secretName"], secret["metadata"]["name"]);
    let folder = format!("{}/", mounts[0]["mountPath"].as_str().unwrap());
    let files: BTreeSet<&str> = variables
        .iter()
        .filter_map(|variable| variable["value"].as_str()?.strip_prefix(&folder))
        .collect();
    assert_eq!(files, names(&secret["stringData"]));

    let target = &autoscaler["spec"]["scaleTargetRef"];
    assert_eq!(
        (&target["kind"], &target["name"]),
        (&deployment["kind"], &deployment["metadata"]["name"])
    );
    let metric = autoscaler["spec"]["metrics"][0]["pods"]["metric"]["name"]
        .as_str()
        .unwrap();
    let metrics = std::fs::read_to_string(docker().join("../docs/operations.md")).unwrap();
    assert!(metrics.contains(&format!("| `{metric}` | gauge |")));
    let rule = &manifest("prometheus-adapter")["rules"]["custom"][0];
    assert_eq!(rule["name"]["as"], metric);
    assert!(
        rule["seriesQuery"]
            .as_str()
            .unwrap()
            .starts_with(&format!("{metric}{{"))
    );
    // The labels by which the adapter finds a pod are those that Prometheus sets.
    let set: BTreeSet<&str> = list(&manifest("prometheus")["scrape_configs"][0]["relabel_configs"])
        .iter()
        .filter_map(|relabel| relabel["target_label"].as_str())
        .map(|label| {
            ["namespace", "pod"]
                .into_iter()
                .find(|known| *known == label)
                .unwrap()
        })
        .collect();
    assert_eq!(set, names(&rule["resources"]["overrides"]));
}

#[test]
fn a_server_of_the_image_runs_on_a_database_that_the_stack_makes() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(file("database"), "0123456789abcdef\n").unwrap();
    let script = text("postgres/init.sql");
    assert!(script.contains("/run/secrets/database"));
    std::fs::write(
        file("init.sql"),
        script.replace("/run/secrets/database", &file("database")),
    )
    .unwrap();
    let database = Postgres::start(&[]);
    database.psql("template1", "DROP EXTENSION vector");
    database.run_file("postgres", Path::new(&file("init.sql")));
    let rights = "SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = 'spikelens'";
    assert_eq!(database.psql("postgres", rights), "f|f|f");

    let address = format!(
        "postgres://spikelens:0123456789abcdef@{}/spikelens",
        database.address()
    );
    let refused = postgres::psql(&address.replace("spikelens:", "shop:"), "SELECT 1").unwrap_err();
    assert!(refused.contains("password authentication failed"), "{refused}");
    std::fs::write(file("store"), &address).unwrap();
    // The image names a folder, which the store's address outweighs: nothing is written there.
    let mut image = spikelens(&[]);
    image.envs([
        ("SPIKELENS_DATA_DIR", file("data")),
        ("SPIKELENS_STORE_FILE", file("store")),
    ]);
    let server = Server::start_with(image, &GRAY).ready();
    assert_eq!(server.get("/readyz").json()["pictures"], 0);
    assert!(!Path::new(&file("data")).exists());
    assert_eq!(server.signal("-TERM").0, Some(0));
}
