//! Real handshakes over loopback: who is let in, who is not, and what the other side receives.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy knows that only of test functions"
)]

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use verge_tls::authority::{Authority, CertificateRequest, Issued, write_identity};
use verge_tls::{
    Acceptor, ClientConfig, Mistaken, TlsError, TlsIdentity, TrustedRoots, Usage, client_config, explain,
    server_config, summary,
};

const TIMEOUT: Duration = Duration::from_secs(5);

struct Site {
    authority: Authority,
    server: Arc<verge_tls::ServerConfig>,
}

fn request(name: &str, names: &[&str], usage: Usage, days: u32) -> CertificateRequest {
    CertificateRequest {
        common_name: name.to_owned(),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        usage,
        days,
    }
}

fn identity(issued: &Issued) -> TlsIdentity {
    TlsIdentity::from_pem(issued.cert_pem.as_bytes(), issued.key_pem.as_bytes()).unwrap()
}

fn roots(authority: &Authority) -> TrustedRoots {
    TrustedRoots::from_pem(authority.cert_pem().as_bytes()).unwrap()
}

/// What the authority would have issued for these years.
fn issue_for(authority: &Authority, name: &str, years: (i32, i32)) -> Issued {
    let signing = rcgen::KeyPair::from_pem(&authority.to_issued().key_pem).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_pem(authority.cert_pem(), signing).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
    let cert_pem = params.signed_by(&key, &issuer).unwrap().pem();
    Issued { cert_pem, key_pem: key.serialize_pem() }
}

const PAST: (i32, i32) = (2015, 2016);
const FUTURE: (i32, i32) = (2090, 2091);

/// A site whose broker shows what `issue` makes.
fn site_with(issue: impl FnOnce(&Authority) -> Issued) -> Site {
    let authority = Authority::create("test authority", 30).unwrap();
    let server = server_config(&identity(&issue(&authority)), Some(&roots(&authority)));
    Site { authority, server }
}

fn site(server_usage: Usage) -> Site {
    site_with(|authority| authority.issue(&request("broker", &["localhost"], server_usage, 30)).unwrap())
}

/// One handshake and one byte each way: what the server saw, and what the client saw.
async fn meet(
    server: &Arc<verge_tls::ServerConfig>,
    client: Arc<ClientConfig>,
    name: &'static str,
) -> (Result<(), TlsError>, Result<(), std::io::Error>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = Acceptor::new(Arc::clone(server));
    let accepting = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(stream, TIMEOUT).await?;
        stream.write_all(b"x").await.map_err(TlsError::Handshake)?;
        stream.shutdown().await.map_err(TlsError::Handshake)?;
        Ok(())
    });
    let connecting = async {
        let stream = TcpStream::connect(address).await?;
        let mut stream = TlsConnector::from(client).connect(name.try_into().unwrap(), stream).await?;
        // In TLS 1.3 a client learns of a refused certificate at its first read.
        stream.read_u8().await.map(|_| ())
    };
    let client_saw = connecting.await;
    (accepting.await.unwrap(), client_saw)
}

#[tokio::test]
async fn a_client_of_the_site_is_let_in() {
    let site = site(Usage::Server);
    let issued = site.authority.issue(&request("cabinet", &["cabinet-7"], Usage::Client, 30)).unwrap();
    let client = client_config(&roots(&site.authority), Some(&identity(&issued)));
    let (server_saw, client_saw) = meet(&site.server, client, "localhost").await;
    client_saw.unwrap();
    server_saw.unwrap();
}

