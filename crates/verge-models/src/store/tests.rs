use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::*;
use crate::package::{FORMAT, MANIFEST, Manifest, PackOptions, PackedFile, SigningKey, pack};

const CARD: &str = "name = \"w\"\nversion = \"1\"\nfile = \"w.onnx\"\ntask = \"reconstruct\"\n";

/// A folder with a model and a key, and the store beside them.
struct Place {
    folder: tempfile::TempDir,
    store: ModelStore,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pem = STANDARD.encode(key.as_ref());
        write("key.pem", &format!("-----BEGIN PRIVATE KEY-----\n{pem}\n-----END PRIVATE KEY-----\n"));
        write("w.toml", CARD);
        write("w.onnx", "weights");
        let store = ModelStore::of(&folder.path().join("state"), "w").unwrap();
        Self { folder, store }
    }

    /// The package of a counter.
    fn package(&self, counter: u64) -> PathBuf {
        let at = |name: &str| self.folder.path().join(name);
        let key = SigningKey::load(&at("key.pem")).unwrap();
        let options = PackOptions { counter, made: EARLIEST.parse().unwrap(), ..PackOptions::default() };
        let to = at(&format!("{counter}.vmodel"));
        pack(&at("w.toml"), &key, &options, &to).unwrap();
        to
    }

    fn push(&self, lock: &StoreLock, package: &Path) -> Result<Pushed, ModelStoreError> {
        let rules =
            StoreRules { trust: Vec::new(), unsigned: true, cap: 1 << 20, keep: 3, max_file_bytes: 1 << 20 };
        let limits = OpenLimits {
            max_file_bytes: 1 << 20,
            trust: &[],
            unsigned: true,
            now: EARLIEST.parse().unwrap(),
        };
        let manifest = ContentDigest::of(&Package::open(package, limits).unwrap().manifest_bytes);
        self.store.push(
            lock,
            package,
            &rules,
            manifest,
            Some(&self.folder.path().join("w.onnx")),
            &mut |_| Ok(()),
        )
    }

    fn promote(&self, lock: &StoreLock, now: i64) {
        let (slots, _) = self.store.read_slots().unwrap();
        let counter = version::counter_of(slots.candidate.as_ref().unwrap()).unwrap();
        self.store.switch(lock, &slots.promoted(counter, now)).unwrap();
    }

    fn damage(&self, name: &str) {
        std::fs::write(self.store.folder().join(name), "{").unwrap();
    }
}

#[test]
fn damaged_slots_never_put_a_version_in_use_that_nobody_promoted() {
    let place = Place::new();
    let lock = place.store.lock().unwrap();
    let first = place.push(&lock, &place.package(1)).unwrap().id;
    place.promote(&lock, 1);
    place.push(&lock, &place.package(2)).unwrap();
    let (before, damage) = place.store.read_slots().unwrap();
    assert_eq!((before.active.as_deref(), damage), (Some(&*first), None));
    place.damage(slots::SLOTS);
    let (slots, damage) = place.store.read_slots().unwrap();
    assert!(damage.is_some());
    assert_eq!(slots, before, "those of the last change");
    // Both are damaged, and one still names the version.
    place.damage("slots.json.last");
    let text = format!("{{\n  \"active\": \"{first}\",\n  \"prev");
    std::fs::write(place.store.folder().join(slots::SLOTS), text).unwrap();
    let (slots, damage) = place.store.read_slots().unwrap();
    assert!(damage.is_some());
    assert_eq!((slots.active.as_deref(), slots.floor), (Some(&*first), 2));
    // None of them says anything.
    place.damage(slots::SLOTS);
    assert_eq!(place.store.slots().0.active.and_then(|id| version::counter_of(&id)), Some(2));
}

#[test]
fn slots_that_cannot_be_reached_are_not_replaced() {
    let place = Place::new();
    std::fs::create_dir_all(place.store.folder().parent().unwrap()).unwrap();
    // In the place of its folder: what is read from it is an error of the system, whoever runs the test.
    std::fs::write(place.store.folder(), "").unwrap();
    assert!(matches!(place.store.read_slots(), Err(ModelStoreError::Io { .. })));
    assert!(place.store.slots().1.is_some(), "whoever only reads goes on");
}

