use super::*;

const NOW: i64 = 1_900_000_000;

fn request(common_name: &str) -> Vec<u8> {
    let request = crate::authority::Request::new(common_name).unwrap();
    request.der().to_vec()
}

fn made(dir: &Path) -> Enrolment {
    let authority = Authority::create("Site", 10).unwrap();
    crate::authority::write_identity(dir, AUTHORITY_STEM, &authority.to_issued(), false).unwrap();
    Enrolment::of(dir).unwrap()
}

#[test]
fn a_token_is_good_once_for_its_name_and_until_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let enrolment = made(dir.path());
    let tokens = enrolment.tokens();
    let token = tokens.make("pump-1", 30, 60, NOW).unwrap();
    assert_eq!(token.until, NOW + 60);
    let file = std::fs::read_to_string(tokens.path()).unwrap();
    assert!(!file.contains(&token.text), "its hash alone is stored");
    let request = request("pump-1");
    let refused = |name: &str, text: &str, now: i64| {
        matches!(enrolment.enrol(name, text, &request, now), Err(EnrolRefusal::Token))
    };
    assert!(refused("pump-2", &token.text, NOW));
    assert!(refused("pump-1", "another", NOW));
    assert!(refused("pump-1", "", NOW));
    assert!(refused("pump-1", &token.text, NOW + 60));
    // What is no request leaves the token as it is.
    assert!(matches!(enrolment.enrol("pump-1", &token.text, b"\x30\0", NOW), Err(EnrolRefusal::Request(_))));
    let foreign = super::tests::request("pump-2");
    let named = enrolment.enrol("pump-1", &token.text, &foreign, NOW).unwrap_err();
    assert_eq!(named.to_string(), r#"the request is for "pump-2", expected "pump-1" or no common name"#);
    let enrolled = enrolment.enrol("pump-1", &token.text, &request, NOW + 59).unwrap();
    assert!(refused("pump-1", &token.text, NOW), "once");
    let found = certificates_in(&enrolled.pkcs7).unwrap();
    let summary = crate::certificate::summarise(&found[0].clone().into()).unwrap();
    assert_eq!((summary.names.as_slice(), summary.usage), (&["pump-1".to_owned()][..], Some(Usage::Client)));
    assert_eq!(summary.serial, enrolled.serial);
    assert!((summary.not_after - summary.not_before - 30 * SECONDS_A_DAY).abs() <= 3_600);
    // One more for a name replaces the one before, and those that have expired leave.
    let (first, second) = (tokens.make("a", 1, 60, NOW).unwrap(), tokens.make("a", 1, 60, NOW).unwrap());
    assert_eq!(tokens.days_of("a", &first.text, NOW).unwrap(), None);
    assert_eq!(tokens.days_of("a", &second.text, NOW).unwrap(), Some(1));
    assert_eq!(tokens.state(NOW + 60).unwrap(), TokensState { open: 0, expired: 1 });
    tokens.make("b", 1, 60, NOW + 60).unwrap();
    assert_eq!(tokens.state(NOW + 60).unwrap(), TokensState { open: 1, expired: 0 });
    std::fs::write(tokens.path(), "b 1 2\n").unwrap();
    assert!(tokens.make("c", 1, 60, NOW).err().unwrap().to_string().contains("line 1 is no token"));
}

#[test]
fn a_damaged_line_keeps_no_device_out() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = Tokens::of(dir.path());
    let token = tokens.make("pump-1", 30, 60, NOW).unwrap();
    let file = std::fs::read_to_string(tokens.path()).unwrap();
    // The last line has no end: it was being written.
    std::fs::write(tokens.path(), format!("b 1 2\n{file}pump-2 30")).unwrap();
    assert_eq!(tokens.damaged_line().unwrap(), Some(1));
    assert!(matches!(tokens.state(NOW), Err(TokenFault::Line { line: 1, .. })));
    assert!(matches!(tokens.check_writable(), Err(TokenFault::Line { line: 1, .. })));
    assert_eq!(tokens.days_of("pump-1", &token.text, NOW).unwrap(), Some(30));
    assert!(tokens.use_up("pump-1", &token.text, NOW).unwrap());
    assert_eq!(std::fs::read_to_string(tokens.path()).unwrap(), "");
}

#[test]
fn no_link_is_followed_to_the_tokens() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = Tokens::of(dir.path());
    let aim = dir.path().join("aim");
    std::os::unix::fs::symlink(&aim, tokens.path()).unwrap();
    let refused = || tokens.make("pump-1", 30, 60, NOW).err().unwrap();
    assert!(matches!(refused(), TokenFault::Kind { .. }));
    assert!(!aim.exists(), "nothing was made behind it");
    std::fs::write(&aim, "").unwrap();
    assert!(matches!(refused(), TokenFault::Kind { .. }));
    assert_eq!(std::fs::read(&aim).unwrap(), b"");
}

