//! Real handshakes over loopback: who is let in, who is not, and what the other side is told.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy knows that only of test functions"
)]

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use verge_tls::authority::{Authority, Issued, Request, write_identity};
use verge_tls::{
    Acceptor, ClientConfig, Identity, TlsError, TrustedRoots, Usage, client_config, explain, server_config,
    summary,
};

const TIMEOUT: Duration = Duration::from_secs(5);

struct Site {
    authority: Authority,
    server: Arc<verge_tls::ServerConfig>,
}

fn request(name: &str, names: &[&str], usage: Usage, days: u32) -> Request {
    Request {
        common_name: name.to_owned(),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        usage,
        days,
    }
}

fn identity(issued: &Issued) -> Identity {
    Identity::from_pem(issued.cert_pem.as_bytes(), issued.key_pem.as_bytes()).unwrap()
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
    let server = server_config(&identity(&issue(&authority)), Some(&roots(&authority))).unwrap();
    Site { authority, server }
}

fn site(server_usage: Usage) -> Site {
    site_with(|authority| authority.issue(&request("broker", &["localhost"], server_usage, 30)).unwrap())
}

/// One handshake and one byte each way: what the server saw (the client's names), and what the client saw.
async fn meet(
    server: &Arc<verge_tls::ServerConfig>,
    client: Arc<ClientConfig>,
    name: &'static str,
) -> (Result<Vec<String>, TlsError>, Result<(), std::io::Error>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = Acceptor::new(Arc::clone(server));
    let accepting = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(stream, TIMEOUT).await?;
        let names = stream.peer_names();
        stream.write_all(b"x").await.map_err(TlsError::Handshake)?;
        stream.shutdown().await.map_err(TlsError::Handshake)?;
        Ok(names)
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
async fn a_client_of_the_site_is_let_in_and_known_by_name() {
    let site = site(Usage::Server);
    let issued = site.authority.issue(&request("cabinet", &["cabinet-7"], Usage::Client, 30)).unwrap();
    let client = client_config(&roots(&site.authority), Some(&identity(&issued))).unwrap();
    let (server_saw, client_saw) = meet(&site.server, client, "localhost").await;
    client_saw.unwrap();
    assert_eq!(server_saw.unwrap(), ["cabinet-7"]);
}

#[tokio::test]
async fn clients_without_a_valid_certificate_are_refused_and_told_why() {
    let site = site(Usage::Server);
    let stranger = Authority::create("another authority", 30).unwrap();
    let cases: [(&str, Option<Issued>, &str); 4] = [
        ("none", None, "requires a certificate"),
        (
            "another authority's",
            Some(stranger.issue(&request("c", &["c"], Usage::Client, 30)).unwrap()),
            "does not know the authority",
        ),
        (
            "a server's",
            Some(site.authority.issue(&request("c", &["c"], Usage::Server, 30)).unwrap()),
            "refuses this end's certificate",
        ),
        ("an expired one", Some(issue_for(&site.authority, "c", PAST)), "has expired"),
    ];
    for (what, issued, expected) in cases {
        let identity = issued.as_ref().map(identity);
        let client = client_config(&roots(&site.authority), identity.as_ref()).unwrap();
        let (server_saw, client_saw) = meet(&site.server, client, "localhost").await;
        assert!(server_saw.is_err(), "{what} was let in");
        let words = explain(&client_saw.expect_err(what));
        assert!(words.contains(expected), "{what}: {words}");
    }
}

#[tokio::test]
async fn false_servers_are_refused_and_the_words_say_why() {
    let check = async |site: &Site, trusted: &Authority, name: &'static str, expected: &str| {
        let issued = site.authority.issue(&request("c", &["c"], Usage::Client, 30)).unwrap();
        let client = client_config(&roots(trusted), Some(&identity(&issued))).unwrap();
        let (_, client_saw) = meet(&site.server, client, name).await;
        let words = explain(&client_saw.expect_err(expected));
        assert!(words.contains(expected), "expected {expected:?}, got {words:?}");
    };
    let good = site(Usage::Server);
    let stranger = Authority::create("another authority", 30).unwrap();
    check(&good, &stranger, "localhost", "not in the CA file").await;
    check(&good, &good.authority, "elsewhere", "carries localhost").await;
    let expired = site_with(|authority| issue_for(authority, "localhost", PAST));
    check(&expired, &expired.authority, "localhost", "has expired").await;
    let early = site_with(|authority| issue_for(authority, "localhost", FUTURE));
    check(&early, &early.authority, "localhost", "not valid yet").await;
    let client_only = site(Usage::Client);
    check(&client_only, &client_only.authority, "localhost", "may not be used for this end").await;
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
fn pem_faults_are_told_apart() {
    let authority = Authority::create("a", 30).unwrap();
    let one = authority.issue(&request("one", &["one"], Usage::Client, 30)).unwrap();
    let two = authority.issue(&request("two", &["two"], Usage::Client, 30)).unwrap();
    let load = |cert: &str, key: &str| {
        Identity::from_pem(cert.as_bytes(), key.as_bytes())
            .and_then(|identity| client_config(&roots(&authority), Some(&identity)))
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    let check = |cert: &str, key: &str, expected: &str| {
        let error = load(cert, key).expect_err(expected);
        assert!(error.contains(expected), "expected {expected:?}, got {error:?}");
    };
    assert_eq!(load(&one.cert_pem, &one.key_pem), Ok(()));
    check("", &one.key_pem, "holds no certificate");
    check(&one.key_pem, &one.key_pem, "holds no certificate");
    check(&one.cert_pem, &one.cert_pem, "holds no private key");
    check(&one.cert_pem, &two.key_pem, "cannot be used together");
    let encrypted = one.key_pem.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    check(&one.cert_pem, &encrypted, "is encrypted");
    let shown = format!("{:?} {one:?}", identity(&one));
    let secret = one.key_pem.lines().nth(1).unwrap();
    assert!(!shown.contains(secret), "a key must never be shown");
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
    assert!(matches!(summary(b"rubbish", "x"), Err(TlsError::NoCertificate { .. })));
}
