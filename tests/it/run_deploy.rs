//! What the files in `deploy/` say of the program is so: its command line, its paths and ports, its
//! configuration, how long it takes to end. Their form is for `scripts/check-deploy.sh`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::config_check::toolscout;
use crate::support::service::{Service, catalog, run};

/// What ending takes at the most, once nothing is open any more.
const END: Duration = Duration::from_secs(20);
/// An address that nobody answers at, in place of that of the example.
const NOWHERE: &str = "http://127.0.0.1:1/mcp";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).into()
}

fn text(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn yaml(file: &str) -> Value {
    serde_saphyr::from_str(&text(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn manifest(name: &str) -> Value {
    yaml(&format!("deploy/kubernetes/{name}.yaml"))
}

fn strings(list: &Value) -> Vec<String> {
    let list = list.as_array().unwrap_or_else(|| panic!("{list} is no list"));
    list.iter().map(|one| one.as_str().unwrap().to_owned()).collect()
}

/// `--leave` and `--drain` of a command line.
fn patience(args: &[String]) -> Duration {
    let of = |flag: &str| {
        let mut values = args.iter().enumerate().filter_map(|(at, arg)| {
            let rest = arg.strip_prefix(flag)?;
            if rest.is_empty() { args.get(at + 1).cloned() } else { Some(rest[1..].to_owned()) }
        });
        values.next().map(|value| humantime::parse_duration(&value).unwrap())
    };
    of("--leave").unwrap_or_default() + of("--drain").unwrap()
}

/// The command line with its configuration elsewhere.
fn moved(args: &[String], from: &str) -> Vec<String> {
    let moved: Vec<String> = args.iter().map(|arg| arg.replace(from, "toolscout.toml")).collect();
    assert_ne!(moved, args, "no {from}");
    moved
}

/// What the container of a file does when it is started here: every path of `probes` is answered.
async fn starts(folder: &Path, args: &[String], variables: &[(String, String)], probes: &[&str]) {
    catalog(folder, &[("house", "ring_bell", "Ring the bell")]);
    let mut command = toolscout(folder);
    command.args(args).args(["--catalog", "catalog.jsonl"]);
    command.envs(variables.iter().cloned());
    command.env("TOOLSCOUT_LISTEN", "0.0.0.0:0").env("TOOLSCOUT_DATA", folder.join("data"));
    let mut service = Service::of(command).await;
    service.url = service.url.replace("0.0.0.0", "127.0.0.1");
    service.until_ready().await;
    for path in probes {
        let (status, body) = service.get(path).await;
        assert_eq!(status, 200, "{path}: {body}");
    }
    let metrics = service.metric("toolscout_generation").await;
    assert!(metrics >= 1.0, "{metrics}");
    service.stop().await;
}

#[tokio::test]
async fn a_pod_starts_answers_its_probes_and_has_the_time_to_end() {
    let deployment = manifest("30-deployment");
    let pod = &deployment["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let mounts = container["volumeMounts"].as_array().unwrap();
    let mounted = |path: &str| mounts.iter().find(|mount| mount["mountPath"] == path);
    assert!(mounted("/etc/toolscout").is_some(), "{mounts:?}");

    let configuration = manifest("20-configmap");
    let configuration = configuration["data"]["toolscout.toml"].as_str().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let here = configuration.replace("https://mcp.example.com/mcp", NOWHERE);
    assert_ne!(here, configuration);
    fs::write(folder.path().join("toolscout.toml"), here).unwrap();

    let secret = manifest("optional/secret");
    let mut variables = Vec::new();
    for variable in container["env"].as_array().unwrap() {
        let name = variable["name"].as_str().unwrap();
        let key = &variable["valueFrom"]["secretKeyRef"];
        let value = if let Some(value) = variable["value"].as_str() {
            value
        } else {
            assert_eq!(key["name"], secret["metadata"]["name"]);
            secret["stringData"][key["key"].as_str().unwrap()].as_str().unwrap()
        };
        variables.push((name.to_owned(), value.to_owned()));
    }
    let value = |name: &str| variables.iter().find(|(known, _)| known == name).unwrap().1.clone();
    assert!(mounted(&value("TOOLSCOUT_DATA")).is_some(), "the root can't be written");

    let args = strings(&container["args"]);
    let probes: Vec<String> = ["startupProbe", "livenessProbe", "readinessProbe"]
        .map(|probe| container[probe]["httpGet"]["path"].as_str().unwrap().to_owned())
        .into();
    let probes: Vec<&str> = probes.iter().map(String::as_str).collect();
    let moved = moved(&args, "/etc/toolscout/toolscout.toml");
    starts(folder.path(), &moved, &variables, &probes).await;

    let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
    assert!(Duration::from_secs(grace) >= patience(&args) + END, "{grace} s");
    let port = container["ports"][0]["containerPort"].as_u64().unwrap();
    assert!(value("TOOLSCOUT_LISTEN").ends_with(&format!(":{port}")));
    for expected in [format!("EXPOSE {port}"), format!("TOOLSCOUT_LISTEN=0.0.0.0:{port}")] {
        assert!(text("Dockerfile").contains(&expected), "{expected}");
    }
}

#[tokio::test]
async fn who_wants_callers_to_show_who_they_are_finds_the_lines_there() {
    let configmap = manifest("20-configmap");
    let configmap = configmap["data"]["toolscout.toml"].as_str().unwrap();
    for configuration in [configmap, &text("deploy/compose/toolscout.toml")] {
        let folder = tempfile::tempdir().unwrap();
        let uncommented = |line: &str| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') => rest.to_owned(),
            _ => line.to_owned(),
        };
        // Sections come behind the keys before all sections.
        let lines = configuration.lines().filter(|line| !line.starts_with("allow_anonymous"));
        let (first, last): (Vec<_>, Vec<_>) =
            lines.partition(|line| line.starts_with("allowed_hosts"));
        let lines: Vec<_> = first.into_iter().chain(last).map(uncommented).collect();
        let here = lines.join("\n").replace("/run/secrets/example_token", "example_token");
        fs::write(folder.path().join("toolscout.toml"), here).unwrap();
        fs::write(folder.path().join("example_token"), "a-token").unwrap();
        let mut command = toolscout(folder.path());
        command.args(["config", "check", "--listen", "0.0.0.0:0"]).env("EXAMPLE_TOKEN", "a-token");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_manifests_speak_of_the_same_pods() {
    let deployment = manifest("30-deployment");
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    let service = manifest("40-service");
    let (budget, scaler) =
        (manifest("50-poddisruptionbudget"), manifest("60-horizontalpodautoscaler"));
    for selected in [
        &deployment["spec"]["selector"]["matchLabels"],
        &service["spec"]["selector"],
        &budget["spec"]["selector"]["matchLabels"],
        &manifest("70-networkpolicy")["spec"]["podSelector"]["matchLabels"],
    ] {
        assert_eq!(selected, labels);
    }
    let replicas = deployment["spec"]["replicas"].as_u64().unwrap();
    assert_eq!(replicas, 3);
    assert_eq!(scaler["spec"]["minReplicas"], replicas);
    assert!(budget["spec"]["minAvailable"].as_u64().unwrap() < replicas);
    assert_eq!(scaler["spec"]["scaleTargetRef"]["name"], deployment["metadata"]["name"]);
    let port = &deployment["spec"]["template"]["spec"]["containers"][0]["ports"][0]["name"];
    assert_eq!(service["spec"]["ports"][0]["targetPort"], *port);
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(pod["serviceAccountName"], manifest("10-serviceaccount")["metadata"]["name"]);
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    let restricted = &pod["containers"][0]["securityContext"];
    assert_eq!(restricted["readOnlyRootFilesystem"], true);
    assert_eq!(strings(&restricted["capabilities"]["drop"]), ["ALL"]);
}

#[tokio::test]
async fn compose_starts_what_it_says() {
    let compose = yaml("deploy/compose/compose.yaml");
    let service = &compose["services"]["toolscout"];
    let folder = tempfile::tempdir().unwrap();
    let configuration = text("deploy/compose/toolscout.toml");
    let here = configuration
        .replace("https://mcp.example.com/mcp", NOWHERE)
        .replace("/run/secrets/example_token", "example_token");
    fs::write(folder.path().join("toolscout.toml"), here).unwrap();
    fs::write(folder.path().join("example_token"), "a-token").unwrap();
    let args = strings(&service["command"]);
    let target = service["configs"][0]["target"].as_str().unwrap();
    starts(folder.path(), &moved(&args, target), &[], &["/readyz"]).await;

    let secret = service["secrets"][0]["target"].as_str().unwrap();
    assert!(configuration.contains(secret), "{secret}");
    let grace = service["stop_grace_period"].as_str().unwrap();
    assert!(humantime::parse_duration(grace).unwrap() >= patience(&args) + END);
    let healthy = strings(&service["healthcheck"]["test"]);
    assert!(text("scripts/build-image.sh").contains(&format!("/bin/{}\"", healthy[1])));
    // The files that it names are there.
    for (name, file) in compose["configs"].as_object().unwrap() {
        let file = file["file"].as_str().unwrap();
        assert!(root().join("deploy/compose").join(file).is_file(), "{name}: {file}");
    }
    // Prometheus reaches it by a name that it serves.
    let scraped = yaml("deploy/compose/prometheus.yml");
    let scraped = strings(&scraped["scrape_configs"][0]["static_configs"][0]["targets"]);
    let name = scraped[0].split(':').next().unwrap();
    assert!(configuration.contains(&format!("allowed_hosts = [{name:?}]")), "{name}");
}

#[tokio::test]
async fn the_unit_starts_what_is_there_and_waits_for_its_end() {
    let unit = text("deploy/systemd/toolscout.service");
    let setting = |key: &str| {
        let mut lines = unit.lines().filter_map(|line| line.strip_prefix(&format!("{key}=")));
        lines.next().unwrap_or_else(|| panic!("no {key}")).to_owned()
    };
    let command: Vec<String> = setting("ExecStart").split(' ').map(str::to_owned).collect();
    let folder = tempfile::tempdir().unwrap();
    // Help is given once everything before it was understood.
    let args: Vec<&str> = command[1..].iter().map(String::as_str).chain(["--help"]).collect();
    let ran = run(folder.path(), &args).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let stop: u64 = setting("TimeoutStopSec").parse().unwrap();
    assert!(Duration::from_secs(stop) >= patience(&command) + END);
    assert_eq!(setting("Type"), "notify");
    assert!(
        setting("Environment")
            .contains(&format!("TOOLSCOUT_DATA=/var/lib/{}", setting("StateDirectory")))
    );
}
