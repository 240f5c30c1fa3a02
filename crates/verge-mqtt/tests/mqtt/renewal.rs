//! Certificates that change while a connection stands.

use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use verge_broker::FrontLimits;
use verge_domain::stage::SinkEvent;
use verge_mqtt::{
    ConnectionAccess, ConnectionSettings, Renewal, Services, UplinkSettings, UplinkSink, UplinkTopics,
    WatchedFiles,
};

use crate::certificates::{Certificates, through};
use crate::sink::{event, expect_connected};
use crate::support::{eventually, unique};

/// A file of its own that is removed with the test.
struct File(PathBuf);

impl File {
    fn new(text: &str) -> Self {
        let file = Self(std::env::temp_dir().join(format!("{}-{}", unique("renewal"), std::process::id())));
        file.write(text);
        file
    }

    fn write(&self, text: &str) {
        let fresh = self.0.with_extension("new");
        fs::write(&fresh, text).unwrap();
        fs::rename(fresh, &self.0).unwrap();
    }
}

impl Drop for File {
    fn drop(&mut self) {
        fs::remove_file(&self.0).unwrap();
    }
}

#[tokio::test]
async fn changed_certificates_are_used_where_the_broker_takes_them_and_reported_where_they_are_of_no_use() {
    let (certificates, strangers) = (Certificates::new(), Certificates::new());
    let front = certificates.front(FrontLimits::default()).await;
    let file = File::new("first");
    let connection = through(&front, certificates.client(), &unique("uplink")).await;
    let (credentials, path) = (connection.credentials.clone(), file.0.clone());
    let sets = [
        ("first", certificates.client()),
        ("next", certificates.client()),
        ("foreign", strangers.client_of(&certificates)),
    ];
    let read = move || {
        let name = fs::read_to_string(&path).map_err(|error| error.to_string())?;
        let set = sets.iter().find(|(set, _)| *set == name).ok_or("not a certificate")?;
        Ok(ConnectionAccess { credentials: credentials.clone(), tls: Some(set.1.clone()) })
    };
    let renewal = Renewal::new(read().unwrap(), WatchedFiles::new(vec![file.0.clone()]), read);
    let mut sink = UplinkSink::spawn(UplinkSettings {
        connection: ConnectionSettings { renewal: Some(renewal.clone()), ..connection },
        topics: UplinkTopics::under(&unique("renewal")),
        window: 4,
        last_will: Bytes::new().into(),
        services: Services { commands: false, echo: false, ..Services::ALL },
        proof: None,
        alone: true,
    });
    expect_connected(&mut sink).await;
    let reported = |words: &str| renewal.fault().is_some_and(|fault| fault.contains(words));
    file.write("garbage");
    eventually("files of no use are reported", || reported("not a certificate")).await;
    file.write("foreign");
    eventually("so are certificates that are refused", || reported("refused")).await;
    assert_eq!(front.view().totals().connections, 1, "the connection stands");
    file.write("next");
    match event(&mut sink).await {
        SinkEvent::Disconnected { reason } => {
            assert!(reason.contains("certificates have changed"), "{reason}")
        }
        other => panic!("{other:?}"),
    }
    expect_connected(&mut sink).await;
    assert_eq!(renewal.fault(), None);
}
