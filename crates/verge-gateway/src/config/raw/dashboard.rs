//! Keys of `[dashboard]`.

use verge_web::dashboard::access::{PictureAccess, Role};

use super::super::declare::*;
use super::super::key::*;
use super::super::tree::{Map, Table, Value};
use super::super::units::Size;
use super::{GIB, MIB};

declare! {
    /// `[dashboard]`
    struct RawDashboard {
        listen: Option<String> = text(r#"an address of this machine with a port, such as "127.0.0.1:8080""#),
        cert: Option<String> = text("the path of a PEM file"),
        key: Option<String> = text("the path of a PEM file"),
        client_ca: Option<String> = text("the path of a PEM file"),
        hosts: Option<Vec<String>> = texts(r#"names under which it is reached, such as "cabinet-7.example""#),
        pictures: Option<PictureAccess> = word::<PictureAccess>(),
        history: Option<Size> = size(MIB, GIB),
        certificate: Option<Map<RawClientCertificate>> = named_tables::<RawClientCertificate>(),
    }

    /// `[dashboard.certificate.NAME]`
    struct RawClientCertificate {
        role: Option<Role> = word::<Role>().required(),
    }

    words for PictureAccess { "viewer" => Viewer, "operator" => Operator, "off" => Off }
    words for Role { "viewer" => Viewer, "operator" => Operator, "admin" => Admin }
}