#[test]
fn of_two_that_come_with_one_token_one_gets_a_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let enrolment = made(dir.path());
    for _ in 0..8 {
        let token = enrolment.tokens().make("pump-1", 30, 60, NOW).unwrap();
        let asked = request("pump-1");
        let together = std::sync::Barrier::new(2);
        let enrol = || {
            together.wait();
            enrolment.enrol("pump-1", &token.text, &asked, NOW)
        };
        let enrol = &enrol;
        let [one, other] = std::thread::scope(|scope| {
            [scope.spawn(enrol), scope.spawn(enrol)].map(|thread| thread.join().unwrap())
        });
        assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
        assert!(matches!(one.and(other), Err(EnrolRefusal::Token)));
    }
}

/// openssl signs a request with the digest that it is given, whatever the curve is.
#[test]
fn a_key_that_would_be_written_as_another_is_refused_and_its_token_stands() {
    let dir = tempfile::tempdir().unwrap();
    let enrolment = made(dir.path());
    let token = enrolment.tokens().make("pump-1", 30, 60, NOW).unwrap();
    let odd = include_bytes!("../../tests/fixtures/p384_sha256.csr.der");
    let refused = enrolment.enrol("pump-1", &token.text, odd, NOW).unwrap_err();
    assert!(refused.to_string().contains("P-384 with SHA-384"), "{refused}");
    let good = include_bytes!("../../tests/fixtures/p384_sha384.csr.der");
    enrolment.enrol("pump-1", &token.text, good, NOW).unwrap();
    let rsa = include_bytes!("../../tests/fixtures/rsa2048.csr.der");
    let token = enrolment.tokens().make("pump-1", 30, 60, NOW).unwrap();
    enrolment.enrol("pump-1", &token.text, rsa, NOW).unwrap();
}

#[test]
fn a_certificate_is_renewed_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let enrolment = made(dir.path());
    let authority = Authority::load(dir.path()).unwrap();
    let asked = CertificateRequest {
        common_name: "gateway.plant".to_owned(),
        names: vec!["gateway.plant".to_owned(), "10.0.0.5".to_owned()],
        usage: Usage::Both,
        days: 7,
    };
    let issued = authority.issue(&asked).unwrap();
    let der_of = |pem: &str| certificates(pem.as_bytes(), "it").unwrap().remove(0);
    let shown = &crate::summary(issued.cert_pem.as_bytes(), "it").unwrap()[0];
    let der = der_of(&issued.cert_pem);
    let now = shown.not_after - 1;
    let renewed = enrolment.renew(&der, &request("gateway.plant"), now).unwrap();
    let issued_der = der;
    let der = certificates_in(&renewed.pkcs7).unwrap().remove(0);
    let next = crate::certificate::summarise(&der.into()).unwrap();
    assert_eq!((&next.names, next.usage, &next.common_name), (&shown.names, shown.usage, &shown.common_name));
    assert_ne!(next.serial, shown.serial);
    assert!(enrolment.renew(&issued_der, &request("other"), now).is_err());
    let late = enrolment.renew(&issued_der, &request("gateway.plant"), shown.not_after).unwrap_err();
    assert!(late.to_string().contains("has expired"), "{late}");
    let own = der_of(authority.cert_pem());
    assert!(matches!(enrolment.renew(&own, &request("Site"), now), Err(EnrolRefusal::Certificate(_))));
    // A summary escapes and cuts such a name.
    let odd = format!("d\u{e9}bit \"{}\"", "7".repeat(40));
    let asked = CertificateRequest { common_name: odd.clone(), ..asked };
    let der = der_of(&authority.issue(&asked).unwrap().cert_pem);
    let renewed = enrolment.renew(&der, &request(&odd), now).unwrap();
    assert_eq!(renewed.name, odd);
    let cas = certificates_in(&enrolment.authorities().unwrap()).unwrap();
    assert_eq!(cas.len(), 1);
}

#[test]
fn what_is_no_pkcs7_is_read_without_harm() {
    let good = certs_only(&[&tlv(SEQUENCE, &[&[7; 300]]), &tlv(SEQUENCE, &[&[8; 20]])]);
    assert_eq!(certificates_in(&good).unwrap().len(), 2);
    for end in 0..good.len() {
        assert!(certificates_in(&good[..end]).is_none(), "{end}");
    }
    for at in 0..good.len() {
        let mut damaged = good.clone();
        damaged[at] ^= 0xff;
        drop(certificates_in(&damaged));
    }
}