#[tokio::test]
async fn clients_without_a_valid_certificate_are_refused_and_both_ends_say_why() {
    let site = site(Usage::Server);
    let stranger = Authority::create("another authority", 30).unwrap();
    let cases: [(&str, Option<Issued>, &str, &str); 4] = [
        ("none", None, "requires a certificate", "shows no certificate"),
        (
            "another authority's",
            Some(stranger.issue(&request("c", &["c"], Usage::Client, 30)).unwrap()),
            "does not know the authority",
            "the client's certificate CN=c is signed by CN=another authority, and CN=test authority (sha256 ",
        ),
        (
            "a server's",
            Some(site.authority.issue(&request("c", &["c"], Usage::Server, 30)).unwrap()),
            "may not be used for this",
            "was made for servers (serverAuth)",
        ),
        (
            "an expired one",
            Some(issue_for(&site.authority, "c", PAST)),
            "has expired",
            "has expired on 2016-01-01 00:00 UTC; the clock of this machine shows 20",
        ),
    ];
    for (what, issued, client_expected, server_expected) in cases {
        let identity = issued.as_ref().map(identity);
        let client = client_config(&roots(&site.authority), identity.as_ref());
        let (server_saw, client_saw) = meet(&site.server, client, "localhost").await;
        let refused = server_saw.expect_err(what).to_string();
        assert!(refused.contains(server_expected), "{what}: {refused}");
        let words = explain(&client_saw.expect_err(what));
        assert!(words.contains(client_expected), "{what}: {words}");
    }
}

#[tokio::test]
async fn false_servers_are_refused_and_the_words_say_why() {
    let check = async |site: &Site, trusted: &Authority, name: &'static str, expected: &str| {
        let issued = site.authority.issue(&request("c", &["c"], Usage::Client, 30)).unwrap();
        let client = client_config(&roots(trusted), Some(&identity(&issued)));
        let (_, client_saw) = meet(&site.server, client, name).await;
        let words = explain(&client_saw.expect_err(expected));
        assert!(words.contains(expected), "expected {expected:?}, got {words:?}");
        assert!(!words.contains('\n'), "{words}");
    };
    let good = site(Usage::Server);
    let stranger = Authority::create("another authority", 30).unwrap();
    let sha256 = &summary(stranger.cert_pem().as_bytes(), "").unwrap()[0].fingerprint;
    let held = format!(
        "CN=broker is signed by CN=test authority, and CN=another authority (sha256 {sha256}) in the CA file did not sign it"
    );
    check(&good, &stranger, "localhost", &held).await;
    let namesake = Authority::create("test authority", 30).unwrap();
    check(&good, &namesake, "localhost", "both have this name and different keys").await;
    check(&good, &good.authority, "elsewhere", "is not for the name elsewhere: it carries localhost").await;
    check(&good, &good.authority, "127.0.0.1", "subjectAltName=IP:127.0.0.1").await;
    let expired = site_with(|authority| issue_for(authority, "localhost", PAST));
    check(&expired, &expired.authority, "localhost", "has expired on 2016-01-01").await;
    let early = site_with(|authority| issue_for(authority, "localhost", FUTURE));
    check(&early, &early.authority, "localhost", "is not valid before 2090-01-01").await;
    let client_only = site(Usage::Client);
    check(&client_only, &client_only.authority, "localhost", "was made for clients (clientAuth)").await;
    let nameless =
        site_with(|authority| authority.issue(&request("localhost", &[], Usage::Server, 30)).unwrap());
    check(&nameless, &nameless.authority, "localhost", "in its subject only (CN localhost)").await;
    // rcgen makes an address of a text that looks like one: the DNS name is made by hand.
    let as_name = site_with(|authority| issue_dns(authority, "127.0.0.1"));
    check(&as_name, &as_name.authority, "127.0.0.1", "it carries it as DNS:127.0.0.1").await;
}

/// A certificate with a DNS name, whatever it looks like.
fn issue_dns(authority: &Authority, name: &str) -> Issued {
    let signing = rcgen::KeyPair::from_pem(&authority.to_issued().key_pem).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_pem(authority.cert_pem(), signing).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.subject_alt_names = vec![rcgen::SanType::DnsName(name.try_into().unwrap())];
    let cert_pem = params.signed_by(&key, &issuer).unwrap().pem();
    Issued { cert_pem, key_pem: key.serialize_pem() }
}

