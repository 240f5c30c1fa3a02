//! What runs models, in builds that have it and in those that have not.

use verge_engine::Provider;

use super::*;

#[test]
fn a_provider_is_one_that_the_build_has() {
    let chosen = |word: &str| settings(&format!("{SMALL}[engine]\nprovider = {word:?}\n"));
    for provider in Provider::ALL {
        match chosen(provider.as_str()) {
            Ok(settings) => assert!(provider.is_built() && settings.engine.provider == provider),
            Err(faults) => {
                let [fault] = &faults[..] else { panic!("one fault: {faults:?}") };
                let feature = format!("--features {}", provider.as_str());
                assert!(!provider.is_built() && fault.contains("engine.provider"), "{fault}");
                assert!(fault.contains(&feature) && fault.contains("provider = \"cpu\""), "{fault}");
            }
        }
    }
    let faults = chosen("gpu").unwrap_err().join("\n");
    assert!(faults.contains("engine.provider") && faults.contains("cuda"), "{faults}");
}
