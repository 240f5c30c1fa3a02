use super::*;

fn run(action: CertsAction, json: bool) -> anyhow::Result<String> {
    verge_tls::install_provider();
    let mut out = Vec::new();
    certs(&CertsArgs { action }, json, &mut out).map(|_| String::from_utf8(out).unwrap())
}

fn issue_in(dir: &Path, name: &str, force: bool) -> anyhow::Result<String> {
    let names = vec!["127.0.0.1".to_owned()];
    let args = IssueArgs {
        name: vec![name.to_owned()],
        dir: dir.to_owned(),
        usage: Some(UsageArg::Server),
        names,
        days: 2,
        force,
    };
    run(CertsAction::Issue(args), true)
}

#[test]
fn an_authority_issues_what_show_can_read() {
    let dir = tempfile::tempdir().unwrap();
    let init = || InitArgs { dir: dir.path().to_owned(), name: "Test".to_owned(), days: 10 };
    assert!(
        issue_in(dir.path(), "centre.example", false).unwrap_err().to_string().contains("verge certs init")
    );
    let made = run(CertsAction::Init(init()), false).unwrap();
    assert!(made.contains("CN=Test ") && made.contains("next: `verge certs issue HOST --dir "), "{made}");
    let again = tempfile::tempdir().unwrap();
    let other = run(CertsAction::Init(InitArgs { dir: again.path().to_owned(), ..init() }), false).unwrap();
    let name = |made: &str| made.split("CN=").nth(1).map(|name| name.chars().take(13).collect::<String>());
    assert_ne!(name(&made), name(&other), "two authorities of one name");
    assert!(format!("{:#}", run(CertsAction::Init(init()), false).unwrap_err()).contains("exists already"));

    let issued: Value =
        serde_json::from_str(&issue_in(dir.path(), "centre.example", false).unwrap()).unwrap();
    assert_eq!(issued["certificate"]["names"], json!(["centre.example", "127.0.0.1"]));
    assert_eq!(issued["certificate"]["usage"], "server");
    assert!(format!("{:#}", issue_in(dir.path(), "centre.example", false).unwrap_err()).contains("--force"));
    issue_in(dir.path(), "centre.example", true).unwrap();

    let files = vec![dir.path().join("ca.pem"), dir.path().join("centre.example.pem")];
    let shown = run(CertsAction::Show(CertsShowArgs { files }), false).unwrap();
    assert!(shown.contains("(an authority)") && shown.contains("for centre.example, 127.0.0.1"), "{shown}");
    assert!(shown.contains("(1 day)") || shown.contains("(2 days)"), "{shown}");
}

#[test]
fn what_a_certificate_is_for_may_stand_in_front_of_its_name() {
    let dir = tempfile::tempdir().unwrap();
    run(CertsAction::Init(InitArgs { dir: dir.path().to_owned(), name: "Test".to_owned(), days: 10 }), false)
        .unwrap();
    let issue = |name: &[&str], usage| {
        let name = name.iter().map(|&name| name.to_owned()).collect();
        let dir = dir.path().to_owned();
        run(CertsAction::Issue(IssueArgs { name, dir, usage, names: Vec::new(), days: 2, force: true }), true)
    };
    let made = |name: &[&str], usage| {
        let issued: Value = serde_json::from_str(&issue(name, usage).unwrap()).unwrap();
        issued["certificate"]["usage"].as_str().unwrap().to_owned()
    };
    assert_eq!(made(&["device", "pump-1"], None), "client");
    assert_eq!(made(&["gateway", "plant-1"], None), "server and client");
    assert_eq!(made(&["upstream", "centre.example"], None), "server");
    assert_eq!(made(&["device"], None), "server and client", "one word is a name");
    let refused = |name: &[&str], usage| format!("{:#}", issue(name, usage).unwrap_err());
    assert!(refused(&["pump", "pump-1"], None).contains("\"pump\" in front of the name, expected device"));
    assert!(refused(&["device", "pump-1"], Some(UsageArg::Client)).contains("either"));
    // A name that no device could use, as it becomes a level of topics.
    for name in ["pump+1", "a#", "$1", "@pump", "pump-1:z", &"7".repeat(129)] {
        assert!(refused(&["device", name], None).contains("cannot be a device's name"), "{name}");
        assert!(refused(&[name], Some(UsageArg::Client)).contains("cannot be a device's name"), "{name}");
    }
    assert_eq!(made(&["fe80::1"], Some(UsageArg::Server)), "server");
}