#[test]
fn a_damaged_version_in_a_slot_is_repaired_by_its_package_and_no_old_one_comes_back() {
    let place = Place::new();
    let lock = place.store.lock().unwrap();
    let packages: Vec<PathBuf> = (1..4).map(|counter| place.package(counter)).collect();
    let mut ids = Vec::new();
    for (package, now) in packages.iter().zip(1..) {
        ids.push(place.push(&lock, package).unwrap().id);
        place.promote(&lock, now);
    }
    let previous = place.store.version(&ids[1]);
    std::fs::write(previous.folder.join("w.onnx"), "other").unwrap();
    assert!(previous.fault().is_some());
    assert_eq!(place.push(&lock, &packages[1]).unwrap(), Pushed { id: ids[1].clone(), known: false });
    assert_eq!(previous.fault(), None);
    let oldest = place.store.version(&ids[0]);
    std::fs::remove_dir_all(&oldest.folder).unwrap();
    assert!(matches!(place.push(&lock, &packages[0]), Err(ModelStoreError::Replay { floor: 3, .. })));
    let incoming = place.folder.path().join("state/models/incoming");
    assert_eq!(std::fs::read_dir(incoming).unwrap().count(), 0, "nothing is left of a push");
}

#[test]
fn a_package_that_was_exchanged_meanwhile_is_refused() {
    let place = Place::new();
    let lock = place.store.lock().unwrap();
    let rules =
        StoreRules { trust: Vec::new(), unsigned: true, cap: 1 << 20, keep: 3, max_file_bytes: 1 << 20 };
    let other = ContentDigest::of(b"another manifest");
    let refused =
        place.store.push(&lock, &place.package(1), &rules, other, None, &mut |_| Ok(())).unwrap_err();
    assert!(refused.to_string().contains("changed while it was read"), "{refused}");
    assert!(place.store.versions().is_empty());
}

#[test]
fn a_card_names_files_of_its_package_alone() {
    let check = |card: &str, expected: Result<(), &str>| {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("w.toml"), card).unwrap();
        let file = |name: &str| PackedFile { name: name.to_owned(), bytes: 1, sha256: "0".repeat(64) };
        let manifest = Manifest {
            format: FORMAT,
            name: "w".to_owned(),
            version: "1".to_owned(),
            counter: 1,
            made: EARLIEST.to_owned(),
            expires: None,
            min_verge: None,
            base: None,
            card: "w.toml".to_owned(),
            files: vec![file("w.toml"), file("w.onnx")],
        };
        match (version::names_its_own(folder.path(), &manifest), expected) {
            (Ok(()), Ok(())) => {}
            (Err(found), Err(part)) => assert!(found.contains(part), "{found}"),
            (found, _) => panic!("{found:?} where {expected:?} was expected"),
        }
    };
    check(CARD, Ok(()));
    for outside in ["/etc/passwd", "../w.onnx", "./w.onnx", "other.onnx"] {
        check(&CARD.replace("w.onnx", outside), Err(outside));
    }
    let classes = "name = \"w\"\nversion = \"1\"\nfile = \"w.onnx\"\ntask = \"classify\"\nlabels = \"/etc/hosts\"\n\
        [input]\nlayout = \"nhwc\"\ncolour = \"rgb\"\nelement = \"u8\"\nresize = \"central-crop\"\ncrop_fraction = 0.875\n\
        [output]\ndecoder = \"probabilities\"\n";
    check(classes, Err("/etc/hosts"));
}

