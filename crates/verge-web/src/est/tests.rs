use verge_tls::authority::{Authority, CertificateRequest, Request as KeyRequest, write_identity};
use verge_tls::{Secret, TlsIdentity, TrustedRoots, Usage, client_config, revoking_web_server_config};

use super::*;

struct Desks {
    server: EstServer,
    roots: TrustedRoots,
    enrolment: Enrolment,
    _dir: tempfile::TempDir,
}

fn started() -> Desks {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::create("Site", 10).unwrap();
    write_identity(dir.path(), "ca", &authority.to_issued(), false).unwrap();
    let asked = CertificateRequest {
        common_name: "gateway".to_owned(),
        names: vec!["127.0.0.1".to_owned()],
        usage: Usage::Server,
        days: 10,
    };
    let own = authority.issue(&asked).unwrap();
    let identity = TlsIdentity::from_pem(own.cert_pem.as_bytes(), own.key_pem.as_bytes()).unwrap();
    let roots = TrustedRoots::from_pem(authority.cert_pem().as_bytes()).unwrap();
    let tls = revoking_web_server_config(&identity, &roots, &Arc::default());
    let enrolment = Enrolment::of(dir.path()).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = EstServer::start(enrolment.clone(), listener, Arc::new(move || Arc::clone(&tls))).unwrap();
    Desks { server, roots, enrolment, _dir: dir }
}

fn client(desks: &Desks, identity: Option<&TlsIdentity>) -> EstClient {
    EstClient::of(&format!("https://{}", desks.server.address()), client_config(&desks.roots, identity))
        .unwrap()
}

#[tokio::test]
async fn a_device_gets_its_first_certificate_by_a_token_and_the_next_by_that() {
    let desks = started();
    let token = Secret::new(desks.enrolment.tokens().make("pump-1", 5, 60, seconds()).unwrap().text);
    let proof = EstProof::Token("pump-1", &token);
    let key = KeyRequest::new("pump-1").unwrap();
    let first = client(&desks, None).ask(&proof, key.der()).await.unwrap();
    let first = key.answered(&first).unwrap();
    let again = client(&desks, None).ask(&proof, KeyRequest::new("pump-1").unwrap().der()).await;
    assert!(matches!(again, Err(EstError::Refused { status: 401, .. })), "{again:?}");
    let identity = TlsIdentity::from_pem(first.cert_pem.as_bytes(), first.key_pem.as_bytes()).unwrap();
    let key = KeyRequest::new("pump-1").unwrap();
    let renewing = client(&desks, Some(&identity));
    let next = renewing.ask(&EstProof::Certificate, key.der()).await.unwrap();
    let next = key.answered(&next).unwrap();
    let names = |pem: &str| verge_tls::summary(pem.as_bytes(), "it").unwrap()[0].names.clone();
    assert_eq!(names(&next.cert_pem), names(&first.cert_pem));
    let other = KeyRequest::new("pump-2").unwrap();
    let refused = renewing.ask(&EstProof::Certificate, other.der()).await.unwrap_err().to_string();
    assert!(refused.contains("status 400") && refused.contains("pump-2"), "{refused}");
    let nobody = client(&desks, None).ask(&EstProof::Certificate, other.der()).await.unwrap_err().to_string();
    assert!(nobody.contains("status 403") && nobody.contains("to be renewed"), "{nobody}");
}

#[tokio::test]
async fn wrong_tokens_are_limited_and_a_right_one_is_not_used_up_by_a_bad_request() {
    let desks = started();
    let token = Secret::new(desks.enrolment.tokens().make("pump-1", 5, 60, seconds()).unwrap().text);
    let asking = client(&desks, None);
    for _ in 0..12 {
        let bad = asking.ask(&EstProof::Token("pump-1", &token), b"\x30\0").await;
        assert!(matches!(bad, Err(EstError::Refused { status: 400, .. })), "{bad:?}");
    }
    let wrong = Secret::new("wrong".to_owned());
    let key = KeyRequest::new("pump-1").unwrap();
    let mut seen = Vec::new();
    for _ in 0..11 {
        match asking.ask(&EstProof::Token("pump-1", &wrong), key.der()).await {
            Err(EstError::Refused { status, .. }) => seen.push(status),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((&seen[..10], seen[10]), (&[401; 10][..], 429));
    assert_eq!(desks.enrolment.tokens().state(seconds()).unwrap().open, 1);
}

#[tokio::test]
async fn what_anybody_can_cause_does_not_fill_the_log() {
    for common in [EstRefusal::Unknown, EstRefusal::Login, EstRefusal::NoCertificate] {
        assert!(common.is_common(), "{common}");
    }
    for other in [EstRefusal::TooLarge, EstRefusal::Broken, EstRefusal::Enrol(EnrolRefusal::Token)] {
        assert!(!other.is_common(), "{other}");
    }
    assert_eq!(EstRefusal::TooLarge.to_string(), "the request has more than 16384 bytes");
    let desk = Desk {
        enrolment: started().enrolment,
        attempts: Mutex::default(),
        warned: Mutex::default(),
        began: Instant::now(),
    };
    assert_eq!([desk.may_warn(), desk.may_warn()], [true, false]);
}
