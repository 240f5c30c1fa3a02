//! Servers of OPC UA, in builds that have them and in those that have not.

use super::*;

fn served(keys: &str) -> Result<Settings, Vec<String>> {
    settings(&format!("{SMALL}[server.ua]\nkind = \"opcua\"\n{keys}"))
}

#[test]
fn a_build_without_the_feature_says_which_has_it() {
    let found = served("listen = \"127.0.0.1:4840\"\n");
    if cfg!(feature = "opcua") {
        let section = &found.unwrap().opcua[0];
        assert_eq!(section.pki_dir, Path::new("/etc/verge/state/opcua"));
        assert_eq!(
            (section.max_clients, section.anonymous, section.users_file.as_deref()),
            (16, false, None)
        );
        return;
    }
    let [fault] = &found.unwrap_err()[..] else { panic!("one fault") };
    assert!(fault.contains("server.ua.kind") && fault.contains("--features opcua"), "{fault}");
}

#[cfg(feature = "opcua")]
#[test]
fn what_is_open_is_said_and_what_is_wrong_is_named() {
    let warned = |keys: &str| {
        let warnings = served(keys).unwrap().warnings;
        warnings.into_iter().map(|warning| warning.to_string()).collect::<Vec<_>>().join("\n")
    };
    let open = "insecure_none = true\n";
    assert_eq!(warned(&format!("listen = \"127.0.0.1:4840\"\n{open}")), "", "on this machine");
    let remark = warned(&format!("listen = \"10.1.0.5:4840\"\n{open}anonymous = true\n"));
    assert!(remark.contains("anyone who reaches it reads everything"), "{remark}");
    let refused = |keys: &str, words: &str| {
        let faults = served(keys).unwrap_err().join("\n");
        assert!(faults.contains(words), "{faults}");
    };
    refused(
        "listen = \"here\"\n",
        "expected an address of this machine with a port, such as \"10.1.0.5:4840\"",
    );
    refused("", "server.ua.listen");
    refused("listen = \"127.0.0.1:4840\"\nallow = [\"10.1/16\"]\n", "server.ua.allow");
    refused("listen = \"127.0.0.1:4840\"\nmax_clients = 65\n", "server.ua.max_clients");
    refused("listen = \"127.0.0.1:4840\"\nwrites = true\n", "server.ua.writes");
}