#[test]
fn names_stay_in_their_folder() {
    let check = |name: &str, good: bool| assert_eq!(check_stem(name).is_ok(), good, "{name:?}");
    check("pump-room-1", true);
    check("centre.example", true);
    check("../ca", false);
    check("ca", false);
    check("CA", false);
    check("", false);
    check(".hidden", false);
}

#[test]
fn validity_is_reported_for_past_present_and_future() {
    let summary = CertificateSummary {
        subject: String::new(),
        issuer: String::new(),
        common_name: None,
        names: Vec::new(),
        not_before: 0,
        not_after: 10 * SECONDS_A_DAY,
        serial: String::new(),
        version: 3,
        is_ca: false,
        usage: None,
        weakness: None,
        fingerprint: String::new(),
    };
    let check = |now: i64, expected: &str| assert_eq!(validity(&summary, now), expected);
    check(
        -1,
        "NOT YET VALID, from 1970-01-01T00:00:00Z; the clock of this machine shows 1969-12-31T23:59:59Z",
    );
    check(SECONDS_A_DAY, "valid until 1970-01-11T00:00:00Z (9 days)");
    check(
        10 * SECONDS_A_DAY + 1,
        "EXPIRED on 1970-01-11T00:00:00Z; the clock of this machine shows 1970-01-11T00:00:01Z",
    );
    let other = CertificateSummary { version: 1, ..summary.clone() };
    assert!(in_words(&other, 0).contains("version 1, and TLS requires version 3"));
}

#[test]
fn what_is_revoked_stands_in_the_list_and_renewed_certificates_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_owned();
    run(CertsAction::Init(InitArgs { dir: folder.clone(), name: "Test".to_owned(), days: 10 }), false)
        .unwrap();
    issue_in(&folder, "pump-1", false).unwrap();
    let revoke = |what: &[&str]| {
        let what = what.iter().map(|&what| what.to_owned()).collect();
        run(CertsAction::Revoke(revoke::RevokeArgs { what, dir: folder.clone(), days: 30 }), false)
    };
    let unknown = format!("{:#}", revoke(&["pump-2"]).unwrap_err());
    assert!(unknown.contains("pump-2.pem") && unknown.contains("serial number"), "{unknown}");
    let done = revoke(&["pump-1", "serial:0a:1b"]).unwrap();
    assert!(done.contains("2 certificates") && done.contains("local.crl"), "{done}");
    let renew = sign::RenewArgs { name: "pump-1".to_owned(), dir: folder.clone(), days: None, within: None };
    let renewed = run(CertsAction::Renew(renew), true).unwrap();
    let renewed: Value = serde_json::from_str(&renewed).unwrap();
    assert_eq!(renewed["certificate"]["names"], json!(["pump-1", "127.0.0.1"]));
    assert_eq!(renewed["certificate"]["usage"], "server");
    let roots = verge_tls::TrustedRoots::load(&folder.join("ca.pem")).unwrap();
    let list = verge_tls::Revocations::load(Some(&folder.join("ca.crl")), None, &roots).unwrap();
    assert_eq!(list.len(), 2);
    // What has time left stays.
    let early = sign::RenewArgs { name: "pump-1".to_owned(), dir: folder, days: Some(100), within: Some(1) };
    let early = run(CertsAction::Renew(early), false).unwrap();
    assert!(early.contains("is left as it is"), "{early}");
}