#[test]
fn a_package_whose_card_leads_elsewhere_is_refused_before_it_is_loaded() {
    let place = Place::new();
    let lock = place.store.lock().unwrap();
    let card = CARD.replace("w.onnx", "../../../other.onnx");
    let files = [("w.toml", card.as_bytes()), ("w.onnx", &b"weights"[..])];
    let packed = files.map(|(name, bytes)| PackedFile {
        name: name.to_owned(),
        bytes: bytes.len() as u64,
        sha256: ContentDigest::of(bytes).to_string(),
    });
    let manifest = Manifest {
        format: FORMAT,
        name: "w".to_owned(),
        version: "1".to_owned(),
        counter: 1,
        made: EARLIEST.to_owned(),
        expires: None,
        min_verge: None,
        base: None,
        card: "w.toml".to_owned(),
        files: packed.to_vec(),
    };
    let manifest = serde_json::to_vec(&manifest).unwrap();
    let path = place.folder.path().join("by_hand.vmodel");
    let mut zip = ZipWriter::new(fs::File::create(&path).unwrap());
    for (name, bytes) in [(MANIFEST, &manifest[..])].into_iter().chain(files) {
        let plain = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        zip.start_file(name, plain).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
    let rules =
        StoreRules { trust: Vec::new(), unsigned: true, cap: 1 << 20, keep: 3, max_file_bytes: 1 << 20 };
    let mut loads = 0;
    let mut probe = |_: &Path| {
        loads += 1;
        Ok(())
    };
    let refused =
        place.store.push(&lock, &path, &rules, ContentDigest::of(&manifest), None, &mut probe).unwrap_err();
    assert!(refused.to_string().contains("not among the files"), "{refused}");
    assert_eq!((loads, place.store.versions().len()), (0, 0));
}

#[test]
fn a_folder_in_a_slot_is_named_in_its_manifest() {
    let place = Place::new();
    let lock = place.store.lock().unwrap();
    let id = place.push(&lock, &place.package(1)).unwrap().id;
    assert!(place.store.folder().join(&id).join(MANIFEST).is_file());
    assert_eq!(place.store.version(&id).fault(), None);
}

#[test]
fn a_package_of_changes_is_made_whole_from_what_is_stored() {
    let place = Place::new();
    let lock = place.store.lock().unwrap();
    let at = |name: &str| place.folder.path().join(name);
    let first = place.package(1);
    std::fs::write(at("w.onnx"), "weights of the second version").unwrap();
    let second = place.package(2);
    let changes = at("changes.vmodel");
    crate::package::changes::changes(&first, &second, &changes, 1 << 20).unwrap();
    // The weights that it changes are not here: neither stored nor those of the configuration.
    let refused = place.push(&lock, &changes).unwrap_err();
    assert!(matches!(refused, ModelStoreError::Package(PackageError::NoBase { .. })), "{refused}");
    assert_eq!(place.store.versions(), []);
    place.push(&lock, &first).unwrap();
    let pushed = place.push(&lock, &changes).unwrap();
    let version = place.store.version(&pushed.id);
    assert!(version.check().is_ok());
    assert_eq!(std::fs::read(version.folder.join("w.onnx")).unwrap(), b"weights of the second version");
    // The whole package is the same version.
    assert_eq!(place.push(&lock, &second).unwrap(), Pushed { id: pushed.id, known: true });
    let whole = at("whole.vmodel");
    crate::package::changes::whole(&first, &changes, &whole, 1 << 20).unwrap();
    assert_eq!(std::fs::read(&whole).unwrap(), std::fs::read(&second).unwrap());
    for at in (0..std::fs::read(&changes).unwrap().len()).step_by(7) {
        let mut bytes = std::fs::read(&changes).unwrap();
        bytes[at] ^= 0x10;
        let damaged = place.folder.path().join("damaged.vmodel");
        std::fs::write(&damaged, bytes).unwrap();
        let out = place.folder.path().join("out.vmodel");
        if crate::package::changes::whole(&first, &damaged, &out, 1 << 20).is_ok() {
            // A time or an attribute in the zip, which says nothing of what it holds.
            assert_eq!(std::fs::read(&out).unwrap(), std::fs::read(&second).unwrap(), "{at}");
            std::fs::remove_file(&out).unwrap();
        }
        assert!(!out.exists());
    }
}

#[test]
fn a_push_sweeps_what_belongs_to_no_offer_whatever_its_time() {
    let place = Place::new();
    let lock = place.store.lock().unwrap();
    let incoming = place.folder.path().join("state/models/incoming");
    let [offered, orphan, cut] = ["aa", "bb", "cc"].map(|pair| pair.repeat(32));
    let days = std::time::Duration::from_secs(24 * 3600);
    let now = std::time::SystemTime::now();
    // A clock that was not set, one that was set back since, and an old file.
    for at in [std::time::SystemTime::UNIX_EPOCH, now + 400 * days, now - 30 * days] {
        for name in [
            format!("{offered}.json"),
            format!("{offered}.part"),
            format!("{orphan}.part"),
            format!("{cut}.next"),
            "notes.txt".to_owned(),
        ] {
            std::fs::write(incoming.join(&name), "x").unwrap();
            std::fs::File::options().write(true).open(incoming.join(name)).unwrap().set_modified(at).unwrap();
        }
        std::fs::create_dir_all(incoming.join(format!("{cut}.part"))).unwrap();
        place.store.sweep(&lock);
        let mut left: Vec<String> = std::fs::read_dir(&incoming)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, [format!("{offered}.json"), format!("{offered}.part")]);
    }
}
