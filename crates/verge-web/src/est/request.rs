//! What a device sends, read.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;

/// Name and token are far shorter.
const MAX_LOGIN_BYTES: usize = 512;

/// Name and token of HTTP Basic.
pub(super) fn login(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, coded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("Basic") || coded.len() > MAX_LOGIN_BYTES {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(coded.trim()).ok()?).ok()?;
    let (name, token) = text.split_once(':')?;
    Some((name.to_owned(), token.to_owned()))
}

/// Base64, in lines or in one, with the first and last line of PEM or without.
pub(super) fn decoded(body: &[u8]) -> Option<Vec<u8>> {
    let text = str::from_utf8(body).ok()?;
    let lines = text.lines().filter(|line| !line.starts_with("-----"));
    let coded: String = lines.flat_map(str::chars).filter(|letter| !letter.is_ascii_whitespace()).collect();
    STANDARD.decode(coded).ok().filter(|decoded| !decoded.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_and_a_request_are_read_in_the_forms_that_clients_send() {
        let login_of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().unwrap());
            login(&headers)
        };
        assert_eq!(login_of("Basic cHVtcC0xOmE6Yg=="), Some(("pump-1".to_owned(), "a:b".to_owned())));
        assert_eq!(login_of("basic cHVtcC0xOg=="), Some(("pump-1".to_owned(), String::new())));
        for other in [
            "Bearer cHVtcC0xOmE=",
            "Basic",
            "Basic !",
            "Basic cHVtcA==",
            &format!("Basic {}", "A".repeat(600)),
        ] {
            assert_eq!(login_of(other), None, "{other}");
        }
        assert_eq!(login(&HeaderMap::new()), None);
        let good = Some(b"\x30\x03abc".to_vec());
        assert_eq!(decoded(b"MANhYmM="), good);
        assert_eq!(decoded(b"MANh\r\nYmM=\r\n"), good);
        assert_eq!(
            decoded(b"-----BEGIN CERTIFICATE REQUEST-----\nMANhYmM=\n-----END CERTIFICATE REQUEST-----\n"),
            good
        );
        for other in [&b""[..], b"\xff", b"MANhYmM", b"{}"] {
            assert_eq!(decoded(other), None);
        }
    }
}