/// A certificate that signs itself, as `openssl req -x509` makes it, or without leave to sign.
fn self_signed(is_ca: bool) -> Issued {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, "localhost");
    if is_ca {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    }
    let cert_pem = params.self_signed(&key).unwrap().pem();
    Issued { cert_pem, key_pem: key.serialize_pem() }
}

#[tokio::test]
async fn servers_that_sign_themselves_are_refused_with_what_to_do() {
    let check = async |issued: &Issued, trusted: &str, expected: &str| {
        let server = server_config(&identity(issued), None);
        let client = client_config(&TrustedRoots::from_pem(trusted.as_bytes()).unwrap(), None);
        let (_, client_saw) = meet(&server, client, "localhost").await;
        let words = explain(&client_saw.expect_err(expected));
        assert!(words.contains(expected), "expected {expected:?}, got {words:?}");
    };
    let stranger = Authority::create("another authority", 30).unwrap();
    let authority = self_signed(true);
    let remedy = "run `verge certs init` and `verge certs issue localhost --usage server`";
    check(&authority, &authority.cert_pem, remedy).await;
    check(&authority, stranger.cert_pem(), remedy).await;
    check(&self_signed(false), stranger.cert_pem(), "is self-signed, and CN=another authority (sha256 ")
        .await;
    // Its own certificate is trusted, and not what signed it.
    let issued = stranger.issue(&request("broker", &["localhost"], Usage::Server, 30)).unwrap();
    check(&issued, &issued.cert_pem, "is in the CA file itself, and it is signed by CN=another authority")
        .await;
}

#[tokio::test]
async fn a_missing_intermediate_is_named() {
    let root = Authority::create("the root", 30).unwrap();
    let signing = rcgen::KeyPair::from_pem(&root.to_issued().key_pem).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_pem(root.cert_pem(), signing).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, "the intermediate");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
    let intermediate = params.signed_by(&key, &issuer).unwrap();
    let leaf_key = rcgen::KeyPair::generate().unwrap();
    let mut leaf = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    leaf.distinguished_name.push(rcgen::DnType::CommonName, "broker");
    let leaf = leaf.signed_by(&leaf_key, &rcgen::Issuer::from_params(&params, &key)).unwrap();
    let server = |cert_pem: String| {
        let issued = Issued { cert_pem, key_pem: leaf_key.serialize_pem() };
        server_config(&identity(&issued), None)
    };
    let client = || client_config(&roots(&root), None);
    let (_, client_saw) = meet(&server(leaf.pem()), client(), "localhost").await;
    let words = explain(&client_saw.unwrap_err());
    assert!(words.contains("is signed by CN=the intermediate, and CN=the root (sha256 "), "{words}");
    assert!(words.contains("the server must send its certificate behind its own"), "{words}");
    let whole = format!("{}{}", leaf.pem(), intermediate.pem());
    meet(&server(whole.clone()), client(), "localhost").await.1.unwrap();
    let stranger = Authority::create("another authority", 30).unwrap();
    let (_, client_saw) = meet(&server(whole), client_config(&roots(&stranger), None), "localhost").await;
    let words = explain(&client_saw.unwrap_err());
    assert!(words.contains("is signed by CN=the root, through the certificates after it"), "{words}");
}

#[tokio::test]
async fn a_client_that_says_nothing_does_not_hold_the_door() {
    let site = site(Usage::Server);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let _silent = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let refused = Acceptor::new(site.server).accept(stream, Duration::from_millis(50)).await;
    assert!(matches!(refused, Err(TlsError::HandshakeTimeout(_))), "{refused:?}");
}

#[test]
fn certificates_and_keys_that_do_not_fit_are_distinguished() {
    let authority = Authority::create("a", 30).unwrap();
    let one = authority.issue(&request("one", &["one"], Usage::Client, 30)).unwrap();
    let two = authority.issue(&request("two", &["two"], Usage::Client, 30)).unwrap();
    let load = |cert: &str, key: &str| {
        TlsIdentity::from_pem(cert.as_bytes(), key.as_bytes()).map(|_| ()).map_err(|error| error.to_string())
    };
    let check = |cert: &str, key: &str, expected: &str| {
        let error = load(cert, key).expect_err(expected);
        assert!(error.contains(expected), "expected {expected:?}, got {error:?}");
    };
    assert_eq!(load(&one.cert_pem, &one.key_pem), Ok(()));
    let chain = format!("{}{}", one.cert_pem, authority.cert_pem());
    assert_eq!(load(&chain, &one.key_pem), Ok(()));
    check("", &one.key_pem, "the certificate is empty");
    check(&one.key_pem, &one.key_pem, "are cert and key swapped?");
    check(&one.cert_pem, &one.cert_pem, "are cert and key swapped?");
    check(&one.cert_pem, &two.key_pem, "the key is not the key of the certificate");
    let reversed = format!("{}{}", authority.cert_pem(), one.cert_pem);
    check(&reversed, &one.key_pem, "the one of the key is number 2; it must come first");
    let encrypted = one.key_pem.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    check(&one.cert_pem, &encrypted, "openssl pkey -in the key");
    let odd_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    check(&one.cert_pem, odd_key, "expected RSA of 2048 to 8192 bits");
    let version1 = include_str!("fixtures/version1.pem");
    check(version1, &one.key_pem, "the certificate is a certificate of X.509 version 1");
    let not_a_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    check(not_a_certificate, &one.key_pem, "is not X.509");
    let shown = format!("{:?} {one:?}", identity(&one));
    let secret = one.key_pem.lines().nth(1).unwrap();
    assert!(!shown.contains(secret), "a key must never be shown");
}

#[test]
fn files_that_cannot_be_read_are_named_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("gw.key");
    let check = |path: &std::path::Path, expected: &str| {
        let error = TrustedRoots::load(path).unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains("os error"), "{error}");
    };
    check(&missing, &format!("there is no file {}: correct the path", missing.display()));
    check(dir.path(), "is a folder, expected a file");
    check(&missing.join("below"), "there is no file");
}

#[test]
fn keys_are_written_for_their_owner_only_and_never_over_others() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::create("a", 30).unwrap();
    let (_, key) = write_identity(dir.path(), "ca", &authority.to_issued(), false).unwrap();
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let again = write_identity(dir.path(), "ca", &authority.to_issued(), false);
    assert!(matches!(again, Err(TlsError::Exists { .. })));
    write_identity(dir.path(), "ca", &authority.to_issued(), true).unwrap();
    let loaded = Authority::load(dir.path()).unwrap();
    assert_eq!(loaded.cert_pem(), authority.cert_pem());
}

#[test]
fn a_summary_says_what_an_operator_asks() {
    let authority = Authority::create("the authority", 30).unwrap();
    let issued = authority.issue(&request("gw", &["gw-1", "127.0.0.1"], Usage::Both, 10)).unwrap();
    let both = format!("{}{}", issued.cert_pem, authority.cert_pem());
    let summaries = summary(both.as_bytes(), "chain").unwrap();
    assert_eq!(summaries.len(), 2);
    assert_eq!(summaries[0].names, ["gw-1", "127.0.0.1"]);
    assert_eq!((summaries[0].usage, summaries[0].is_ca), (Some(Usage::Both), false));
    assert_eq!(summaries[0].issuer, "CN=the authority");
    assert_eq!(summaries[0].fingerprint.len(), 64);
    assert_eq!(summaries[0].not_after - summaries[0].not_before, 10 * 86_400 + 3_600);
    assert!(summaries[1].is_ca);
    assert!(matches!(summary(b"rubbish", "x"), Err(TlsError::Content(Mistaken { .. }))));
}
